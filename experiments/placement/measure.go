package main

import (
	"math"
	"slices"
)

// sample is what is measured of one table, and of how it came from the one before.
type sample struct {
	usable     float64 // GB
	bound      float64 // GB that the best table of ever smaller partitions would hold
	violations float64 // share of the rows in fewer zones than replicas
	dispersion dispersion

	// Of a change; counts of replicas, of slots in all.
	slots  int
	moves  int // on a node that did not hold them before
	gained int // by nodes that hold more than before: no table of these loads moves less
	least  int // that any table of these loads moves, for all that zones ask
}

// usablePct is in per cent of the bound, movedPct in per cent of the replicas.
func (s sample) usablePct() float64 { return 100 * s.usable / s.bound }
func (s sample) movedPct() float64  { return 100 * float64(s.moves) / float64(s.slots) }

// measure returns the sample of a method's table after a change of before, or of its first one if that is
// nil.
func (m method) measure(before, after *state) (sample, error) {
	c, t := after.cluster, after.table
	s := sample{
		usable: t.usable(c), violations: t.violations(c), dispersion: disperse(c, t, m.minZones),
		slots: len(t) * replicas,
	}
	var err error
	if s.bound, err = bound(c); err != nil || before == nil {
		return s, err
	}
	s.moves = t.moves(before.table)
	s.gained = gained(before, after)
	s.least = s.gained
	if s.moves > s.gained {
		s.least, err = leastMoves(before, after, m.minZones)
	}
	return s, err
}

// loads returns how many rows each node is in, by id.
func (t table) loads(c cluster) []int {
	loads := make([]int, c.ids())
	for _, row := range t {
		for _, id := range row {
			loads[id]++
		}
	}
	return loads
}

// usable returns how much the cluster holds when the first node is full, in GB: keys fall on all rows alike.
func (t table) usable(c cluster) float64 {
	least := math.Inf(1)
	loads := t.loads(c)
	for _, n := range c.nodes {
		if load := loads[n.id]; load > 0 {
			least = min(least, float64(n.capacity)*float64(len(t))/float64(load))
		}
	}
	return least
}

// violations returns the share of rows that are in fewer zones than they have replicas.
func (t table) violations(c cluster) float64 {
	zones := c.zoneOf()
	bad := 0
	for _, row := range t {
		if a, b, c := zones[row[0]], zones[row[1]], zones[row[2]]; a == b || b == c || a == c {
			bad++
		}
	}
	return float64(bad) / float64(len(t))
}

// moves returns how many replicas of t are on a node that did not hold them in before.
func (t table) moves(before table) int {
	moves := 0
	for p, row := range t {
		for _, id := range row {
			if !slices.Contains(before[p][:], id) {
				moves++
			}
		}
	}
	return moves
}

// gained returns what nodes hold in after beyond what they held in before.
func gained(before, after *state) int {
	had := before.table.loads(before.cluster)
	gained := 0
	for id, load := range after.table.loads(after.cluster) {
		if id < len(had) {
			load -= had[id]
		}
		gained += max(0, load)
	}
	return gained
}
