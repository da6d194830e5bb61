package layout

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// flow is a slow, obvious maximum flow: depth-first augmenting paths over a matrix.
type flow struct {
	left [][]int // residual capacities
	seen []bool
}

func newFlow(vertices int) *flow {
	f := &flow{left: make([][]int, vertices)}
	for i := range f.left {
		f.left[i] = make([]int, vertices)
	}
	return f
}

func (f *flow) max(from, to int) int {
	total := 0
	for {
		f.seen = make([]bool, len(f.left))
		got := f.push(from, to, 1<<30)
		if got == 0 {
			return total
		}
		total += got
	}
}

func (f *flow) push(at, to, most int) int {
	if at == to {
		return most
	}
	f.seen[at] = true
	for next, left := range f.left[at] {
		if left > 0 && !f.seen[next] {
			if got := f.push(next, to, min(most, left)); got > 0 {
				f.left[at][next] -= got
				f.left[next][at] += got
				return got
			}
		}
	}
	return 0
}

// tableExists decides by flow, without Theorem 1, whether some table has partitions of size bytes: each
// partition sends units to different regions, more to different zones, the rest to any, and each pair of
// partition and node takes one.
func tableExists(roles []Role, params Params, size uint64) bool {
	var zones []ZoneName
	var regions []string
	for _, r := range roles {
		if r.Stores() && !slices.Contains(zones, r.Zone) {
			zones = append(zones, r.Zone)
			if !slices.Contains(regions, r.Zone.Region()) {
				regions = append(regions, r.Zone.Region())
			}
		}
	}
	minZones := params.MinZones
	if minZones == 0 {
		minZones = min(params.Replicas, len(zones))
	}
	minZones = max(minZones, params.MinRegions)
	const source, sink = 0, 1
	partitions, extra := params.Partitions, params.Replicas-minZones
	atNode := func(v int) int { return 2 + v }
	atPartition := func(p int) int { return 2 + len(roles) + p*(3+len(regions)+len(zones)) }
	f := newFlow(atPartition(partitions))
	for v, r := range roles {
		f.left[atNode(v)][sink] = int(min(r.Capacity/size, uint64(partitions)))
	}
	for p := range partitions {
		regional := atPartition(p)
		zonal, free, inRegion := regional+1, regional+2, regional+3
		f.left[source][regional], f.left[source][zonal] = params.MinRegions, minZones-params.MinRegions
		f.left[source][free] = extra
		for r := range regions {
			f.left[regional][inRegion+r], f.left[zonal][inRegion+r] = 1, minZones-params.MinRegions
		}
		for z, zone := range zones {
			pair := inRegion + len(regions) + z
			f.left[inRegion+slices.Index(regions, zone.Region())][pair], f.left[free][pair] = 1, extra
			for v, r := range roles {
				if r.Zone == zone && r.Stores() {
					f.left[pair][atNode(v)] = 1
				}
			}
		}
	}
	return f.max(source, sink) == params.Replicas*partitions
}

// TestTheorem1 compares size and refusals with the flow, in both directions: the size of the table exists,
// one byte more does not; what is refused does not exist.
func TestTheorem1(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genCluster().Draw(t, "cluster")
		c.Params.Partitions = min(c.Params.Partitions, 8)
		v, err := Assign(c.Roles, c.Params, nil)
		if err != nil {
			known := errors.Is(err, ErrTooFewNodes) || errors.Is(err, ErrTooFewZones) ||
				errors.Is(err, ErrCapacity)
			if !known || tableExists(c.Roles, c.Params, 1) {
				t.Fatalf("refused: %v", err)
			}
			return
		}
		if !tableExists(c.Roles, c.Params, v.Size) {
			t.Fatalf("size %d has no table by the flow", v.Size)
		}
		if tableExists(c.Roles, c.Params, v.Size+1) {
			t.Fatalf("size %d is not the greatest", v.Size)
		}
	})
}

// TestTransitions drifts a cluster through changes of every sort. Assign validates each table itself; here
// the size is compared with that of a first table, and movement with its bounds.
func TestTransitions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genCluster().Draw(t, "cluster")
		prev, err := Assign(c.Roles, c.Params, nil)
		if err != nil {
			return
		}
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			c = changeCluster(t, c)
			fresh, err := Assign(c.Roles, c.Params, nil)
			next, nextErr := Assign(c.Roles, c.Params, prev)
			if (err == nil) != (nextErr == nil) {
				t.Fatalf("first table: %v; later one: %v", err, nextErr)
			}
			if err != nil {
				return
			}
			if next.Split > 0 {
				if next.Moves(prev) > 0 || next.Size != prev.Size>>(next.Split-prev.Split) {
					t.Fatalf("a split moves %d replicas, size %d to %d", next.Moves(prev), prev.Size,
						next.Size)
				}
				prev = next
				continue
			}
			if least := tolerated(fresh.Size, c.Params.Tolerance); next.Size < least ||
				next.Size > fresh.Size {
				t.Fatalf("size %d, want %d to %d", next.Size, least, fresh.Size)
			}
			got, bound := next.Moves(prev), lossBound(prev, next)
			if got < bound {
				t.Fatalf("%d moves are fewer than the loads need: %d", got, bound)
			}
			if least := leastMovesOf(t, c, prev, fresh.Size); got != least {
				t.Fatalf("%d moves, a table with partitions of %d bytes needs %d", got, fresh.Size, least)
			}
			again := assign(t, c.Roles, c.Params, next)
			if moves := again.Moves(next); moves != 0 {
				t.Fatalf("an unchanged cluster moved %d replicas", moves)
			}
			prev = next
		}
	})
}

// leastMovesOf is the fewest moves from prev to a table of the tolerated size; best is the optimum.
func leastMovesOf(t *rapid.T, c Version, prev *Version, best uint64) int {
	roles, err := normalRoles(c.Roles)
	if err != nil {
		t.Fatal(err)
	}
	cl, err := newCluster(roles, c.Params)
	if err != nil {
		t.Fatal(err)
	}
	return leastMoves(cl, cl.previous(prev, roles), tolerated(best, c.Params.Tolerance))
}

// changeCluster changes, adds or removes a node, or changes a parameter.
func changeCluster(t *rapid.T, c Version) Version {
	c.Roles = slices.Clone(c.Roles)
	i := rapid.IntRange(0, len(c.Roles)-1).Draw(t, "which")
	capacity := rapid.Uint64Range(0, 2000).Draw(t, "capacity")
	kinds := []string{"resize", "add", "remove", "move", "params", "double"}
	switch rapid.SampledFrom(kinds).Draw(t, "change") {
	case "resize":
		c.Roles[i].Capacity = capacity
	case "add":
		c.Roles = append(c.Roles, role(100+len(c.Roles)*256+i, "r1/z1", capacity))
	case "remove":
		if len(c.Roles) > 1 {
			c.Roles = slices.Delete(c.Roles, i, i+1)
		}
	case "move":
		c.Roles[i].Zone = "z9"
	case "double":
		c.Params.Partitions *= 2
	case "params":
		p := genCluster().Draw(t, "params").Params
		p.Tolerance = rapid.IntRange(0, 500).Draw(t, "tolerance")
		c.Params = p
	}
	slices.SortFunc(c.Roles, compareRoles)
	c.Roles = slices.CompactFunc(c.Roles, func(a, b Role) bool { return a.Node == b.Node })
	return c
}

// lossBound is the least number of moves that the change of loads needs.
func lossBound(prev, next *Version) int {
	had := make([]int, len(next.Roles))
	for p := range next.Params.Partitions {
		for _, n := range previousNodes(prev, p, next.Params.Partitions) {
			for i, r := range next.Roles {
				if r.Node == n {
					had[i]++
				}
			}
		}
	}
	bound := 0
	for i, load := range next.Loads() {
		bound += max(0, load-had[i])
	}
	return bound
}
