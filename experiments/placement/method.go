package main

import (
	"fmt"
	"iter"
)

// partitions is how many there are where a method has a table; ringPoints is how many points of a ring stand
// for all of it.
const (
	partitions = 256
	ringPoints = 1 << 15
)

// row is the nodes that hold a partition or a point of a ring, by id, all different.
type row [replicas]int

// table is the rows of all partitions, or of points at equal distances all around the ring.
type table []row

// state is a cluster and the table by which it stores.
type state struct {
	cluster cluster
	table   table
}

// method is a way to make tables.
type method struct {
	name     string
	rows     int // of its tables
	minZones int // which it promises for each row
	// place returns a table for c. Before is what c stores by now, and nil at first; only the optimum looks
	// at it: the others depend on the nodes of today alone.
	place func(c cluster, before *state) (table, error)
}

// methods returns all that are compared, in the order of the README.
func methods() []method {
	return []method{
		{"consistent hashing", ringPoints, 1, today(ringOfNodes)},
		{"try 1", ringPoints, replicas, today(ringOfZones)},
		{"min-hash walk", partitions, replicas, today(minHashWalk)},
		{"Maglev walk", partitions, replicas, today(maglevWalk)},
		{"try 2", partitions, replicas, today(maglevTurns)},
		{"rendezvous", partitions, replicas, today(rendezvous)},
		{"straw", partitions, replicas, today(straws)},
		{"optimum", partitions, replicas, optimum(0)},
		{"optimum 1 %", partitions, replicas, optimum(100)},
	}
}

// today makes a place of what does not look back.
func today(place func(cluster, int) table) func(cluster, *state) (table, error) {
	return func(c cluster, _ *state) (table, error) { return place(c, partitions), nil }
}

// spread returns the first nodes of a preference that are of different domains: nodes by themselves, or
// zones. The preference must reach enough of them, and may repeat nodes.
func spread(prefer iter.Seq[int], domain func(id int) int) row {
	var chosen row
	n := 0
next:
	for id := range prefer {
		for _, other := range chosen[:n] {
			if domain(id) == domain(other) {
				continue next
			}
		}
		chosen[n] = id
		if n++; n == replicas {
			return chosen
		}
	}
	panic(fmt.Sprintf("placement: a preference reaches %d domains of %d", n, replicas))
}

// around yields owners clockwise, once around, from owners[start].
func around(owners []int, start int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range owners {
			if !yield(owners[(start+i)%len(owners)]) {
				return
			}
		}
	}
}

// walk returns the table of a ring of partitions with one owner each: a partition's replicas are its owner
// and the next ones clockwise that bring a new zone.
func walk(c cluster, owners []int) table {
	zones := c.zoneOf()
	t := make(table, len(owners))
	for p := range t {
		t[p] = spread(around(owners, p), func(id int) int { return zones[id] })
	}
	return t
}
