package plan

import (
	"slices"
	"strings"
	"testing"

	"granary/core/layout"
	"granary/core/rt"
)

func equal(n int, capacity uint64) []layout.Role {
	var roles []layout.Role
	for i := range n {
		roles = append(roles, role(i+1, "z"+string(rune('a'+i)), capacity))
	}
	return roles
}

// TestWarnings: each warning appears for its reason, and not without.
func TestWarnings(t *testing.T) {
	p := layout.DefaultParams()
	three := equal(3, 10*terabyte)
	with := func(roles []layout.Role, more ...layout.Role) []layout.Role {
		return append(slices.Clone(roles), more...)
	}
	sized := func(i int, capacity uint64) []layout.Role {
		roles := slices.Clone(three)
		roles[i].Capacity = capacity
		return roles
	}
	bytes := slices.Repeat([]uint64{terabyte / 256}, 256)
	uneven := slices.Clone(bytes)
	uneven[7] *= 5
	two := p
	two.Replicas = 2
	fourth := role(9, "zd", 10*terabyte)
	tests := []struct {
		name  string
		first []layout.Role // none: a first layout
		in    Input
		codes string // ! asks
		text  string // in one of the notices
	}{
		{"plain", nil, Input{Roles: three, Params: p}, "", ""},
		{"unchanged", three, Input{Roles: three, Params: p}, "", ""},
		{"grows", three, Input{Roles: with(three, fourth), Params: p}, "", ""},
		{"falls", three, Input{Roles: sized(0, 9*terabyte), Params: p}, "usable_falls!",
			"falls from 10 TB to 9 TB"},
		{"zone goes", with(three, role(9, "za", 10*terabyte)), Input{Roles: with(three[:2],
			role(9, "za", 10*terabyte)), Params: p}, "spread_falls!", "in 2 zones, now it is in 3"},
		{"fewer replicas", three, Input{Roles: three, Params: two}, "spread_falls! replicas_fall!",
			"2 replicas, now it has 3"},
		{"idle node", three, Input{Roles: with(sized(2, 5*terabyte), role(9, "za", terabyte)), Params: p},
			"usable_falls! spread_costs! idle_node!", "brings 1 TB to za and gets no partition"},
		{"idle capacity", three, Input{Roles: sized(1, 11*terabyte), Params: p}, "idle_capacity",
			"grows by 1 TB, and nothing becomes usable"},
		{"below size", three, Input{Roles: with(three, role(9, "za", 1000)), Params: p},
			"idle_node! below_size", "smaller than one partition of 39.1 GB"},
		{"few partitions", nil, Input{Roles: three, Params: layout.Params{Replicas: 3, Partitions: 2}},
			"", ""}, // nothing is lost with equal nodes
		{"lost to rounding", nil, Input{Roles: randomCluster(20, 5),
			Params: layout.Params{Replicas: 3, Partitions: 64}}, "few_partitions",
			"64 partitions lose 4.87 % to rounding; with 256, 60.2 TB would be usable"},
		{"no room", three, Input{Roles: sized(0, terabyte/2), Params: p, PartitionBytes: bytes},
			"usable_falls!", "would hold 1 TB as partitions are filled now, 500 GB more than its 500 GB"},
		{"uneven", three, Input{Roles: three, Params: p, PartitionBytes: uneven}, "uneven_partitions",
			"the largest partition holds 19.5 GB, the mean is 3.97 GB"},
		{"down gains", three, Input{Roles: with(three, fourth), Params: p, Down: []rt.NodeID{node(9)}},
			"down_gains!", "given to nodes that are down: "},
		{"no source", three, Input{Roles: with(three, fourth), Params: p,
			Down: []rt.NodeID{node(1), node(2), node(3)}}, "no_source!", "192 replicas cannot be copied"},
	}
	for _, tt := range tests {
		if tt.first != nil {
			tt.in.Previous = make1(t, Input{Roles: tt.first, Params: p}).Next
		}
		r := make1(t, tt.in)
		if got := codes(r.Warnings); got != tt.codes || r.Confirm != strings.Contains(got, "!") {
			t.Errorf("%s: warnings %q, confirm %v; want %q", tt.name, got, r.Confirm, tt.codes)
		}
		all := append(slices.Clone(r.Refusals), r.Warnings...)
		found := slices.ContainsFunc(all, func(n Notice) bool { return strings.Contains(n.Text, tt.text) })
		if tt.text != "" && !found {
			t.Errorf("%s: no notice says %q: %v", tt.name, tt.text, all)
		}
	}
}

// TestTightRoom: two full nodes exchange a partition, and neither has room for the other's.
func TestTightRoom(t *testing.T) {
	roles := append(equal(3, 4000), role(9, "za", 4000))
	p := layout.Params{Replicas: 3, Partitions: 4}
	first := make1(t, Input{Roles: roles, Params: p}).Next
	next := *first
	next.Number, next.Table = 2, slices.Clone(first.Table)
	last := uint16(len(roles) - 1)
	here := slices.IndexFunc(first.Table, func(i uint16) bool { return i == 0 })
	there := slices.IndexFunc(first.Table, func(i uint16) bool { return i == last })
	next.Table[here], next.Table[there] = last, 0
	in := Input{Previous: first, Next: &next, PartitionBytes: slices.Repeat([]uint64{1900}, 4)}
	r := make1(t, in)
	if got := codes(r.Warnings); got != "spread_costs tight_room! tight_room!" || r.Migration.Bytes != 3800 {
		t.Errorf("warnings %q, %d bytes", got, r.Migration.Bytes)
	}
	in.PartitionBytes = slices.Repeat([]uint64{1000}, 4)
	if got := codes(make1(t, in).Warnings); got != "spread_costs" {
		t.Errorf("with room: %q", got)
	}
}

// TestRefusals: a layout that cannot be is a report that says why.
func TestRefusals(t *testing.T) {
	p := layout.DefaultParams()
	zones := p
	zones.MinZones = 3
	bad := p
	bad.Partitions, bad.Tolerance = 100, 9999
	twoZones := []layout.Role{role(1, "a", 100), role(2, "b", 100), role(3, "b", 100)}
	tests := []struct {
		name string
		in   Input
		code string
		text string
	}{
		{"no nodes", Input{Params: p}, "too_few_nodes", "0 storing nodes, 3 needed for 3 replicas"},
		{"gateways", Input{Roles: append(equal(2, 1), role(3, "c", 0)), Params: p},
			"too_few_nodes", "2 storing nodes"},
		{"zones", Input{Roles: twoZones, Params: zones}, "too_few_zones", "in 2 zones (a and b), 3 needed"},
		{"regions", Input{Roles: []layout.Role{role(1, "eu/a", 1), role(2, "eu/b", 1), role(3, "eu/c", 1)},
			Params: layout.Params{Replicas: 3, Partitions: 1, MinRegions: 2}}, "too_few_regions",
			"in 1 region (eu), 2 needed"},
		{"tiny", Input{Roles: equal(3, 100), Params: p}, "too_little_capacity", "one byte in 3 zones"},
		{"parameters", Input{Roles: equal(3, 100), Params: bad}, "invalid_parameter invalid_parameter",
			"partitions 100: want a power of two"},
	}
	for _, tt := range tests {
		r := make1(t, tt.in)
		if got := codes(r.Refusals); got != tt.code || r.Next != nil {
			t.Errorf("%s: refusals %q, want %q", tt.name, got, tt.code)
		} else if !strings.Contains(r.Refusals[0].Text, tt.text) || r.Refusals[0].Remedy == "" {
			t.Errorf("%s: %v, want %q", tt.name, r.Refusals, tt.text)
		}
		if len(r.Nodes) != len(tt.in.Roles) {
			t.Errorf("%s: %d nodes described, want %d", tt.name, len(r.Nodes), len(tt.in.Roles))
		}
	}
	if _, err := Make(Input{Params: p, PartitionBytes: []uint64{1}}); err == nil {
		t.Error("sizes of partitions without a version in force")
	}
}

// TestBytes: measured partitions follow when partitions are split and joined.
func TestBytes(t *testing.T) {
	p := layout.Params{Replicas: 3, Partitions: 4}
	first := make1(t, Input{Roles: equal(3, 1<<20), Params: p}).Next
	for _, partitions := range []int{2, 4, 16} {
		p.Partitions = partitions
		in := Input{Previous: first, Roles: first.Roles, Params: p}
		in.PartitionBytes = []uint64{40, 80, 120, 160}
		r := make1(t, in)
		for _, n := range r.Nodes {
			if n.Stored != 400 || n.Will != 400 || n.Before != partitions || n.Gained != 0 {
				t.Errorf("%d partitions: %+v", partitions, n)
			}
		}
	}
}
