package block

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"granary/core/layout"
	"granary/core/rt"
)

const (
	// depthMax bounds Depth.
	depthMax = 16
	// blockTime is what a block takes at a gigabit per second.
	blockTime = 8400 * time.Microsecond
	// strangeRTT stands for the round trip to a node that was not measured.
	strangeRTT = 10 * time.Second
)

// source is what this node knows of another one that it reads blocks from. Under Store.lock.
type source struct {
	underWay  int
	mean, dev time.Duration // of the time that a block took; 0 before the first
	arrived   atomic.Int64  // bytes of blocks, of all calls; without the lock
}

// took takes in how long a block took, as a round trip is smoothed (RFC 6298).
func (r *source) took(d time.Duration) {
	if r.mean == 0 {
		r.mean, r.dev = d, d/2
		return
	}
	diff := d - r.mean
	r.mean += diff / 8
	r.dev += (max(diff, -diff) - r.dev) / 4
}

// source returns what is known of a node. Under lock.
func (s *Store) source(id rt.NodeID) *source {
	r := s.sources[id]
	if r == nil {
		r = &source{}
		s.sources[id] = r
	}
	return r
}

// order returns the replicas of a block in the order in which it is worth asking them: this node, those of
// its zone, then by round trip times what is under way from there with this one. So of equally far ones all
// are drawn on, and of others the nearer the more.
func (s *Store) order(replicas []rt.NodeID) []rt.NodeID {
	nodes := s.topology.Nearest(replicas)
	cost := map[rt.NodeID]time.Duration{}
	for _, id := range nodes {
		if s.topology.SameZone(id) {
			continue
		}
		rtt, ok := s.endpoint.RTT(id)
		if !ok {
			rtt.Mean = strangeRTT
		}
		s.lock.Lock()
		cost[id] = rtt.Mean * time.Duration(1+s.source(id).underWay)
		s.lock.Unlock()
	}
	slices.SortStableFunc(nodes, func(a, b rt.NodeID) int { return cmp.Compare(cost[a], cost[b]) })
	return nodes
}

// depart and arrive count a block on its way from a node; one that was delivered teaches how long that takes.
func (s *Store) depart(from rt.NodeID) (r *source, at time.Duration) {
	at = s.env.Now()
	s.lock.Lock()
	defer s.lock.Unlock()
	r = s.source(from)
	r.underWay++
	return r, at
}

func (s *Store) arrive(r *source, departed time.Duration, delivered bool) {
	now := s.env.Now()
	s.lock.Lock()
	defer s.lock.Unlock()
	if r.underWay--; delivered {
		r.took(now - departed)
	}
}

// came is how many bytes have come from a node, and usual how long a block from it takes at most as a rule; 0
// if that is not known.
func (s *Store) came(from rt.NodeID) (bytes int64, usual time.Duration) {
	s.lock.Lock()
	defer s.lock.Unlock()
	r := s.source(from)
	return r.arrived.Load(), r.mean + 4*r.dev
}

// Depth is how many blocks have to be under way at once from the nearest replica of h to fill a gigabit per
// second, at least 2 and at most 16.
func (s *Store) Depth(h Hash) int {
	view, err := s.topology.View(layout.PrefixOf(h[:]))
	if err != nil {
		return 2
	}
	nearest := s.topology.Nearest(view.Targets())[0]
	if s.topology.SameZone(nearest) {
		return 2
	}
	rtt, _ := s.endpoint.RTT(nearest)
	return min(max(2, 1+int(rtt.Mean/blockTime)), depthMax)
}
