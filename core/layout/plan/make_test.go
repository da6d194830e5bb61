package plan

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"granary/core/layout"
	"granary/core/rt"
)

const terabyte = 1_000_000_000_000

var talkNames = []string{"io", "drosera", "datura", "digitale", "celeri", "concombre", "courgette"}

func node(i int) rt.NodeID { return rt.NodeID{byte(i >> 8), byte(i), 0xaa} }

func role(i int, zone string, capacity uint64) layout.Role {
	return layout.Role{Node: node(i), Zone: layout.ZoneName(zone), Capacity: capacity}
}

// talk is seven nodes at three sites: 20, 20+10+10 and 5+5+5 TB.
func talk() []layout.Role {
	return []layout.Role{
		role(1, "jupiter", 20*terabyte), role(2, "atuin", 20*terabyte), role(3, "atuin", 10*terabyte),
		role(4, "atuin", 10*terabyte), role(5, "neptune", 5*terabyte), role(6, "neptune", 5*terabyte),
		role(7, "neptune", 5*terabyte),
	}
}

func names() map[rt.NodeID]string {
	m := map[rt.NodeID]string{node(8): "persil"}
	for i, name := range talkNames {
		m[node(i+1)] = name
	}
	return m
}

func make1(t testing.TB, in Input) *Report {
	t.Helper()
	r, err := Make(in)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func codes(notices []Notice) string {
	var out []string
	for _, n := range notices {
		code := string(n.Code)
		if n.Confirm {
			code += "!"
		}
		out = append(out, code)
	}
	return strings.Join(out, " ")
}

// TestTalk checks the numbers known for the well-known cluster.
func TestTalk(t *testing.T) {
	r := make1(t, Input{Roles: talk(), Params: layout.DefaultParams(), Names: names()})
	if r.Usable.Bound != 15*terabyte || r.Usable.After/1e9 != 14883 || r.Usable.Optimum != r.Usable.After {
		t.Errorf("usable %+v; want 14.884 of 15 TB", r.Usable)
	}
	want := "neptune limits: +1 TB on celeri gives +1.12 TB; dropping to 2 zones would give 24.9 TB"
	if r.Limit.Text != want {
		t.Errorf("%q, want %q", r.Limit.Text, want)
	}
	if got := fmt.Sprint(r.Limit.Full, r.Limit.Limiting, r.Limit.Level, r.Limit.Spread); got !=
		"[atuin jupiter] [neptune]zone3" {
		t.Errorf("limit %s", got)
	}
	if w := r.WhatIf[0]; w.Until != 5*terabyte || w.Then != 0 || w.Gain/1e9 != 1116 {
		t.Errorf("what if: %+v; want 1.116 TB, until jupiter limits too, at 5 TB", w)
	}
	if got := codes(r.Warnings); got != "spread_costs!" || !r.Confirm {
		t.Errorf("warnings %s", got)
	}
	raw, err := json.Marshal(r)
	if err != nil || strings.Count(string(raw), ":null") != 1 { // the seconds of the migration
		t.Errorf("%s, %v", raw, err)
	}
}

// TestRegions: a small region limits where each partition must be in both; less of that is an answer too.
func TestRegions(t *testing.T) {
	roles := []layout.Role{
		role(1, "eu/a", 10*terabyte), role(2, "eu/b", 10*terabyte), role(3, "eu/c", 10*terabyte),
		role(4, "us/a", 4*terabyte),
	}
	p := layout.DefaultParams()
	p.MinRegions = 2
	r := make1(t, Input{Roles: roles, Params: p, Names: map[rt.NodeID]string{node(4): "celeri"}})
	want := "us limits: +100 GB on celeri gives +100 GB; dropping to 1 region would give 11.3 TB"
	if r.Limit.Level != "region" || r.Limit.Text != want || r.Check.Alarms != 0 || r.Check.Error != "" {
		t.Errorf("limit %+v, want %q; check %+v", r.Limit, want, r.Check)
	}
	if r.Usable.Bound != 4*terabyte || r.Settings.MinRegions != 2 {
		t.Errorf("usable %+v, settings %+v", r.Usable, r.Settings)
	}
	p.MinRegions = 0
	in := Input{Previous: r.Next, Roles: roles, Params: p}
	if got := codes(make1(t, in).Warnings); got != "spread_falls!" {
		t.Errorf("warnings %q", got)
	}
}

// TestDoubled: partitions that are doubled move nothing, and the report says what a finer table would give.
func TestDoubled(t *testing.T) {
	first := make1(t, Input{Roles: talk(), Params: layout.DefaultParams(), Names: names()})
	params := layout.DefaultParams()
	params.Partitions *= 2
	r := make1(t, Input{Previous: first.Next, Roles: talk(), Params: params, Names: names()})
	if r.Migration.Replicas != 0 || r.Usable.After/1e6 != first.Usable.After/1e6 {
		t.Errorf("%d replicas move, usable %d, before %d", r.Migration.Replicas, r.Usable.After,
			first.Usable.After)
	}
	got := codes(r.Warnings)
	if !strings.Contains(got, string(OnlyDoubled)) || strings.Contains(got, "falls") {
		t.Errorf("warnings %q", got)
	}
}
