package plan

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"granary/core/layout"
	"granary/core/rt"
)

// sort is partitions that had the same owners.
type sort struct {
	owners []rt.NodeID
	count  float64
}

// sorts groups the partitions of a table by their owners, or makes a sort of each.
func sorts(v *layout.Version, group bool) []sort {
	var out []sort
	for p := range layout.Partition(v.Params.Partitions) {
		owners := v.Replicas(p)
		i := slices.IndexFunc(out, func(s sort) bool { return group && slices.Equal(s.owners, owners) })
		if i < 0 {
			out = append(out, sort{owners, 1})
		} else {
			out[i].count++
		}
	}
	return out
}

// leastMoves is the linear program of minimum movement: how many replicas of each sort each node gets, so
// that those on nodes that had none are as few as can be, at the size of next. Its optimum is one of
// integers, since it is that of a flow.
func leastMoves(t testing.TB, prev, next *layout.Version, group bool) float64 {
	t.Helper()
	p := &program{}
	replicas, zones := float64(next.Params.Replicas), minZones(next.Roles, next.Params)
	holds := make([][]term, len(next.Roles))
	total := float64(next.Params.Partitions)
	for _, s := range sorts(prev, group) {
		part := s.count / total
		var all []term
		inZone := map[layout.ZoneName][]term{}
		for i, r := range next.Roles {
			if !r.Stores() {
				continue
			}
			cost := 1.0
			if slices.Contains(s.owners, r.Node) {
				cost = 0
			}
			x := term{p.column(cost), 1}
			holds[i] = append(holds[i], x)
			all = append(all, x)
			inZone[r.Zone] = append(inZone[r.Zone], x)
			if zones < next.Params.Replicas {
				p.atMost(part, x)
			}
		}
		p.exactly(replicas*part, all...)
		var spread sum
		for _, zone := range sortedKeys(inZone) {
			if zones == next.Params.Replicas {
				p.atMost(part, inZone[zone]...)
				continue
			}
			counts := p.column(0)
			p.atMost(part, term{counts, 1})
			p.atLeast(0, sum{terms: append(slices.Clip(inZone[zone]), term{counts, -1})})
			spread.add(sum{terms: []term{{counts, 1}}})
		}
		if zones < next.Params.Replicas {
			p.atLeast(float64(zones)*part, spread)
		}
	}
	for i, terms := range holds {
		if len(terms) > 0 {
			slots := min(uint64(next.Params.Partitions), next.Roles[i].Capacity/next.Size)
			p.atMost(float64(slots)/total, terms...)
		}
	}
	value, _, err := p.simplex()
	if err != nil {
		t.Fatal(err)
	}
	return value * total
}

// TestLeastMovesTalk: the events of the well-known cluster move as little as the linear program over sorts of
// partitions says.
func TestLeastMovesTalk(t *testing.T) {
	first := make1(t, Input{Roles: talk(), Params: layout.DefaultParams()}).Next
	moves := map[string]int{"neptune-grows": 64, "io-doubled": 0, "fourth-zone": 113, "io-leaves": 256}
	for _, e := range events() {
		r := make1(t, Input{Previous: first, Roles: e.roles, Params: layout.DefaultParams()})
		got, least := r.Migration.Replicas, leastMoves(t, first, r.Next, true)
		if math.Abs(least-float64(got)) > 1e-6*256 {
			t.Errorf("%s: %d moves, the least is %g", e.name, got, least)
		}
		if want, ok := moves[e.name]; ok && got != want {
			t.Errorf("%s: %d moves, want %d", e.name, got, want)
		}
	}
}

// TestLeastMoves compares movement with the full linear program, one variable for each partition and node.
func TestLeastMoves(t *testing.T) {
	cases, largest := 300, 4
	if testing.Short() {
		cases = 40
	}
	for seed := range cases {
		rng := rand.New(rand.NewPCG(uint64(seed), 7))
		p := layout.Params{Replicas: 3, MinZones: 2 + seed%2, Partitions: 2}
		switch { // the method takes eight times as long for twice as many
		case seed == cases-1:
			p.MinZones, p.Partitions, largest = 3, 32, 1
		case seed%50 == 49:
			p.MinZones, p.Partitions = 3, 8
		case seed%10 == 9:
			p.Partitions = 4
		}
		var roles []layout.Role
		for i := range 5 + rng.IntN(2) {
			roles = append(roles, role(i+1, fmt.Sprintf("z%d", i%3), uint64(20+rng.IntN(80))))
		}
		prev, err := layout.Assign(roles, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range largest {
			roles = changed(rng, roles)
			next, err := layout.Assign(roles, p, prev)
			if err != nil {
				break
			}
			got, least := next.Moves(prev), leastMoves(t, prev, next, false)
			if math.Abs(least-float64(got)) > 1e-5 {
				t.Fatalf("seed %d: %d moves, the least is %g", seed, got, least)
			}
			prev = next
		}
	}
}

// changed resizes, adds or removes a node.
func changed(rng *rand.Rand, roles []layout.Role) []layout.Role {
	roles = slices.Clone(roles)
	i := rng.IntN(len(roles))
	switch rng.IntN(4) {
	case 0:
		return slices.Delete(roles, i, i+1)
	case 1:
		if len(roles) < 7 {
			zone := fmt.Sprintf("z%d", rng.IntN(4))
			return append(roles, role(100+rng.IntN(10_000), zone, uint64(20+rng.IntN(80))))
		}
	case 2:
		roles[i].Zone = layout.ZoneName(fmt.Sprintf("z%d", rng.IntN(4)))
	}
	roles[i].Capacity = uint64(20 + rng.IntN(80))
	return roles
}
