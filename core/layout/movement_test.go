package layout

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// BenchmarkMovement measures the table in DESIGN.md: moves after one change, as a ratio to the lower bound.
func BenchmarkMovement(b *testing.B) {
	for _, alpha := range []int{3, 2, 1} {
		for _, size := range []struct{ nodes, zones int }{{10, 3}, {20, 5}, {50, 5}} {
			for _, change := range []string{"remove", "add", "double"} {
				name := fmt.Sprintf("zones=%d/of=%d/nodes=%d/%s", alpha, size.zones, size.nodes, change)
				b.Run(name, func(b *testing.B) {
					for b.Loop() {
						moves, bound := movement(b, alpha, size.nodes, size.zones, change)
						b.ReportMetric(float64(moves)/float64(bound), "moves/bound")
					}
				})
			}
		}
	}
}

// movement sums moves and lower bounds over 40 random clusters.
func movement(b *testing.B, alpha, nodes, zones int, change string) (moves, bound int) {
	rng := rand.New(rand.NewPCG(5, 6))
	params := Params{Replicas: 3, MinZones: alpha, Partitions: 256}
	for range 40 {
		var roles []Role
		for i := range nodes {
			roles = append(roles, role(i+1, fmt.Sprintf("z%d", i%zones), uint64(2+rng.IntN(10))*terabyte))
		}
		first := assign(b, roles, params, nil)
		changed, which := slices.Clone(roles), rng.IntN(nodes)
		switch change {
		case "remove":
			changed = slices.Delete(changed, which, which+1)
		case "add":
			changed = append(changed, role(999, "z1", 8*terabyte))
		case "double":
			changed[which].Capacity *= 2
		}
		second := assign(b, changed, params, first)
		moves += second.Moves(first)
		bound += lossBound(first, second)
	}
	return moves, bound
}
