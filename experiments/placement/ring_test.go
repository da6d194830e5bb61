package main

import (
	"cmp"
	"slices"
	"testing"
)

// The ring against its definition: from each point, all tokens by their distance clockwise.
func TestRingSlowly(t *testing.T) {
	c := random(source(1), 1, 8, 4)
	zones := c.zoneOf()
	for name, try := range map[string]struct {
		place  func(cluster, int) table
		domain func(int) int
	}{
		"nodes": {ringOfNodes, func(id int) int { return id }},
		"zones": {ringOfZones, func(id int) int { return zones[id] }},
	} {
		got := try.place(c, partitions)
		for p := 0; p < ringPoints; p += 1021 {
			point := uint64(p) << 49
			var tokens []token // at is the distance
			for _, n := range c.nodes {
				count := (n.capacity*tokensPerTB + tb/2) / tb
				for i := range count {
					at := hash(forToken, c.salt, uint64(n.id), i)
					tokens = append(tokens, token{at - point, n.id})
				}
			}
			slices.SortFunc(tokens, func(a, b token) int { return cmp.Compare(a.at, b.at) })
			var want []int
			for _, token := range tokens {
				same := func(id int) bool { return try.domain(id) == try.domain(token.id) }
				if !slices.ContainsFunc(want, same) {
					want = append(want, token.id)
				}
			}
			if !slices.Equal(got[p][:], want[:replicas]) {
				t.Fatalf("%s: point %d is on %v, want %v", name, p, got[p], want[:replicas])
			}
		}
	}
}
