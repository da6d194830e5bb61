package plots

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestGrouped(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 5: "5", 999: "999", 1000: "1,000", 12345678: "12,345,678", -1234.5: "-1,234.5",
		0.1 + 0.2: "0.3", 1e15: "1e+15", 2.5e-7: "2.5e-07", 100 * 1.1: "110",
	} {
		if got := grouped(v); got != want {
			t.Errorf("grouped(%v) = %q, want %q", v, got, want)
		}
	}
}

// A range of seven steps, less a rounding error.
func TestTicksOfRoundedRange(t *testing.T) {
	if all := (ticks{}).Ticks(7.300000000000001, 8); len(all) < 2 || len(all) > ticksMax {
		t.Errorf("%d ticks from 7.3 to 8: %v", len(all), all)
	}
}

// Ticks lie inside the range, evenly, and are neither too few nor too many.
func TestTicks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scale := math.Pow(10, float64(rapid.IntRange(-5, 9).Draw(t, "scale")))
		low := float64(rapid.IntRange(-1000, 1000).Draw(t, "low")) * scale
		high := low + float64(rapid.IntRange(1, 3000).Draw(t, "length"))*scale
		all := ticks{}.Ticks(low, high)
		if len(all) < 2 || len(all) > ticksMax {
			t.Fatalf("%d ticks from %g to %g", len(all), low, high)
		}
		step := all[1].Value - all[0].Value
		for i, tick := range all {
			if tick.Value < low-step/1e6 || tick.Value > high+step/1e6 || tick.Label == "" {
				t.Fatalf("tick %d of %g to %g is %g, %q", i, low, high, tick.Value, tick.Label)
			}
			if i > 0 && math.Abs(tick.Value-all[i-1].Value-step) > step/1e6 {
				t.Fatalf("ticks %v are not even", all)
			}
		}
		if top := roundUp(low, high); top < high-step/1e6 || top > high+step*(1+1e-6) {
			t.Fatalf("from %g to %g by %g rounds up to %g", low, high, step, top)
		}
	})
}
