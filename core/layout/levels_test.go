package layout

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestRegions: three replicas in two regions, of which the small one decides what is usable; and the
// refusals.
func TestRegions(t *testing.T) {
	roles := []Role{
		role(1, "eu/paris", 10*terabyte), role(2, "eu/lyon", 10*terabyte), role(3, "eu/lille", 10*terabyte),
		role(4, "us/ohio", 4*terabyte), role(5, "us/iowa", 1*terabyte),
	}
	anywhere := assign(t, roles, DefaultParams(), nil)
	params := DefaultParams()
	params.MinRegions = 2
	v := assign(t, roles, params, nil)
	if got, want := v.Usable()/1e9, uint64(5000); got > want || got < want-50 {
		t.Errorf("usable %d GB, want a little less than %d: one replica of each partition in us", got, want)
	}
	if anywhere.Usable() < 2*v.Usable() {
		t.Errorf("usable %d bytes without regions, %d with", anywhere.Usable(), v.Usable())
	}
	for p := range Partition(params.Partitions) {
		regions := map[string]bool{}
		for _, n := range v.Replicas(p) {
			r, _ := v.Role(n)
			regions[r.Zone.Region()] = true
		}
		if len(regions) != 2 {
			t.Fatalf("partition %d is in regions %v", p, regions)
		}
	}
	if moves := assign(t, roles, params, v).Moves(v); moves != 0 {
		t.Errorf("an unchanged cluster moves %d replicas", moves)
	}
	params.MinRegions = 3
	_, err := Assign(roles, params, nil)
	text := `2 regions with storing nodes ["eu" "us"]`
	if !errors.Is(err, ErrTooFewZones) || !strings.Contains(err.Error(), text) {
		t.Errorf("three regions of two: %v", err)
	}
	params.MinRegions = 4
	if _, err := Assign(roles, params, nil); !errors.Is(err, ErrParams) {
		t.Errorf("more regions than replicas: %v", err)
	}
}

// TestPairsAreBounded: what would take minutes and gigabytes is refused, with the remedy.
func TestPairsAreBounded(t *testing.T) {
	var roles []Role
	for i := range 65 {
		roles = append(roles, role(i, fmt.Sprintf("z%d", i), terabyte))
	}
	params := Params{Replicas: 1, MinZones: 1, Partitions: PartitionsMax}
	if _, err := Assign(roles[:64], params, nil); err != nil {
		t.Errorf("64 zones: %v", err)
	}
	_, err := Assign(roles, params, nil)
	if !errors.Is(err, ErrParams) || !strings.Contains(err.Error(), "use fewer partitions") {
		t.Errorf("65 zones: %v", err)
	}
}
