package plan

import (
	"errors"
	"testing"

	"granary/core/layout"
)

// TestWithin: as little is given up as the budget asks for, and a step less would exceed it.
func TestWithin(t *testing.T) {
	first := make1(t, Input{Roles: talk(), Params: layout.DefaultParams()}).Next
	in := Input{Previous: first, Params: layout.DefaultParams()}
	in.Roles = append(talk(), role(8, "pluto", 10*terabyte))
	whole := make1(t, in).Migration.Bytes
	for _, budget := range []uint64{whole, whole - 1, whole / 2, whole / 10} {
		f, err := Within(in, budget)
		if err != nil {
			t.Fatal(err)
		}
		if (f.Tolerance == 0) != (budget == whole) || f.Bytes > budget {
			t.Errorf("budget %d: %+v", budget, f)
		}
		if f.Tolerance > 0 && tolerating(in, f.Tolerance-1).Bytes <= budget {
			t.Errorf("budget %d: %+v, yet less tolerance does", budget, f)
		}
		in.Params.Tolerance = f.Tolerance
		if m := make1(t, in); m.Migration.Bytes != f.Bytes || m.Usable.After != f.Usable {
			t.Errorf("budget %d: %+v; the report says %+v", budget, f, m.Migration)
		}
		in.Params.Tolerance = 0
	}
	leaves := Input{Previous: first, Roles: talk()[:6], Params: layout.DefaultParams()}
	if _, err := Within(leaves, 1); !errors.Is(err, ErrUnreachable) {
		t.Errorf("what a node that leaves had must be copied: %v, want ErrUnreachable", err)
	}
	if _, err := Within(Input{Previous: first, Params: layout.DefaultParams()}, 1); !errors.Is(err,
		layout.ErrTooFewNodes) {
		t.Errorf("%v, want ErrTooFewNodes", err)
	}
	if _, err := Within(Input{Roles: talk(), Params: layout.DefaultParams()}, 1); err == nil {
		t.Error("a first layout has a budget")
	}
}
