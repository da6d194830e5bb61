package main

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

// source returns the random source of a test, and its seed for clusters.
func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func TestTalkBounds(t *testing.T) {
	c := talk(1)
	want := map[string]float64{"remove celeri": 10, "add 10 TB in neptune": 20, "io 20 to 40 TB": 15,
		"4th zone of 10 TB": 22.5}
	if got, err := bound(c); err != nil || got != 15*tb {
		t.Errorf("the talk's cluster: bound %v GB (%v), want 15 TB", got, err)
	}
	for _, change := range talkChanges(c) {
		if got, err := bound(change.after); err != nil || got != want[change.name]*tb {
			t.Errorf("%s: bound %v GB (%v), want %v TB", change.name, got, err, want[change.name])
		}
	}
}

// A change makes another cluster and leaves the one before as it was, with the same ids.
func TestChangesLeaveTheFirst(t *testing.T) {
	for seed := range uint64(20) {
		r := source(seed)
		c, same := random(source(seed), seed, 20, 5), random(r, seed, 20, 5)
		changes := append(randomChanges(r, c), change{"twice", c.with("", 0, 1).with("", 1, 2)})
		if !reflect.DeepEqual(c, same) {
			t.Fatalf("seed %d: a change altered the cluster before it", seed)
		}
		for i, want := range []int{19, 21, 20, 22} {
			if got := len(changes[i].after.nodes); got != want {
				t.Errorf("seed %d, %s: %d nodes, want %d", seed, changes[i].name, got, want)
			}
		}
		if got := changes[3].after.ids(); got != 22 {
			t.Errorf("seed %d: ids below %d after two more nodes, want 22", seed, got)
		}
		grown := uint64(0)
		for i, n := range changes[2].after.nodes {
			grown += n.capacity - c.nodes[i].capacity
			if n.capacity != c.nodes[i].capacity && n.capacity != 2*c.nodes[i].capacity {
				t.Errorf("seed %d: node %d went from %d to %d GB", seed, n.id, c.nodes[i].capacity,
					n.capacity)
			}
		}
		if grown == 0 {
			t.Errorf("seed %d: no node grew", seed)
		}
	}
}

// Half of all capacities are below the median, and about two thirds within one sigma.
func TestDrawCapacity(t *testing.T) {
	const draws = 20_000
	r := source(1)
	below, within := 0, 0
	for range draws {
		ratio := float64(drawCapacity(r)) / capacityMedian
		if ratio < 1 {
			below++
		}
		if math.Abs(math.Log(ratio)) < capacitySigma {
			within++
		}
	}
	wantShare(t, "below the median", below, draws, 0.5)
	wantShare(t, "within sigma", within, draws, 0.6827)
}

// wantShare checks that a count of n is within four standard deviations of what a share predicts.
func wantShare(t *testing.T, what string, count, n int, share float64) {
	t.Helper()
	deviation := math.Sqrt(share * (1 - share) * float64(n))
	if math.Abs(float64(count)-share*float64(n)) > 4*deviation {
		t.Errorf("%s: %d of %d, want %.1f ± %.1f", what, count, n, share*float64(n), 4*deviation)
	}
}
