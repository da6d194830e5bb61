package main

import (
	"math"
	"slices"
	"testing"
)

// samplesOf returns clusters to try a method on.
func samplesOf(t *testing.T) []cluster {
	t.Helper()
	all := []cluster{talk(1), talk(2)}
	for seed := range uint64(6) {
		kinds := [][2]int{{4, 3}, {10, 3}, {20, 5}, {60, 10}}
		kind := kinds[seed%4]
		all = append(all, random(source(seed), seed, kind[0], kind[1]))
	}
	return all
}

func place(t *testing.T, m method, c cluster, before *state) table {
	t.Helper()
	got, err := m.place(c, before)
	if err != nil {
		t.Fatalf("%s: %v", m.name, err)
	}
	return got
}

// Every method gives each row different nodes of the cluster, in different zones if it promises that, and the
// same ones each time; a hash gives others under another salt.
func TestRows(t *testing.T) {
	for _, m := range methods() {
		violations := 0.0
		for _, c := range samplesOf(t) {
			got := place(t, m, c, nil)
			if len(got) != m.rows {
				t.Errorf("%s: %d rows, want %d", m.name, len(got), m.rows)
			}
			for p, row := range got {
				for i, id := range row {
					known := slices.ContainsFunc(c.nodes, func(n node) bool { return n.id == id })
					if !known || slices.Contains(row[:i], id) {
						t.Fatalf("%s: row %d is %v", m.name, p, row)
					}
				}
			}
			violations += got.violations(c)
			if again := place(t, m, c, nil); !slices.Equal(got, again) {
				t.Errorf("%s: another table for the same cluster", m.name)
			}
			c.salt += 1000
			if salted := place(t, m, c, nil); slices.Equal(got, salted) {
				t.Errorf("%s: the same table under another salt", m.name)
			}
		}
		if (violations > 0) != (m.minZones < replicas) {
			t.Errorf("%s promises %d zones and violates %.2f tables", m.name, m.minZones, violations)
		}
	}
}

// Nothing moves without a change, whether a method looks back or not.
func TestUnchanged(t *testing.T) {
	for _, m := range methods() {
		for _, c := range samplesOf(t) {
			before := &state{c, place(t, m, c, nil)}
			if moves := place(t, m, c, before).moves(before.table); moves != 0 {
				t.Errorf("%s: %d replicas move without a change", m.name, moves)
			}
		}
	}
}

// Consistent hashing, try 1 and rendezvous move what the changed node loses or gains, and nothing else; so do
// straws where there are as many zones as replicas, since then each zone has one of them.
func TestNoRipple(t *testing.T) {
	calm := map[string]int{"consistent hashing": 10, "try 1": 10, "rendezvous": 10, "straw": replicas}
	for _, m := range methods() {
		zonesMax, calm := calm[m.name]
		for seed := range uint64(8) {
			zones := 3 + 2*int(seed%2)
			r := source(seed)
			c := random(r, seed, 15, zones)
			before := &state{c, place(t, m, c, nil)}
			rippled := 0
			for _, change := range randomChanges(r, c) {
				after := &state{change.after, place(t, m, change.after, before)}
				moves, gain := after.table.moves(before.table), gained(before, after)
				if moves < gain {
					t.Fatalf("%s, %s: %d moves for a gain of %d", m.name, change.name, moves, gain)
				}
				rippled += moves - gain
			}
			if calm && zones <= zonesMax && rippled > 0 {
				t.Errorf("%s, %d zones: %d moves too many", m.name, zones, rippled)
			}
			if m.name == "try 2" && rippled == 0 {
				t.Errorf("%s, %d zones: no ripple", m.name, zones)
			}
		}
	}
}

// With as many zones as replicas, each zone has a replica of every row, and its nodes share them by capacity:
// exactly if they take turns, by the law of large numbers if they draw straws, roughly if they have tokens.
func TestLoadsByCapacity(t *testing.T) {
	c := cluster{salt: 1}
	for zone := range 3 {
		c = c.with("", zone, 8*tb).with("", zone, 2*tb).with("", zone, 6*tb)
	}
	const rows = 1 << 14
	for _, try := range []struct {
		name  string
		place func(cluster, int) table
		slack float64 // in standard deviations of straws
	}{
		{"rendezvous", rendezvous, 4}, {"straw", straws, 4}, {"try 2", maglevTurns, 1},
		{"try 1", ringOfZones, 40},
	} {
		got := try.place(c, rows)
		for _, n := range c.nodes {
			share := float64(n.capacity) / (16 * tb)
			want := share * float64(len(got))
			slack := try.slack * math.Sqrt(want*(1-share))
			if load := got.loads(c)[n.id]; math.Abs(float64(load)-want) > slack {
				t.Errorf("%s: node of %d GB in %d rows, want %.0f ± %.0f", try.name, n.capacity, load, want,
					slack)
			}
		}
	}
}

func TestSpread(t *testing.T) {
	domain := func(id int) int { return id / 10 }
	got := spread(slices.Values([]int{11, 12, 11, 3, 15, 4, 27, 31}), domain)
	if want := (row{11, 3, 27}); got != want {
		t.Errorf("spread is %v, want %v", got, want)
	}
	defer func() {
		if recover() == nil {
			t.Error("a preference of two domains was enough for three")
		}
	}()
	spread(slices.Values([]int{1, 2, 11, 12}), domain)
}

// Walk and around against the plain rule, on a ring small enough to read.
func TestWalk(t *testing.T) {
	c := cluster{}.with("", 0, 1).with("", 0, 1).with("", 1, 1).with("", 2, 1)
	got := walk(c, []int{0, 1, 2, 0, 3})
	want := table{{0, 2, 3}, {1, 2, 3}, {2, 0, 3}, {0, 3, 2}, {3, 0, 2}}
	if !slices.Equal(got, want) {
		t.Errorf("walk gives %v, want %v", got, want)
	}
}
