package layout

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestValidateRefuses breaks a good version in every way that Validate names.
func TestValidateRefuses(t *testing.T) {
	params := Params{Replicas: 3, MinZones: 2, Partitions: 8}
	roles := append(talk(), role(8, "pluto", 0))
	good := assign(t, roles, params, nil)
	gateway := uint16(len(good.Roles) - 1)
	tests := []struct {
		name   string
		damage func(v *Version)
		text   string
	}{
		{"no number", func(v *Version) { v.Number = 0 }, "number 0"},
		{"first with parent", func(v *Version) { v.Parent = Hash{1} }, "number 1 with parent"},
		{"later without parent", func(v *Version) { v.Number = 2 }, "number 2 with parent"},
		{"algorithm", func(v *Version) { v.Algorithm = 0 }, "no algorithm"},
		{"parameters", func(v *Version) { v.Params.Replicas = 0 }, "replicas 0"},
		{"roles out of order", func(v *Version) { v.Roles[0], v.Roles[1] = v.Roles[1], v.Roles[0] },
			"not above"},
		{"role twice", func(v *Version) { v.Roles[1] = v.Roles[0] }, "not above"},
		{"bad role", func(v *Version) { v.Roles[0].Zone = "" }, "zone \"\""},
		{"short table", func(v *Version) { v.Table = v.Table[1:] }, "table of 23 entries: want 24"},
		{"long table", func(v *Version) { v.Table = append(v.Table, 0) }, "table of 25 entries"},
		{"no table", func(v *Version) { v.Table = nil }, "table of 0 entries"},
		{"index out of range", func(v *Version) { v.Table[0] = 99 }, "entry 0 is role 99"},
		{"gateway stores", func(v *Version) { v.Table[2] = gateway }, "entry 2 is role 7"},
		{"row out of order", func(v *Version) { v.Table[0], v.Table[1] = v.Table[1], v.Table[0] },
			"do not ascend"},
		{"node twice", func(v *Version) { v.Table[1] = v.Table[0] }, "do not ascend"},
		{"one zone", func(v *Version) { copy(v.Table, []uint16{4, 5, 6}) }, `in zones ["neptune"], want 2`},
		{"too few nodes", func(v *Version) {
			v.Params.Replicas, v.Params.Partitions = 8, 2
			v.Table = v.Table[:16]
		}, "8 needed"},
		{"size too great", func(v *Version) { v.Size++ }, "the loads allow"},
		{"size too small", func(v *Version) { v.Size-- }, "the loads allow"},
		{"better table exists", func(v *Version) { v.Roles[gateway].Capacity = 20 * terabyte },
			"the optimum is"},
	}
	for _, tt := range tests {
		v := *good
		v.Roles, v.Table = slices.Clone(good.Roles), slices.Clone(good.Table)
		tt.damage(&v)
		if err := v.Validate(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v; want ErrInvalid with %q", tt.name, err, tt.text)
		}
	}
	if err := good.Validate(); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

// TestValidateBounded: a thoroughly broken table makes an error of bounded length.
func TestValidateBounded(t *testing.T) {
	v := *assign(t, talk(), DefaultParams(), nil)
	v.Table = make(Table, len(v.Table))
	err := v.Validate()
	if !errors.Is(err, ErrInvalid) || len(err.Error()) > 10_000 || !strings.Contains(err.Error(), "more") {
		t.Errorf("%d bytes of error: %.200v", len(err.Error()), err)
	}
}

// TestValidateAnyEntry: changing any one entry of a table whose nodes are all full is noticed.
func TestValidateAnyEntry(t *testing.T) {
	roles := []Role{role(1, "a", 64), role(2, "a", 64), role(3, "b", 64), role(4, "b", 64)}
	good := assign(t, roles, Params{Replicas: 2, Partitions: 16}, nil)
	rapid.Check(t, func(t *rapid.T) {
		v := *good
		v.Table = slices.Clone(good.Table)
		i := rapid.IntRange(0, len(v.Table)-1).Draw(t, "entry")
		v.Table[i] = rapid.Uint16Max(5).Draw(t, "role")
		if err := v.Validate(); (err == nil) != (v.Table[i] == good.Table[i]) {
			t.Fatalf("entry %d from %d to %d: %v", i, good.Table[i], v.Table[i], err)
		}
	})
}
