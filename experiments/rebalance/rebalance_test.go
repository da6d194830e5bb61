package main

import "testing"

// TestSteps: with all steps no read is stale and nothing is lost; when the new nodes answer at once, reads
// are.
func TestSteps(t *testing.T) {
	for _, v := range variants {
		r, err := rebalance(v, 1, 4)
		if err != nil {
			t.Fatal(err)
		}
		var sum second
		for _, s := range r.seconds {
			sum = sum.plus(*s)
		}
		switch {
		case sum.reads < 500 || sum.writes < 500:
			t.Errorf("%s: %d reads, %d writes: too few to say anything", v.name, sum.reads, sum.writes)
		case v.without == nil && (sum.stale > 0 || r.lost > 0):
			t.Errorf("%s: %d stale reads, %d keys lost", v.name, sum.stale, r.lost)
		case v.name == "at once" && sum.stale == 0:
			t.Errorf("%s: no stale read", v.name)
		}
	}
}
