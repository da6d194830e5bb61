package main

import (
	"math"
	"testing"
)

func TestNegLog2(t *testing.T) {
	r := source(1)
	for i := range 10_000 {
		u := r.Uint64() >> (i % 64)
		got := float64(negLog2(u)) / (1 << logBits)
		if want := 64 - math.Log2(float64(max(u, 1))); math.Abs(got-want) > 1e-8 {
			t.Fatalf("negLog2(%d) = %v, want %v", u, got, want)
		}
	}
	if got := negLog2(1 << 63); got != 1<<logBits {
		t.Errorf("negLog2 of a half is %d, want 1", got)
	}
}

// Straws win in proportion to their weights.
func TestStrawsByWeight(t *testing.T) {
	const draws = 40_000
	weights := []uint64{1, 2, 5}
	wins := make([]int, len(weights))
	for i := range uint64(draws) {
		winner := 0
		var best straw
		for v, w := range weights {
			if s := drawStraw(w, i, uint64(v)); v == 0 || s.shorter(best) {
				winner, best = v, s
			}
		}
		wins[winner]++
	}
	for v, w := range weights {
		wantShare(t, "straws of the winner", wins[v], draws, float64(w)/8)
	}
}

// The order and the number of parts matter.
func TestHashPartsMatter(t *testing.T) {
	seen := map[uint64]bool{}
	for _, parts := range [][]uint64{{}, {0}, {0, 0}, {1}, {1, 2}, {2, 1}, {1, 2, 0}, {3}} {
		h := hash(parts...)
		if seen[h] {
			t.Errorf("hash(%v) occurred before", parts)
		}
		seen[h] = true
	}
}
