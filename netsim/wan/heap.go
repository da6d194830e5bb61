package wan

import (
	"time"
)

// parcel is a packet on its way.
type parcel struct {
	due   time.Duration
	order uint64 // of reading: breaks ties
	to    int    // index of the node
	data  []byte // virtio header and packet, from a pool
}

func (p *parcel) before(q *parcel) bool {
	return p.due < q.due || p.due == q.due && p.order < q.order
}

// heap holds parcels, the one that is due first on top. It is written out, rather than container/heap's, so
// that a packet costs no allocation.
type heap []parcel

func (h *heap) push(p parcel) {
	*h = append(*h, p)
	s := *h
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if !s[i].before(&s[up]) {
			return
		}
		s[i], s[up] = s[up], s[i]
		i = up
	}
}

// pop removes and returns the first. There must be one.
func (h *heap) pop() parcel {
	s := *h
	first, last := s[0], len(s)-1
	s[0] = s[last]
	s[last] = parcel{}
	s = s[:last]
	*h = s
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			return first
		}
		if right := down + 1; right < last && s[right].before(&s[down]) {
			down = right
		}
		if !s[down].before(&s[i]) {
			return first
		}
		s[i], s[down] = s[down], s[i]
		i = down
	}
}

// pool keeps buffers of two sizes, for most packets are small and a train is large.
type pool struct{ small, large [][]byte }

const (
	smallBytes = 2 << 10
	largeBytes = 64<<10 + headerBytes
)

// get returns a buffer with a copy of data, which fits into largeBytes.
func (p *pool) get(data []byte) []byte {
	list, size := &p.small, smallBytes
	if len(data) > smallBytes {
		list, size = &p.large, largeBytes
	}
	n := len(*list)
	if n == 0 {
		return append(make([]byte, 0, size), data...)
	}
	b := (*list)[n-1]
	*list = (*list)[:n-1]
	return append(b[:0], data...)
}

func (p *pool) put(b []byte) {
	if cap(b) == smallBytes {
		p.small = append(p.small, b)
	} else {
		p.large = append(p.large, b)
	}
}
