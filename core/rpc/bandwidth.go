package rpc

import (
	"math/bits"
	"sync/atomic"
	"time"

	"granary/core/rt"
)

// bandwidth is the estimate of how fast a peer takes what this node sends. Only times in which the line
// was the limit count: those between two looks of the keeper at both of which, and at the one before,
// something waited to be sent. What the buffers below take at once is over by then.
type bandwidth struct {
	sent atomic.Int64 // bytes so far

	// Of the keeper's last look; it alone changes them.
	at      time.Duration
	before  int64
	waiting int   // looks in a row at which something waited
	samples int64 // at most 8

	// mean is in bytes per second: of the first 8 samples, then weighted 1/8 for each; 0 before the first.
	mean atomic.Int64
}

// look takes in a sample, if the line was the limit since the last look. queued is what waits to be sent.
func (b *bandwidth) look(now time.Duration, queued int) {
	sent, elapsed := b.sent.Load(), now-b.at
	if queued == 0 {
		b.waiting = -1
	} else if b.waiting > 1 && elapsed > 0 {
		b.add(perSecond(sent-b.before, elapsed))
	}
	b.at, b.before, b.waiting = now, sent, b.waiting+1
}

func (b *bandwidth) add(sample int64) {
	b.samples = min(b.samples+1, 8)
	mean := b.mean.Load()
	b.mean.Store(max(mean+(sample-mean)/b.samples, 1))
}

// perSecond returns the rate of bytes in a time above 0.
func perSecond(bytes int64, in time.Duration) int64 {
	hi, lo := bits.Mul64(uint64(bytes), uint64(time.Second))
	if hi >= uint64(in) {
		return 0
	}
	rate, _ := bits.Div64(hi, lo, uint64(in))
	return int64(min(rate, 1<<62))
}

// Bandwidth returns how fast a peer takes what this node sends, in bytes per second, as measured while
// there was more to send than the line took; 0 if that has not been yet.
func (ep *Endpoint) Bandwidth(id rt.NodeID) int64 {
	ep.lock.Lock()
	defer ep.lock.Unlock()
	if p := ep.peers[id]; p != nil {
		return p.bandwidth.mean.Load()
	}
	return 0
}

// lookAtLines samples the bandwidth of every peer that is connected.
func (ep *Endpoint) lookAtLines(now time.Duration, conns []*conn) {
	var peers []*peer
	queued := map[*peer]int{}
	for _, c := range conns {
		if _, seen := queued[c.peer]; !seen {
			peers = append(peers, c.peer)
		}
		c.lock.Lock()
		queued[c.peer] += c.queued
		c.lock.Unlock()
	}
	for _, p := range peers {
		p.bandwidth.look(now, queued[p])
	}
}
