package plan

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"granary/core/layout"
	"granary/core/rt"
)

// init asks for more random cases than rapid's default; -rapid.checks on the command line still wins.
func init() {
	if err := flag.Set("rapid.checks", "2000"); err != nil {
		panic(err)
	}
}

// cluster is a drawn cluster with a bound.
type cluster struct {
	roles  []layout.Role
	params layout.Params
	bound  *layout.Bound
}

// genCluster draws clusters of a few nodes: of few sizes, of many, and of sizes that differ by thousands.
func genCluster() *rapid.Generator[cluster] {
	return rapid.Custom(func(t *rapid.T) cluster {
		zones := rapid.IntRange(1, 5).Draw(t, "zones")
		most := rapid.SampledFrom([]uint64{3, 1000, 1 << 50}).Draw(t, "most")
		var c cluster
		for i := range rapid.IntRange(1, 9).Draw(t, "nodes") {
			z := rapid.IntRange(1, zones).Draw(t, "zone")
			zone := fmt.Sprintf("r%d/%d", z%3, z)
			c.roles = append(c.roles, role(i+1, zone, rapid.Uint64Range(0, most).Draw(t, "capacity")))
		}
		n := rapid.IntRange(1, 5).Draw(t, "replicas")
		c.params = layout.Params{
			Replicas: n, MinZones: rapid.IntRange(0, n).Draw(t, "minZones"),
			Partitions: 1 << rapid.IntRange(0, 8).Draw(t, "partitions"),
			MinRegions: rapid.IntRange(0, min(n, 3)).Draw(t, "minRegions"),
		}
		c.bound, _ = layout.NewBound(c.roles, c.params)
		return c
	}).Filter(func(c cluster) bool { return c.bound != nil })
}

// TestCheck: both programs find the bound of Theorem 2.
func TestCheck(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genCluster().Draw(t, "cluster")
		got := checkBound(c.roles, c.params, c.bound)
		if got.Program != "classes" || got.Error != "" || got.Alarms != 0 {
			t.Fatalf("%+v", got)
		}
		all := classes(c.roles, floatOf(c.bound), nil)
		levels := levelsOf(all, c.roles, c.params)
		value, _, err := newCuts(all, c.params.Replicas, levels).solve()
		if err != nil || math.Abs(value+1) > checkTolerance {
			t.Fatalf("cuts: %g of 1, %v", -value, err)
		}
	})
}

// TestCheckNotices: a bound that is wrong by a millionth raises the alarm.
func TestCheckNotices(t *testing.T) {
	other := talk()
	other[4].Capacity += 15 * terabyte / 1_000_000
	bound, err := layout.NewBound(other, layout.DefaultParams())
	if err != nil {
		t.Fatal(err)
	}
	if got := checkBound(talk(), layout.DefaultParams(), bound); got.Alarms != 1 {
		t.Errorf("a wrong bound passes: %+v", got)
	}
}

// randomCluster has unlike nodes, one class each.
func randomCluster(nodes, zones int) []layout.Role {
	rng := rand.New(rand.NewPCG(uint64(nodes), uint64(zones)))
	roles := make([]layout.Role, nodes)
	for i := range roles {
		roles[i] = role(i+1, fmt.Sprintf("z%02d", i%zones), uint64(math.Exp(rng.NormFloat64()/2)*8*terabyte))
	}
	return roles
}

// TestCheckSizes: where classes are too many, cuts take their place; a few disk sizes are few classes.
func TestCheckSizes(t *testing.T) {
	sizes := make([]layout.Role, 1000)
	for i := range sizes {
		sizes[i] = role(i+1, fmt.Sprintf("z%d", i%10), uint64(1+i/10%4)*4*terabyte)
	}
	tests := []struct {
		roles   []layout.Role
		program string
	}{
		{randomCluster(50, 5), "classes"}, {randomCluster(1000, 10), "cuts"}, {sizes, "classes"},
	}
	p := layout.Params{Replicas: 3, Partitions: 1024}
	for _, tt := range tests {
		bound, err := layout.NewBound(tt.roles, p)
		if err != nil {
			t.Fatal(err)
		}
		got := checkBound(tt.roles, p, bound)
		if got.Program != tt.program || got.Alarms != 0 || got.Error != "" || got.Rows > RowsMax {
			t.Errorf("%d nodes: %+v, want %s", len(tt.roles), got, tt.program)
		}
	}
}

// TestConstrain: no constraint changes nothing; those of a zone work as if its nodes were smaller.
func TestConstrain(t *testing.T) {
	p := layout.DefaultParams()
	neptune := map[layout.ZoneName]float64{"neptune": 1}
	everywhere := map[layout.ZoneName]float64{"neptune": 1, "atuin": 1, "jupiter": 1}
	tests := []struct {
		name        string
		constraints []Constraint
		want        float64
	}{
		{"none", nil, 15},
		{"slack", []Constraint{{Zones: neptune, AtMost: 15 * terabyte}}, 15},
		{"a zone", []Constraint{{Zones: neptune, AtMost: 8 * terabyte}}, 8},
		{"a node", []Constraint{{Nodes: map[rt.NodeID]float64{node(5): 1}, AtMost: 0}}, 10},
		{"everything", []Constraint{{Zones: everywhere, AtMost: 30 * terabyte}}, 10},
		{"half a replica", []Constraint{{Nodes: map[rt.NodeID]float64{node(1): 1}, Usable: -0.5}}, 0},
	}
	for _, tt := range tests {
		got, err := Constrain(talk(), p, tt.constraints...)
		if err != nil || math.Abs(got.Usable/terabyte-tt.want) > 1e-6 {
			t.Errorf("%s: %+v, %v; want %g TB", tt.name, got, err, tt.want)
		}
	}
	if _, err := Constrain(randomCluster(1000, 10), p); !errors.Is(err, ErrTooLarge) {
		t.Errorf("1000 sorts of nodes: %v, want ErrTooLarge", err)
	}
	if _, err := Constrain(talk(), p, Constraint{AtMost: -1}); err == nil {
		t.Error("less than nothing may be stored")
	}
}

// TestConstrainTwin: a cluster where some nodes may store no more than so much is one where they are smaller.
func TestConstrainTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genCluster().Draw(t, "cluster")
		smaller := slices.Clone(c.roles)
		var constraints []Constraint
		for range rapid.IntRange(0, 2).Draw(t, "constraints") {
			i := rapid.IntRange(0, len(smaller)-1).Draw(t, "which")
			if smaller[i].Capacity == 0 {
				continue
			}
			smaller[i].Capacity = rapid.Uint64Range(1, smaller[i].Capacity).Draw(t, "most")
			constraints = append(constraints, Constraint{
				Nodes: map[rt.NodeID]float64{smaller[i].Node: 1}, AtMost: float64(smaller[i].Capacity),
			})
		}
		bound, err := layout.NewBound(smaller, c.params)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := bound.Usable.Float64()
		got, err := Constrain(c.roles, c.params, constraints...)
		if err != nil || math.Abs(got.Usable-want) > 1e-9*want+1e-9*floatOf(c.bound) {
			t.Fatalf("%v, %v; want %g", got, err, want)
		}
	})
}

func floatOf(b *layout.Bound) float64 {
	f, _ := b.Usable.Float64()
	return f
}
