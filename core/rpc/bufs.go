package rpc

import "granary/core/rt"

// bufsKept bounds the free buffers that an endpoint keeps, of payloadMax bytes each.
const bufsKept = 64

// bufs is a free list of buffers with a capacity of payloadMax bytes: full data frames and batches.
type bufs struct {
	lock rt.Locker
	free [][]byte
}

func (b *bufs) get() []byte {
	b.lock.Lock()
	defer b.lock.Unlock()
	if n := len(b.free); n > 0 {
		p := b.free[n-1]
		b.free = b.free[:n-1]
		return p[:0]
	}
	return make([]byte, 0, payloadMax)
}

// put takes a buffer back. Others than those of get are left to the garbage collector.
func (b *bufs) put(p []byte) {
	if cap(p) != payloadMax {
		return
	}
	b.lock.Lock()
	defer b.lock.Unlock()
	if len(b.free) < bufsKept {
		b.free = append(b.free, p)
	}
}
