package plan

import (
	"encoding/json"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"granary/core/layout"
	"granary/core/rt"
)

// TestReport drives random changes through Make and checks that a report agrees with itself and with layout.
func TestReport(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genCluster().Draw(t, "before")
		in := Input{Roles: c.roles, Params: c.params}
		first, err := Make(in)
		if err != nil {
			t.Fatal(err)
		}
		checkReport(t, in, first)
		if first.Next == nil {
			return
		}
		to := genCluster().Draw(t, "after")
		in = Input{Previous: first.Next, Roles: to.roles, Params: to.params, AnyBandwidth: 1000}
		in.Params.Tolerance = rapid.IntRange(0, 300).Draw(t, "tolerance")
		if rapid.Bool().Draw(t, "measured") {
			for range c.params.Partitions {
				bytes := rapid.Uint64Range(0, first.Next.Size).Draw(t, "bytes")
				in.PartitionBytes = append(in.PartitionBytes, bytes)
			}
		}
		for _, r := range c.roles {
			if rapid.IntRange(0, 4).Draw(t, "down") == 0 {
				in.Down = append(in.Down, r.Node)
			}
		}
		second, err := Make(in)
		if err != nil {
			t.Fatal(err)
		}
		checkReport(t, in, second)
	})
}

func checkReport(t *rapid.T, in Input, r *Report) {
	if _, err := json.Marshal(r); err != nil {
		t.Fatal(err)
	}
	if len(r.Text()) == 0 || r.Check.Alarms != 0 || r.Check.Error != "" {
		t.Fatalf("check %+v", r.Check)
	}
	if r.Next == nil {
		if len(r.Refusals) == 0 {
			t.Fatal("no layout, and no reason")
		}
		return
	}
	gained, zoned := 0, 0
	for _, n := range r.Nodes {
		if n.After-n.Before != n.Gained-n.Lost || n.Gained < 0 || n.Lost < 0 || n.Used > 1 {
			t.Fatalf("node %+v", n)
		}
		gained += n.Gained
	}
	for _, z := range r.Zones {
		zoned += z.After
	}
	if zoned != len(r.Next.Table) || gained != r.Next.Moves(in.Previous) {
		t.Fatalf("%d replicas in zones, %d gained; want %d and %d", zoned, gained, len(r.Next.Table),
			r.Next.Moves(in.Previous))
	}
	listed := 0
	for _, wave := range r.Waves {
		listed += len(wave)
	}
	g := r.Migration
	if in.Previous != nil && (g.Replicas != gained || listed != gained || g.Waves != len(r.Waves)) {
		t.Fatalf("migration %+v in %d waves of %d moves", g, len(r.Waves), listed)
	}
	if u := r.Usable; u.After > u.Optimum || u.Optimum > u.Bound {
		t.Fatalf("usable %+v", u)
	}
	for _, w := range r.WhatIf {
		checkWhatIf(t, in, r, w)
	}
	for i, f := range r.Frontier {
		if i > 0 && (f.Usable > r.Frontier[0].Usable || f.Replicas > r.Frontier[i-1].Replicas) ||
			f.Chosen && f.Replicas != gained {
			t.Fatalf("frontier %+v", r.Frontier)
		}
	}
}

// checkWhatIf compares an answer with the table of the changed cluster.
func checkWhatIf(t *rapid.T, in Input, r *Report, w WhatIf) {
	roles, p := slices.Clone(in.Roles), in.Params
	if w.MinZones > 0 {
		p.MinZones = w.MinZones
	}
	if w.MinRegions > 0 {
		p.MinRegions, p.MinZones = w.MinRegions, r.Settings.MinZones
	}
	for i := range roles {
		if slices.Contains(w.Nodes, roles[i].Node.Short()) {
			roles[i].Capacity += w.Added
		}
	}
	v, err := layout.Assign(roles, p, nil)
	if err != nil {
		if w.Usable != 0 {
			t.Fatalf("%+v: %v", w, err)
		}
		return
	}
	if w.Usable != v.Usable() || w.Gain != int64(w.Usable)-int64(r.Usable.Optimum) {
		t.Fatalf("%+v: a table of it holds %d", w, v.Usable())
	}
}

// TestReportRebalance: a version that was made otherwise is described as it is.
func TestReportRebalance(t *testing.T) {
	first := make1(t, Input{Roles: talk(), Params: layout.DefaultParams()}).Next
	grown := make1(t, Input{Previous: first, Roles: append(talk(), role(8, "atuin", 20*terabyte)),
		Params: layout.DefaultParams()}).Next
	next, err := layout.Rebalance(grown, 20)
	if err != nil {
		t.Fatal(err)
	}
	r := make1(t, Input{Previous: grown, Next: next, Names: map[rt.NodeID]string{}})
	moves := next.Moves(grown)
	if r.Next != next || r.Number != 3 || r.Migration.Replicas != moves || len(r.Frontier) != 0 {
		t.Errorf("version %d, %+v; want the rebalance with %d moves", r.Number, r.Migration, moves)
	}
}
