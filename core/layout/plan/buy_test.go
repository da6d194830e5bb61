package plan

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"granary/core/layout"
	"granary/core/rt"
)

func (o *Order) String() string {
	var items []string
	for _, i := range o.Items {
		items = append(items, fmt.Sprintf("%s %s", i.Node, formatBytes(i.Added)))
	}
	return strings.Join(items, ", ")
}

// TestBuyTalk checks the purchases known for the well-known cluster, at one price everywhere.
func TestBuyTalk(t *testing.T) {
	alike := map[layout.ZoneName]float64{"atuin": 1, "jupiter": 1, "neptune": 1}
	dear := map[layout.ZoneName]float64{"atuin": 1, "jupiter": 1, "neptune": 10}
	three := layout.DefaultParams()
	three.MinZones = 3
	tests := []struct {
		name string
		in   Purchase
		cost float64
		want string
	}{
		{"enough", Purchase{Target: 14 * terabyte, Prices: alike}, 0, ""},
		{"20 TB", Purchase{Target: 20 * terabyte, Prices: alike}, 5, "celeri 5 TB"},
		{"25 TB", Purchase{Target: 25 * terabyte, Prices: alike}, 15, "io 5 TB, celeri 10 TB"},
		{"30 TB", Purchase{Target: 30 * terabyte, Prices: alike}, 25, "io 10 TB, celeri 15.2 TB"},
		{"price", Purchase{Target: 20 * terabyte, Prices: dear}, 50, "celeri 5 TB"},
		{"small nodes", Purchase{Target: 20 * terabyte, Prices: alike, AnyNodeMax: 7 * terabyte}, 5,
			"celeri 1.95 TB, concombre 1.95 TB, courgette 1.09 TB"},
		{"new zone", Purchase{Params: three, Target: 20 * terabyte,
			NewNodes: map[layout.ZoneName]int{"pluto": 1},
			Prices:   map[layout.ZoneName]float64{"pluto": 1, "neptune": 3}}, 5, "new node 1 in pluto 5 TB"},
	}
	for _, tt := range tests {
		tt.in.Roles, tt.in.Names = talk(), names()
		if tt.in.Params.Replicas == 0 {
			tt.in.Params = layout.DefaultParams()
		}
		o, err := Buy(tt.in)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if o.String() != tt.want || math.Abs(o.Cost-tt.cost) > 0.2 || o.Usable < tt.in.Target {
			t.Errorf("%s: %v for %g, %s usable; want %s for %g", tt.name, o, o.Cost, formatBytes(o.Usable),
				tt.want, tt.cost)
		}
	}
}

// TestBuyNewNode: nodes that hold every partition already are passed over, and those at their maximum.
func TestBuyNewNode(t *testing.T) {
	giant := uint64(100 * terabyte)
	in := Purchase{
		Roles:  []layout.Role{role(1, "a", 5*terabyte), role(2, "a", giant), role(3, "a", giant)},
		Params: layout.DefaultParams(), Target: 50 * terabyte, Names: names(), Unit: terabyte,
		Prices:  map[layout.ZoneName]float64{"a": 2},
		NodeMax: map[rt.NodeID]uint64{node(1): 10 * terabyte}, NewNodes: map[layout.ZoneName]int{"a": 2},
	}
	o, err := Buy(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := "io 5 TB, new node 1 in a 41 TB"; o.String() != want || o.Cost != 92 || len(o.Roles) != 4 {
		t.Errorf("%v for %g, %d roles; want %s", o, o.Cost, len(o.Roles), want)
	}
}

func TestBuyRefuses(t *testing.T) {
	p := layout.DefaultParams()
	neptune := map[layout.ZoneName]float64{"neptune": 1}
	tests := []struct {
		name string
		in   Purchase
		want error
		text string
	}{
		{"only one zone sells", Purchase{Params: p, Target: 25 * terabyte, Prices: neptune}, ErrUnreachable,
			"more zones must sell"},
		{"nodes are small", Purchase{Params: p, Target: 20 * terabyte, Prices: neptune,
			NodeMax:    map[rt.NodeID]uint64{node(5): 6 * terabyte},
			AnyNodeMax: 5 * terabyte}, ErrUnreachable, "larger nodes"},
		{"nothing is sold", Purchase{Params: p, Target: 20 * terabyte}, ErrUnreachable, "20 TB usable"},
		{"no target", Purchase{Params: p, Prices: neptune}, nil, "target of 0 bytes"},
		{"no price", Purchase{Params: p, Target: 1, Prices: map[layout.ZoneName]float64{"neptune": -1}}, nil,
			"price -1 in neptune"},
		{"a price beyond digits", Purchase{Params: p, Target: 1,
			Prices: map[layout.ZoneName]float64{"neptune": 1e308}}, nil, "price 1e+308 in neptune: want"},
		{"a unit too large", Purchase{Params: p, Target: 20 * terabyte, Prices: neptune, Unit: 1 << 63}, nil,
			"unit of 9223372036854775808 bytes"},
		{"no such zone", Purchase{Params: p, Target: 1, Prices: map[layout.ZoneName]float64{"pluto": 1}}, nil,
			"price in pluto: no node is there"},
		{"parameters", Purchase{Target: 1, Prices: neptune}, layout.ErrParams, "replicas 0"},
	}
	many := Purchase{Params: p, Target: terabyte, Prices: map[layout.ZoneName]float64{}}
	for i := range 60 {
		zone := layout.ZoneName(fmt.Sprintf("z%d", i))
		many.Roles = append(many.Roles, role(i+1, string(zone), 1000))
		many.Prices[zone] = 1
	}
	if _, err := Buy(many); !errors.Is(err, ErrTooLarge) {
		t.Errorf("60 zones: %v, want ErrTooLarge", err)
	}
	for _, tt := range tests {
		tt.in.Roles = talk()
		_, err := Buy(tt.in)
		known := tt.want == nil || errors.Is(err, tt.want)
		if err == nil || !known || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v; want %v with %q", tt.name, err, tt.want, tt.text)
		}
	}
}

// TestBuyEnough: what is bought makes the target usable in whole partitions, no node exceeds its maximum, and
// the cost is close to that of a cluster whose partitions can be split at will.
func TestBuyEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genCluster().Draw(t, "cluster")
		c.params.Partitions = 256
		in := Purchase{Roles: c.roles, Params: c.params, Unit: 1, Prices: map[layout.ZoneName]float64{}}
		for i := range in.Roles {
			in.Roles[i].Capacity = in.Roles[i].Capacity % (1 << 30) << 20
		}
		for _, r := range in.Roles {
			if r.Stores() {
				in.Prices[r.Zone] = float64(rapid.IntRange(1, 9).Draw(t, "price"))
			}
		}
		before := optimum(in.Roles, in.Params)
		if _, err := layout.NewBound(in.Roles, in.Params); err != nil {
			return // a capacity became none
		}
		in.Target = uint64(float64(max(before, 1<<20)) * rapid.Float64Range(1.001, 3).Draw(t, "times"))
		o, err := Buy(in)
		if err != nil {
			t.Fatal(err)
		}
		s, err := openShop(in)
		if err != nil {
			t.Fatal(err)
		}
		if o.Usable < in.Target || o.Usable != optimum(o.Roles, in.Params) {
			t.Fatalf("%d usable, %d wanted", o.Usable, in.Target)
		}
		if o.Cost < o.Bound*(1-1e-6) {
			t.Fatalf("cost %g is below its bound %g", o.Cost, o.Bound)
		}
		// Enlarging a node by a partition and its remainder does what a split partition would.
		most := o.Bound + 9*float64(len(c.roles))*2*float64(s.size)/terabytePriced
		if o.Cost > most*(1+1e-6) {
			t.Fatalf("cost %g, bound %g; %g is enough", o.Cost, o.Bound, most)
		}
	})
}
