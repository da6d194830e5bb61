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
