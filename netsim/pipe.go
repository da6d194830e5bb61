package netsim

import (
	"slices"
	"sort"
	"time"
)

// pipe is one link of limited bandwidth, shared by whatever is sent through it.
//
// Invariant: busy holds disjoint spans that do not touch, in ascending order; so no instant is sold twice,
// and the bytes carried in any stretch of time are at most rate × stretch.
type pipe struct {
	rate Rate
	busy []slot
}

// slot is a stretch of time in which the link is taken: start included, end not.
type slot struct{ start, end time.Duration }

// reserve takes the first free stretch, not before at, that is long enough for n bytes (at least 1), and
// forgets what was over at now. at may differ from call to call either way (a far packet reaches a shared
// link later than a near one sent after it), but is never before now, and now never goes back.
func (p *pipe) reserve(now, at time.Duration, n int) slot {
	p.forget(now)
	i, taken := p.find(at, n)
	p.insert(i, taken)
	return taken
}

// find returns the first free stretch for n bytes, not before at, and the index in busy where it belongs.
func (p *pipe) find(at time.Duration, n int) (int, slot) {
	need := p.rate.span(n)
	i := sort.Search(len(p.busy), func(i int) bool { return p.busy[i].end > at })
	start := at
	for ; i < len(p.busy) && p.busy[i].start < start+need; i++ {
		start = max(start, p.busy[i].end)
	}
	return i, slot{start, start + need}
}

func (p *pipe) forget(now time.Duration) {
	i := 0
	for i < len(p.busy) && p.busy[i].end <= now {
		i++
	}
	p.busy = p.busy[i:]
}

// insert puts s before busy[i], joining it with the neighbours that it touches.
func (p *pipe) insert(i int, s slot) {
	if i > 0 && p.busy[i-1].end == s.start {
		i--
		s.start = p.busy[i].start
		p.busy = slices.Delete(p.busy, i, i+1)
	}
	if i < len(p.busy) && p.busy[i].start == s.end {
		p.busy[i].start = s.start
		return
	}
	p.busy = slices.Insert(p.busy, i, s)
}
