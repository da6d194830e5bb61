package plan

import (
	"fmt"
	"testing"

	"granary/core/layout"
)

// BenchmarkMake plans the loss of a node.
func BenchmarkMake(b *testing.B) {
	for _, bb := range []struct{ nodes, zones, partitions int }{
		{7, 3, 256}, {100, 10, 1024}, {1000, 10, 1024}, {1000, 10, 16384},
	} {
		roles := randomCluster(bb.nodes, bb.zones)
		p := layout.Params{Replicas: 3, Partitions: bb.partitions}
		first, err := layout.Assign(roles, p, nil)
		if err != nil {
			b.Fatal(err)
		}
		in := Input{Previous: first, Roles: roles[1:], Params: p, AnyBandwidth: 100_000_000}
		b.Run(fmt.Sprintf("%dx%d", bb.nodes, bb.partitions), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r := make1(b, in); r.Check.Alarms > 0 {
					b.Fatal(r.Check)
				}
			}
		})
	}
}

// BenchmarkRefusal refuses a layout of a thousand nodes.
func BenchmarkRefusal(b *testing.B) {
	p := layout.Params{Replicas: 12, MinZones: 11, Partitions: 1024}
	in := Input{Roles: randomCluster(1000, 10), Params: p}
	for b.Loop() {
		if r := make1(b, in); len(r.Refusals) == 0 {
			b.Fatal("11 zones found in 10")
		}
	}
}

// BenchmarkVariants answers 50 what-ifs about a thousand nodes: 50 of them limit, each of another size.
func BenchmarkVariants(b *testing.B) {
	p := layout.Params{Replicas: 3, Partitions: 1024}
	roles := randomCluster(1000, 3)
	first, err := layout.Assign(roles, p, nil)
	if err != nil {
		b.Fatal(err)
	}
	m := &maker{Report: newReport(), in: Input{Roles: first.Roles, Params: p}}
	m.Next, m.crowd = first, gather(&m.in)
	m.crowd.rows(&m.in, first)
	if m.bound, err = layout.NewBound(roles, p); err != nil {
		b.Fatal(err)
	}
	m.settings()
	m.usable()
	m.describe()
	for b.Loop() {
		m.WhatIf = nil
		m.whatIf()
		if len(m.WhatIf) < variantsMax {
			b.Fatalf("%d variants", len(m.WhatIf))
		}
	}
}

// BenchmarkBuy asks for half as much again.
func BenchmarkBuy(b *testing.B) {
	p := layout.Params{Replicas: 3, Partitions: 1024}
	in := Purchase{Roles: randomCluster(1000, 10), Params: p, Prices: map[layout.ZoneName]float64{}}
	for i := range 10 {
		in.Prices[layout.ZoneName(fmt.Sprintf("z%02d", i))] = float64(1 + i%3)
	}
	in.Target = optimum(in.Roles, p) * 3 / 2
	for b.Loop() {
		if _, err := Buy(in); err != nil {
			b.Fatal(err)
		}
	}
}
