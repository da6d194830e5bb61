package campaign

import (
	"strings"
	"testing"

	"granary/sim/fault"
)

// changing are simulations in which layouts change and stores are lost, under all other faults.
func changing(resting bool) Options {
	return Options{Always: []fault.Kind{fault.LayoutChange, fault.LostStore}, Resting: resting}
}

// TestLayoutChanges: no checker has anything to say while layouts change and stores are lost, with
// anti-entropy and without, and all comes to rest.
func TestLayoutChanges(t *testing.T) {
	const seeds = 8
	total := NewTotal()
	for seed := range uint64(seeds) {
		r := Seed(seed, changing(seed%2 == 0))
		total.Add(r)
		if r.Failed() {
			var b strings.Builder
			r.Report(&b)
			t.Error(b.String())
		}
	}
	t.Log(total)
	for _, kind := range changing(false).Always {
		if total.Faults[kind] < seeds {
			t.Errorf("%d of kind %s in %d seeds", total.Faults[kind], kind, seeds)
		}
	}
	for _, rare := range []string{"a layout was applied under faults", "rows taken over for a layout",
		"surplus rows dropped", "lost store waits before it syncs", "fence refused a write",
		"a lost store synced while a layout changed"} {
		if total.Sometimes[rare] == 0 {
			t.Errorf("no seed of %d reached %q", seeds, rare)
		}
	}
}
