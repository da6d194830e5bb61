package main

import (
	"math"
	"slices"
	"testing"
)

func TestPreferenceIsAPermutation(t *testing.T) {
	c := random(source(1), 1, 30, 3)
	var first [2][]int
	for _, n := range c.nodes {
		prefer := preferenceOf(c, n.id, partitions)
		var order []int
		for {
			p := prefer.take(partitions, func(int) bool { return true })
			if p < 0 {
				break
			}
			order = append(order, p)
		}
		if n.id < 2 {
			first[n.id] = slices.Clone(order)
		}
		slices.Sort(order)
		for p := range partitions {
			if len(order) != partitions || order[p] != p {
				t.Fatalf("node %d prefers %d partitions, not each once: %v", n.id, len(order), order)
			}
		}
	}
	if slices.Equal(first[0], first[1]) {
		t.Error("two nodes have the same preference")
	}
}

// What is not wanted is passed over for good.
func TestPreferenceSkips(t *testing.T) {
	prefer := preference{next: 1, skip: 3, left: 8} // 1 4 7 2 5 0 3 6
	even := func(p int) bool { return p%2 == 0 }
	any := func(int) bool { return true }
	got := []int{prefer.take(8, even), prefer.take(8, any), prefer.take(8, even), prefer.take(8, even),
		prefer.take(8, func(p int) bool { return p > 6 }), prefer.take(8, any)}
	if want := []int{4, 7, 2, 0, -1, -1}; !slices.Equal(got, want) {
		t.Errorf("took %v, want %v", got, want)
	}
}

// Turns are in proportion to capacity: no owner is a whole partition off its share.
func TestDealByCapacity(t *testing.T) {
	for seed := range uint64(8) {
		c := random(source(seed), seed, 12, 3)
		total := uint64(0)
		for _, n := range c.nodes {
			total += n.capacity
		}
		loads := make([]int, c.ids())
		deal(c, partitions, func(node, int) bool { return true }, func(n node, p int) { loads[n.id]++ })
		for _, n := range c.nodes {
			want := partitions * float64(n.capacity) / float64(total)
			if math.Abs(float64(loads[n.id])-want) >= 1.5 {
				t.Errorf("seed %d: node of %d GB owns %d partitions, its share is %.2f", seed, n.capacity,
					loads[n.id], want)
			}
		}
	}
}

// Every turn offers only what is free and allowed, and in the end each partition has one owner.
func TestDealAllows(t *testing.T) {
	c := random(source(1), 1, 9, 3)
	owner := make([]int, partitions)
	for p := range owner {
		owner[p] = -1
	}
	may := func(n node, p int) bool { return n.zone != p%3 }
	deal(c, partitions, may, func(n node, p int) {
		if owner[p] >= 0 || !may(n, p) {
			t.Errorf("partition %d goes to node %d of zone %d; its owner was %d", p, n.id, n.zone, owner[p])
		}
		owner[p] = n.id
	})
	if slices.Contains(owner, -1) {
		t.Errorf("owners %v", owner)
	}
}
