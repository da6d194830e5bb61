package layout

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// slowNetwork is the twin of network: paths of least cost by Bellman and Ford, one after the other.
type slowNetwork struct{ arcs []slowArc }

type slowArc struct{ from, to, left, cost int }

func (n *slowNetwork) arc(from, to, capacity, cost int) {
	n.arcs = append(n.arcs, slowArc{from, to, capacity, cost}, slowArc{to, from, 0, -cost})
}

// solve returns the greatest flow and its least cost.
func (n *slowNetwork) solve(vertices, source, sink int) (flow, cost int) {
	for {
		distance, by := make([]int, vertices), make([]int, vertices)
		for v := range distance {
			distance[v] = 1 << 30
		}
		distance[source] = 0
		for changed := true; changed; {
			changed = false
			for i, a := range n.arcs {
				d := distance[a.from] + a.cost
				if a.left > 0 && distance[a.from] < 1<<30 && d < distance[a.to] {
					distance[a.to], by[a.to], changed = d, i, true
				}
			}
		}
		if distance[sink] == 1<<30 {
			return flow, cost
		}
		most := 1 << 30
		for v := sink; v != source; v = n.arcs[by[v]].from {
			most = min(most, n.arcs[by[v]].left)
		}
		for v := sink; v != source; v = n.arcs[by[v]].from {
			n.arcs[by[v]].left -= most
			n.arcs[by[v]^1].left += most
		}
		flow, cost = flow+most, cost+most*distance[sink]
	}
}

// TestNetwork compares flow and cost with the twin's, and checks that what goes in comes out.
func TestNetwork(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vertices := rapid.IntRange(2, 8).Draw(t, "vertices")
		vertex := rapid.IntRange(0, vertices-1)
		fast, slow := &network{}, &slowNetwork{}
		var arcs []slowArc
		for range rapid.IntRange(0, 24).Draw(t, "arcs") {
			a := slowArc{vertex.Draw(t, "from"), vertex.Draw(t, "to"),
				rapid.IntRange(0, 9).Draw(t, "capacity"), rapid.IntRange(0, 1).Draw(t, "cost")}
			if a.from == a.to {
				continue
			}
			arcs = append(arcs, a)
			fast.arc(a.from, a.to, a.left, int8(a.cost))
			slow.arc(a.from, a.to, a.left, a.cost)
		}
		fast.list(vertices)
		got := fast.solve(0, 1)
		cost, balance := 0, make([]int, vertices)
		for i, a := range arcs {
			f := fast.flow(int32(2 * i))
			if f < 0 || f > a.left {
				t.Fatalf("arc %v carries %d", a, f)
			}
			cost += f * a.cost
			balance[a.from], balance[a.to] = balance[a.from]-f, balance[a.to]+f
		}
		wantFlow, wantCost := slow.solve(vertices, 0, 1)
		if got != wantFlow || cost != wantCost {
			t.Fatalf("%v: flow %d at cost %d, the twin %d at %d", arcs, got, cost, wantFlow, wantCost)
		}
		want := make([]int, vertices)
		want[0], want[1] = -got, got
		if !slices.Equal(balance, want) {
			t.Fatalf("balance %v, want %v", balance, want)
		}
	})
}

// leastMoves is the fewest replicas that any table with partitions of size bytes places anew: a flow on the
// graph that has every pair of partition and node, by the twin.
func leastMoves(c *cluster, previous [][]int, size uint64) int {
	const source, sink = 0, 1
	extra, zonal, nodes := c.replicas-c.minZones, c.minZones-c.minRegions, len(c.capacity)
	atPartition := func(p int) int { return 2 + nodes + p*(3+len(c.regions)+len(c.zones)) }
	f := &slowNetwork{}
	for v := range nodes {
		f.arc(2+v, sink, c.slots(v, size), 0)
	}
	for p, row := range previous {
		at := atPartition(p)
		f.arc(source, at, c.minRegions, 0)
		f.arc(source, at+1, zonal, 0)
		f.arc(source, at+2, extra, 0)
		atZone := at + 3 + len(c.regions)
		for r, zones := range c.regions {
			f.arc(at, at+3+r, 1, 0)
			f.arc(at+1, at+3+r, zonal, 0)
			for _, z := range zones {
				f.arc(at+3+r, atZone+z, 1, 0)
			}
		}
		for z, members := range c.zones {
			f.arc(at+2, atZone+z, extra, 0)
			for _, v := range members {
				cost := 1
				if slices.Contains(row, v) {
					cost = 0
				}
				f.arc(atZone+z, 2+v, 1, cost)
			}
		}
	}
	_, cost := f.solve(atPartition(c.partitions), source, sink)
	return cost
}

// TestLeastMoves: from any previous table, at any feasible size, as few replicas move as in the graph without
// hubs.
func TestLeastMoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genCluster().Draw(t, "cluster")
		in.Params.Partitions = min(in.Params.Partitions, 8)
		c, err := newCluster(in.Roles, in.Params)
		if err != nil || c.optimum() == 0 {
			return
		}
		previous := make([][]int, c.partitions)
		for p := range previous {
			previous[p] = rapid.SliceOfNDistinct(rapid.IntRange(0, len(c.capacity)-1), 0, c.replicas,
				rapid.ID).Draw(t, "row")
		}
		size := rapid.Uint64Range(1, c.optimum()).Draw(t, "size")
		moves := newIn(c.reassign(previous, size), previous)
		if want := leastMoves(c, previous, size); moves != want {
			t.Fatalf("%d moves from %v at size %d, want %d", moves, previous, size, want)
		}
	})
}
