package layout

import (
	"slices"

	"granary/core/rt"
)

// reassign returns a table of partitions of size bytes, close to the previous rows. DESIGN.md has the method.
func (c *cluster) reassign(previous [][]int, size uint64) [][]int {
	targets := c.targets(size)
	pl := newPlacement(c, previous)
	for v := range pl.limit {
		pl.limit[v] = c.slots(v, size)
	}
	pl.grow()
	pl.previous = nil
	for v := range pl.limit {
		pl.limit[v] = max(targets[v], len(pl.holds[v]))
	}
	pl.grow()
	for v := range pl.limit {
		pl.limit[v] = c.slots(v, size)
	}
	pl.grow()
	if len(pl.short) > 0 {
		rt.Break("layout: size %d is feasible, yet %d partitions lack replicas", size, len(pl.short))
	}
	return pl.rows
}

// placement is a table in the making. Its invariants: every row is independent, that is, has at most ρ
// nodes of which at most ρ−α repeat a zone; no node holds more than its limit.
type placement struct {
	*cluster
	previous [][]int // if not nil, only these nodes may be placed, by partition
	limit    []int   // by node
	rows     [][]int // by partition
	holds    [][]int // by node: its partitions
	short    []int   // the partitions with fewer than ρ nodes

	// The search in progress; marks equal to round are of this search.
	round   int
	reached []int   // by node: mark
	from    []hop   // by node: how it was reached
	freed   []int   // by partition × zone: mark
	fresh   []int   // by zone: mark
	unseen  [][]int // by zone, valid if fresh: nodes that may be unreached
	queue   []int   // nodes reached, all full
}

// hop is one step of a path: partition takes the node reached in place of leaves; leaves is none at the
// start.
type hop struct{ partition, leaves int }

const none = -1

func newPlacement(c *cluster, previous [][]int) *placement {
	n := len(c.capacity)
	pl := &placement{
		cluster: c, previous: previous, limit: make([]int, n),
		rows: make([][]int, c.partitions), holds: make([][]int, n),
		reached: make([]int, n), from: make([]hop, n), freed: make([]int, c.partitions*len(c.zones)),
		fresh: make([]int, len(c.zones)), unseen: make([][]int, len(c.zones)),
	}
	for p := range c.partitions {
		pl.short = append(pl.short, p)
	}
	return pl
}

// grow adds replicas as long as limits and zones allow: first where there is room, then by chains of
// replacements. Each partition gets one replica before any gets the next, so that those which a full node
// cannot keep are of different partitions: a new node can then take them all.
func (pl *placement) grow() {
	for range pl.replicas {
		for _, p := range pl.short {
			if v := pl.roomiest(p); v != none {
				pl.take(p, v)
			}
		}
	}
	pl.dropFull()
	for {
		node := pl.search()
		if node == none {
			return
		}
		for {
			hop := pl.from[node]
			pl.take(hop.partition, node)
			if hop.leaves == none {
				break
			}
			pl.leave(hop.partition, hop.leaves)
			node = hop.leaves
		}
		pl.dropFull()
	}
}

// dropFull forgets the partitions that have all their replicas.
func (pl *placement) dropFull() {
	pl.short = slices.DeleteFunc(pl.short, func(p int) bool { return len(pl.rows[p]) == pl.replicas })
}

// roomiest returns the node, of those that p may take as it is, that is farthest below its limit, or none.
func (pl *placement) roomiest(p int) int {
	if len(pl.rows[p]) == pl.replicas {
		return none
	}
	best, bestRoom := none, 0
	consider := func(v int) {
		if room := pl.limit[v] - len(pl.holds[v]); room > bestRoom && !slices.Contains(pl.rows[p], v) {
			best, bestRoom = v, room
		}
	}
	if pl.previous != nil {
		for _, v := range pl.previous[p] {
			if pl.fits(p, none, pl.zone[v]) {
				consider(v)
			}
		}
		return best
	}
	for z, members := range pl.zones {
		if !pl.fits(p, none, z) {
			continue
		}
		for _, v := range members {
			consider(v)
		}
	}
	return best
}

func (pl *placement) take(p, v int) {
	pl.rows[p] = append(pl.rows[p], v)
	pl.holds[v] = append(pl.holds[v], p)
}

func (pl *placement) leave(p, v int) {
	pl.rows[p] = slices.DeleteFunc(pl.rows[p], func(x int) bool { return x == v })
	pl.holds[v] = slices.DeleteFunc(pl.holds[v], func(x int) bool { return x == p })
}

// search finds a shortest chain of replacements that ends at a node below its limit, and returns that node,
// or none. Breadth first over full nodes: each can leave any partition it holds, which then takes another.
// Cost: O(ρP + N), most often much less.
func (pl *placement) search() int {
	pl.round++
	pl.queue = pl.queue[:0]
	for _, p := range pl.short {
		if v := pl.expand(p, none); v != none {
			return v
		}
	}
	for i := 0; i < len(pl.queue); i++ {
		v := pl.queue[i]
		for _, p := range pl.holds[v] {
			mark := &pl.freed[p*len(pl.zones)+pl.zone[v]]
			if *mark == pl.round && pl.previous == nil {
				continue // the same nodes can replace any node of one zone
			}
			*mark = pl.round
			if w := pl.expand(p, v); w != none {
				return w
			}
		}
	}
	return none
}

// expand reaches every node that partition p could take once it lost leaves (none: as it is), and returns the
// first one below its limit.
func (pl *placement) expand(p, leaves int) int {
	if pl.previous != nil {
		for _, v := range pl.previous[p] {
			if pl.reached[v] != pl.round && pl.fits(p, leaves, pl.zone[v]) && pl.reach(p, leaves, v) {
				return v
			}
		}
		return none
	}
	for z := range pl.zones {
		if !pl.fits(p, leaves, z) {
			continue
		}
		if v := pl.expandZone(p, leaves, z); v != none {
			return v
		}
	}
	return none
}

// expandZone is expand for the nodes of one zone. It drops those that it reaches from the zone's unseen list.
func (pl *placement) expandZone(p, leaves, z int) int {
	if pl.fresh[z] != pl.round {
		pl.fresh[z] = pl.round
		pl.unseen[z] = append(pl.unseen[z][:0], pl.zones[z]...)
	}
	kept := pl.unseen[z][:0]
	for _, v := range pl.unseen[z] {
		if slices.Contains(pl.rows[p], v) {
			kept = append(kept, v)
			continue
		}
		if pl.reach(p, leaves, v) {
			return v // the search is over
		}
	}
	pl.unseen[z] = kept
	return none
}

// reach notes how v was reached, and reports whether it is below its limit. If p has v already, it does
// nothing.
func (pl *placement) reach(p, leaves, v int) bool {
	if slices.Contains(pl.rows[p], v) {
		return false
	}
	pl.reached[v] = pl.round
	pl.from[v] = hop{p, leaves}
	if len(pl.holds[v]) < pl.limit[v] {
		return true
	}
	pl.queue = append(pl.queue, v)
	return false
}

// fits reports whether the row of p, without leaves, stays independent with one more node of zone z.
func (pl *placement) fits(p, leaves, z int) bool {
	size, zoneHas, repeats := 0, false, 0
	row := pl.rows[p]
	for i, v := range row {
		if v == leaves {
			continue
		}
		size++
		zoneHas = zoneHas || pl.zone[v] == z
		for _, w := range row[:i] {
			if w != leaves && pl.zone[w] == pl.zone[v] {
				repeats++
				break
			}
		}
	}
	return size < pl.replicas && (!zoneHas || repeats < pl.replicas-pl.minZones)
}
