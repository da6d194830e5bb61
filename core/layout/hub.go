package layout

import (
	"slices"

	"granary/core/rt"
)

// reassign returns a table of partitions of size bytes that keeps as many of the previous replicas as any
// table can, with loads as close to the targets as that allows. DESIGN.md has the method.
func (c *cluster) reassign(previous [][]int, size uint64) [][]int {
	targets := c.targets(size)
	explicit := make([]bool, len(c.zones))
	for {
		g := newHubGraph(c, previous, size, targets, explicit)
		g.solve()
		if rows := g.deal(explicit); rows != nil {
			return rows
		}
	}
}

// hubGraph is the choice of a table as a flow of ρP units, one for each replica:
//
//	source ─α→ spread(p) ─1─┐                    ┌─1─→ v ─target→ sink
//	source ─ρ−α→ free(p) ─ρ−α→ pair(p, z) ──────┤ (previous owners, cost 0)
//	                              └──→ hub(z) ──→ v ─rest→ overflow → sink
//	                             (new replicas, cost 1)
//
// The hub of a zone forgets which partition a new replica is for, so that a zone has an arc for each
// partition and one for each node, instead of one for each partition and node. Where a partition has no
// previous owner in a zone, pair and hub are one. A zone that is explicit has arcs from pairs to all its
// nodes, and no hub.
type hubGraph struct {
	*cluster
	network
	previous [][]int
	held     []unit  // what may pass from a partition to a node
	fresh    []unit  // what may pass from a partition to the hub of a zone
	quota    []int32 // by node: the arc from its hub; none if its zone is explicit
	vertices int
}

// unit is an arc that stands for replicas of a partition at a place: a node, or a zone.
type unit struct{ partition, place, arc int32 }

// The vertices that every graph has; nodes and then hubs follow.
const (
	source = iota
	sink
	overflow
	fixedVertices
)

func newHubGraph(c *cluster, previous [][]int, size uint64, targets []int, explicit []bool) *hubGraph {
	nodes, zones := len(c.capacity), len(c.zones)
	g := &hubGraph{cluster: c, previous: previous, quota: make([]int32, nodes),
		vertices: fixedVertices + nodes + zones}
	for p := range previous {
		g.addPartition(p, explicit)
	}
	for v := range nodes {
		slots, at := c.slots(v, size), g.node(v)
		g.quota[v] = none
		if !explicit[c.zone[v]] {
			g.quota[v] = g.arc(g.hub(c.zone[v]), at, slots, 0)
		}
		g.arc(at, sink, min(slots, targets[v]), 0)
		g.arc(at, overflow, max(0, slots-targets[v]), 0)
	}
	g.arc(overflow, sink, c.replicas*c.partitions, 0)
	g.list(g.vertices)
	return g
}

func (g *hubGraph) node(v int) int { return fixedVertices + v }
func (g *hubGraph) hub(z int) int  { return fixedVertices + len(g.capacity) + z }

func (g *hubGraph) vertex() int {
	g.vertices++
	return g.vertices - 1
}

// addPartition adds the arcs of one partition, those to previous owners first.
func (g *hubGraph) addPartition(p int, explicit []bool) {
	spreads := g.spreads()
	more, free := g.replicas-g.minZones, none
	if more > 0 {
		free = g.vertex()
		g.arc(source, free, more, 0)
	}
	for z, members := range g.zones {
		spread := spreads[z]
		to, most, cost := g.hub(z), 1+more, int8(1)
		owners := g.ownersIn(p, z)
		if len(owners) > 0 || explicit[z] {
			to, cost = g.vertex(), 0
		}
		arcs := []int32{g.arc(spread, to, 1, cost)}
		if more > 0 {
			arcs = append(arcs, g.arc(free, to, more, cost))
		}
		for _, v := range owners {
			g.held = append(g.held, unit{int32(p), int32(v), g.arc(to, g.node(v), 1, 0)})
		}
		switch {
		case explicit[z]:
			for _, v := range members {
				if !slices.Contains(owners, v) {
					g.held = append(g.held, unit{int32(p), int32(v), g.arc(to, g.node(v), 1, 1)})
				}
			}
			continue
		case len(owners) > 0:
			arcs = []int32{g.arc(to, g.hub(z), most, 1)}
		}
		for _, arc := range arcs {
			g.fresh = append(g.fresh, unit{int32(p), int32(z), arc})
		}
	}
}

// spreads returns, by zone, the vertex from which a partition sends one unit to it. If regions are asked
// for, it is one for each region: as many units as there shall be regions come to different ones, the
// others that are to reach different zones come to any.
func (g *hubGraph) spreads() []int {
	vertices := make([]int, len(g.zones))
	if g.minRegions == 1 {
		spread := g.vertex()
		g.arc(source, spread, g.minZones, 0)
		for z := range vertices {
			vertices[z] = spread
		}
		return vertices
	}
	regional, more := g.vertex(), g.minZones-g.minRegions
	g.arc(source, regional, g.minRegions, 0)
	zonal := g.vertex()
	g.arc(source, zonal, more, 0)
	for _, zones := range g.regions {
		spread := g.vertex()
		g.arc(regional, spread, 1, 0)
		g.arc(zonal, spread, more, 0)
		for _, z := range zones {
			vertices[z] = spread
		}
	}
	return vertices
}

// ownersIn returns the previous owners of p in zone z.
func (g *hubGraph) ownersIn(p, z int) []int {
	var in []int
	for _, v := range g.previous[p] {
		if g.zone[v] == z {
			in = append(in, v)
		}
	}
	return in
}

// solve finds the least new replicas, and then, among the solutions that have as few, one with the least load
// above the targets: what can be taken back from overflow along arcs of reduced cost zero.
func (g *hubGraph) solve() {
	if got, want := g.network.solve(source, sink), g.replicas*g.partitions; got != want {
		rt.Break("layout: the size is feasible, yet %d of %d replicas have a place", got, want)
	}
	last := len(g.head) - 2 // overflow to sink
	g.left[last], g.left[last+1] = 0, 0
	g.augment(overflow, sink)
}

// deal returns the rows that the flow stands for: the replicas that passed hubs are given to nodes, as
// many to each as passed. It returns nil if a zone's cannot be given to distinct nodes, and marks such
// zones explicit. A zone that can be dealt is optimal, since its hub only relaxed it.
func (g *hubGraph) deal(explicit []bool) [][]int {
	rows := make([][]int, g.partitions)
	for _, u := range g.held {
		if g.flow(u.arc) > 0 {
			rows[u.partition] = append(rows[u.partition], int(u.place))
		}
	}
	wanted := make([][]int, len(g.zones))
	for _, u := range g.fresh {
		for range g.flow(u.arc) {
			wanted[u.place] = append(wanted[u.place], int(u.partition))
		}
	}
	d := dealer{rows: rows, quota: make([]int, len(g.quota)), given: make([][]int, len(g.quota))}
	for v, arc := range g.quota {
		if arc != none {
			d.quota[v] = g.flow(arc)
		}
	}
	complete := true
	for z, partitions := range wanted {
		seed := splitmix(z)
		seed.shuffle(partitions)
		if d.members = g.zones[z]; !d.deal(partitions) {
			explicit[z], complete = true, false
		}
	}
	if !complete {
		return nil
	}
	return rows
}

// dealer gives the new replicas of one zone after the other to its nodes.
type dealer struct {
	rows    [][]int
	members []int   // of the zone
	quota   []int   // by node: the replicas that it still gets
	given   [][]int // by node: the partitions that it was given
}

// deal gives one replica to each of the partitions, some of which may be wanted twice, and reports whether
// that was possible.
func (d *dealer) deal(partitions []int) bool {
	for _, p := range partitions {
		if v := d.roomiest(p); v != none {
			d.give(p, v)
		} else if !d.exchange(p) {
			return false
		}
	}
	return true
}

// roomiest returns the node with the greatest quota left that p may take, or none.
func (d *dealer) roomiest(p int) int {
	best, most := none, 0
	for _, v := range d.members {
		if d.quota[v] > most && !slices.Contains(d.rows[p], v) {
			best, most = v, d.quota[v]
		}
	}
	return best
}

func (d *dealer) give(p, v int) {
	d.rows[p] = append(d.rows[p], v)
	d.given[v] = append(d.given[v], p)
	d.quota[v]--
}

// exchange finds a place for p by a shortest chain of partitions that each take another node: breadth first
// over nodes whose quota is used up.
func (d *dealer) exchange(p int) bool {
	type hop struct{ partition, leaves int }
	from := make(map[int]hop)
	var queue []int
	reach := func(q, leaves int) (end int) {
		for _, v := range d.members {
			if _, seen := from[v]; seen || slices.Contains(d.rows[q], v) {
				continue
			}
			from[v] = hop{q, leaves}
			if d.quota[v] > 0 {
				return v
			}
			queue = append(queue, v)
		}
		return none
	}
	end := reach(p, none)
	for i := 0; i < len(queue) && end == none; i++ {
		for _, q := range d.given[queue[i]] {
			if end = reach(q, queue[i]); end != none {
				break
			}
		}
	}
	if end == none {
		return false
	}
	for v := end; v != none; {
		h := from[v]
		d.give(h.partition, v)
		if h.leaves != none {
			d.rows[h.partition] = remove(d.rows[h.partition], h.leaves)
			d.given[h.leaves] = remove(d.given[h.leaves], h.partition)
			d.quota[h.leaves]++
		}
		v = h.leaves
	}
	return true
}

// remove removes x from list, in place.
func remove(list []int, x int) []int {
	return slices.DeleteFunc(list, func(y int) bool { return x == y })
}
