package array

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"granary/core/block"
)

// log2 is the logarithm.
func TestLog2(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Uint64Range(1, math.MaxUint64).Draw(t, "x")
		got, want := float64(log2(x))/(1<<logBits), math.Log2(float64(x))
		if got > want+1e-9 || got < want-1.0/(1<<(logBits-1)) {
			t.Fatalf("log2(%d) = %v, want %v", x, got, want)
		}
	})
}

// Every disk gets its share, to within what chance allows; one without weight gets nothing; and when a disk
// comes, or goes, only its own share moves.
func TestShares(t *testing.T) {
	const blocks = 20_000
	ids := []string{"a", "b", "c", "d", "e"}
	weights := []int64{1 << 40, 4 << 40, 500e9, 0, 16e12}
	var sum float64
	for _, w := range weights {
		sum += float64(w)
	}
	count, moved := make([]int, len(ids)), 0
	for n := range blocks {
		h := block.HashOf([]byte(fmt.Sprint(n)))
		places := order(ids, weights, h)
		count[places[0]]++
		if places[len(ids)-1] != 3 {
			t.Fatalf("the disk without weight is not last: %v", places)
		}
		fewer := order(ids[:4], weights[:4], h)
		if places[0] != 4 && places[0] != fewer[0] {
			moved++
		}
	}
	for i, n := range count {
		share := float64(weights[i]) / sum
		if slack := 5 * math.Sqrt(share*(1-share)*blocks); math.Abs(float64(n)-share*blocks) > slack {
			t.Errorf("disk %s has %d blocks, want %.0f ± %.0f", ids[i], n, share*blocks, slack)
		}
	}
	if moved > 0 {
		t.Errorf("%d blocks changed places between disks that stayed", moved)
	}
}

// Where blocks are must never change: this is their order of today.
func TestOrderIsFixed(t *testing.T) {
	got := ""
	for n := range 8 {
		got += fmt.Sprint(order([]string{"one", "two", "three"}, []int64{100, 300, 200},
			block.HashOf([]byte{byte(n)})))
	}
	const want = "[2 0 1][1 0 2][2 0 1][1 2 0][0 1 2][2 0 1][2 1 0][0 1 2]"
	if got != want {
		t.Errorf("%s", got)
	}
}
