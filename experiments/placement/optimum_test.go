package main

import (
	"math"
	"testing"

	"granary/core/layout"
)

// A table survives being a version, and is as large as its version says.
func TestVersionOf(t *testing.T) {
	for seed := range uint64(6) {
		r := source(seed)
		c := random(r, seed, 12, 4).without(5)
		p := params(partitions, 0)
		v, err := assign(c, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := &state{c, tableOf(c, v)}
		if got := versionOf(s, p); got.Hash() != v.Hash() {
			t.Errorf("seed %d: the version of the table of a version is another one", seed)
		}
		gb := float64(v.Usable()) / bytesPerGB
		if got := s.table.usable(c); math.Abs(got-gb) > 1e-3 {
			t.Errorf("seed %d: usable %v GB, the version says %v", seed, got, gb)
		}
		size, err := layout.Optimum(roles(c), p)
		if err != nil || size != v.Size {
			t.Errorf("seed %d: optimum of %d bytes (%v), the version has %d", seed, size, err, v.Size)
		}
	}
}

// The least number of moves lies between what nodes gain and what a method moves, whatever that is.
func TestLeastMoves(t *testing.T) {
	for seed := range uint64(4) {
		r := source(seed)
		c := random(r, seed, 15, 5)
		for _, m := range methods() {
			if m.rows > partitions {
				continue
			}
			before := &state{c, place(t, m, c, nil)}
			if least, err := leastMoves(before, before, m.minZones); err != nil || least != 0 {
				t.Errorf("%s: %d moves (%v) to the same table", m.name, least, err)
			}
			for _, change := range randomChanges(r, c) {
				after := &state{change.after, place(t, m, change.after, before)}
				least, err := leastMoves(before, after, m.minZones)
				if err != nil {
					t.Fatal(err)
				}
				gain, moves := gained(before, after), after.table.moves(before.table)
				if least < gain || least > moves {
					t.Errorf("seed %d, %s, %s: %d moves at least, gained %d, moved %d", seed, m.name,
						change.name, least, gain, moves)
				}
			}
		}
	}
}

// Zones can ask for more moves than loads do. Node 2 gives its only row up and node 1 gets one, but not that
// one, where node 0 of its zone is: node 4 has to go there first.
func TestLeastMovesForZones(t *testing.T) {
	c := cluster{salt: 1}
	for _, zone := range []int{0, 0, 1, 2, 3, 4} {
		c = c.with("", zone, 1)
	}
	before := &state{c, table{{0, 2, 3}, {4, 5, 3}}}
	after := &state{c, table{{0, 4, 3}, {1, 5, 3}}}
	if got := gained(before, after); got != 1 {
		t.Errorf("gained %d, want 1", got)
	}
	for minZones, want := range map[int]int{replicas: 2, 1: 1} {
		if got, err := leastMoves(before, after, minZones); err != nil || got != want {
			t.Errorf("in %d zones: %d moves (%v), want %d", minZones, got, err, want)
		}
	}
}
