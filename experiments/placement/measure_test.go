package main

import (
	"math"
	"testing"
)

// small is a cluster of four nodes in three zones, and tables that one can count by hand.
func small() (c cluster, before, after table) {
	c = cluster{}.with("", 0, 100).with("", 0, 50).with("", 1, 120).with("", 2, 120)
	before = table{{0, 2, 3}, {0, 2, 3}, {0, 3, 2}, {1, 2, 3}}
	after = table{{3, 2, 0}, {1, 2, 3}, {0, 1, 2}, {0, 2, 3}}
	return c, before, after
}

func TestMeasureByHand(t *testing.T) {
	c, before, after := small()
	if got := after.usable(c); got != 100 { // node 1 holds two of four rows in 50 GB
		t.Errorf("usable %v GB, want 100", got)
	}
	if got := before.usable(c); got != 120 { // nodes 2 and 3 hold every row in 120 GB
		t.Errorf("usable %v GB, want 120", got)
	}
	if got := after.violations(c); got != 0.25 {
		t.Errorf("violations %v, want the third row of four", got)
	}
	if got := after.moves(before); got != 3 { // 1 in row 2, 1 in row 3, 0 in row 4
		t.Errorf("%d moves, want 3", got)
	}
	if got := gained(&state{c, before}, &state{c, after}); got != 1 { // node 1, from one row to two
		t.Errorf("gained %d, want 1", got)
	}
	grown := c.with("", 1, 1)
	if got := gained(&state{c, before}, &state{grown, table{{4, 2, 3}, {4, 2, 3}}}); got != 2 {
		t.Errorf("a new node with two rows: gained %d, want 2", got)
	}
}

func TestDisperseByHand(t *testing.T) {
	c := cluster{}
	for zone := range 3 {
		c = c.with("", zone, 1).with("", zone, 1)
	}
	// Nodes 0 1 | 2 3 | 4 5. The same three always meet; or each meets each of the other zones.
	stiff, loose := table{}, table{}
	for p := range partitions {
		stiff = append(stiff, row{p % 2, 2 + p%2, 4 + p%2})
		loose = append(loose, row{p % 2, 2 + p/2%2, 4 + p/4%2})
	}
	for _, try := range []struct {
		name  string
		table table
		want  dispersion
	}{
		{"stiff", stiff, dispersion{pair: 0.5, excess: 2, partner: 1, partners: 0.5, rebuild: 0.5}},
		{"loose", loose, dispersion{pair: 0.25, excess: 1, partner: 0.5, partners: 1, rebuild: 0.25}},
	} {
		if got := disperse(c, try.table, replicas); got != try.want {
			t.Errorf("%s: %+v, want %+v", try.name, got, try.want)
		}
	}
	// Without the promise of zones one can meet the other node of one's zone too, and does not.
	got := disperse(c, loose, 1)
	if math.Abs(got.partners-0.8) > 1e-9 || math.Abs(got.excess-1.25) > 1e-9 {
		t.Errorf("loose, without zones: %+v, want 4 of 5 partners, and 64 rows where chance gives 51.2", got)
	}
}

// The expectation is what random tables have in the mean.
func TestChance(t *testing.T) {
	c := random(source(1), 1, 9, 3)
	got := disperse(c, rendezvous(c, 1<<16), replicas)
	if got.excess < 1 || got.excess > 1.05 {
		t.Errorf("65,536 random rows share up to %.3f of what chance gives, want about 1", got.excess)
	}
}

// The busiest source against every way to choose sources: at most one row more than it need be.
func TestBusiestSlowly(t *testing.T) {
	for seed := range uint64(40) {
		r := source(seed)
		c := random(r, seed, 8, 4)
		rows := rendezvous(c, 32)
		for _, n := range c.nodes {
			var held table
			for _, row := range rows {
				if row[0] == n.id || row[1] == n.id || row[2] == n.id {
					held = append(held, row)
				}
			}
			got, best := rows.busiest(c, n.id), fewest(held, n.id, make([]int, c.ids()), len(held))
			if got != best && got != best+1 {
				t.Errorf("seed %d: the busiest source sends %d of %d rows, %d at the best", seed, got,
					len(held), best)
			}
		}
	}
}

// fewest returns the least that the busiest source may send, or least if it is no less.
func fewest(held table, lost int, sends []int, least int) int {
	if len(held) == 0 {
		busiest := 0
		for _, n := range sends {
			busiest = max(busiest, n)
		}
		return min(least, busiest)
	}
	for _, id := range held[0] {
		if id != lost && sends[id]+1 < least {
			sends[id]++
			least = fewest(held[1:], lost, sends, least)
			sends[id]--
		}
	}
	return least
}
