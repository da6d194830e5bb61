package crash

import (
	"slices"
	"sync"
	"time"
)

// pulse records, for reads and for writes, when the last one succeeded and the longest time without one.
type pulse struct {
	mu    sync.Mutex
	last  map[bool]time.Time // by whether it writes
	stall map[bool]time.Duration
	took  []time.Duration // by every success
	most  time.Duration   // the greatest of them
	what  string          // took that
}

func newPulse() *pulse {
	now := time.Now()
	return &pulse{last: map[bool]time.Time{true: now, false: now},
		stall: map[bool]time.Duration{}}
}

// beat notes a success of an operation, and how long it took.
func (p *pulse) beat(writes bool, took time.Duration, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.stall[writes] = max(p.stall[writes], now.Sub(p.last[writes]))
	p.took = append(p.took, took)
	if took > p.most {
		p.most, p.what = took, what
	}
	p.last[writes] = now
}

// longest returns the longest times without a success, up to now.
func (p *pulse) longest() (reads, writes time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	return max(p.stall[false], now.Sub(p.last[false])), max(p.stall[true], now.Sub(p.last[true]))
}

// latency sums up what successes took.
func (p *pulse) latency() Latency {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.took)
	if n == 0 {
		return Latency{}
	}
	slices.Sort(p.took)
	return Latency{Median: p.took[n/2], P99: p.took[n*99/100], Max: p.most, Slowest: p.what}
}

// downs records which node is down, or just came back, and which ones were.
type downs struct {
	mu  sync.Mutex
	all []int
	at  int // -1: none
}

func (d *downs) down(node int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all, d.at = append(d.all, node), node
}

func (d *downs) back() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = -1
}

// now returns the node that is down, -1 for none.
func (d *downs) now() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
}

// count returns how many nodes have gone down so far, not counting one that is down now.
func (d *downs) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at >= 0 {
		return len(d.all) - 1
	}
	return len(d.all)
}

// spared reports whether a node has not been down since the count was that.
func (d *downs) spared(node, before int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !slices.Contains(d.all[before:], node)
}
