package plan

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"granary/core/layout"
)

// TestDispersion compares counts with a table of all pairs.
func TestDispersion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genCluster().Draw(t, "cluster")
		v, err := layout.Assign(c.roles, c.params, nil)
		if err != nil || c.params.Replicas < 2 {
			return
		}
		d := NewDispersion(v)
		loads := v.Loads()
		most, worst, sum := 0, 0.0, 0
		for a := range v.Roles {
			for b := range v.Roles {
				shared := 0
				for p := range layout.Partition(v.Params.Partitions) {
					hasA, hasB := false, false
					for _, n := range v.Row(p) {
						hasA, hasB = hasA || int(n) == a, hasB || int(n) == b
					}
					if hasA && hasB && a != b {
						shared++
					}
				}
				sum += shared
				most = max(most, shared)
				if loads[a] > 0 {
					worst = max(worst, float64(shared)/float64(loads[a]))
				}
			}
		}
		if d.MaxPair != most || math.Abs(d.WorstPartner-worst) > 1e-12 {
			t.Fatalf("%+v; want pairs of %d, partners of %g", d, most, worst)
		}
		if d.Partners <= 0 || d.Partners > 1 || d.Rebuild <= 0 || d.Rebuild > 1 {
			t.Fatalf("%+v is out of range", d)
		}
		s := newSharing(v)
		expected := 0.0
		for a := range v.Roles {
			for b := range v.Roles {
				if s.may(a, b) {
					expected += s.scale() * float64(loads[a]*loads[b])
				}
			}
		}
		if math.Abs(expected-float64(sum)) > 1e-6*float64(sum) {
			t.Fatalf("chance shares %g partitions, the table %d", expected, sum)
		}
	})
}

// TestDispersionTalk: the numbers that were measured for the well-known cluster.
func TestDispersionTalk(t *testing.T) {
	d := make1(t, Input{Roles: talk(), Params: layout.DefaultParams()}).Dispersion
	if d.MaxPair != 110 || d.Excess > 1.1 || d.WorstPartner != 1 || d.Partners != 1 || d.Rebuild > 0.3 {
		t.Errorf("%+v", d)
	}
}
