package main

import (
	"math"
	"math/rand/v2"
	"slices"
)

// replicas is how many nodes hold a key, and how many zones they shall be in.
const replicas = 3

// tb is the capacities' unit beside the one they are counted in, GB.
const tb = 1000

// node is a machine that stores.
type node struct {
	id       int // its own in the life of a cluster, from 0
	name     string
	zone     int
	capacity uint64 // GB, at least 1
}

// cluster is the nodes that store, ascending by id, in at least as many zones as there are replicas. Its salt
// goes into every hash, so that the same nodes can be placed many times. A cluster is not changed once made.
type cluster struct {
	salt  uint64
	nodes []node
}

// ids returns a number above every id.
func (c cluster) ids() int { return c.nodes[len(c.nodes)-1].id + 1 }

// zoneCount returns a number above every zone.
func (c cluster) zoneCount() int {
	most := 0
	for _, n := range c.nodes {
		most = max(most, n.zone)
	}
	return most + 1
}

// zoneOf returns the zone of each node by id; -1 where there is no node.
func (c cluster) zoneOf() []int {
	zones := slices.Repeat([]int{-1}, c.ids())
	for _, n := range c.nodes {
		zones[n.id] = n.zone
	}
	return zones
}

// with returns the cluster with one more node, which gets the next id.
func (c cluster) with(name string, zone int, capacity uint64) cluster {
	id := 0
	if len(c.nodes) > 0 {
		id = c.ids()
	}
	c.nodes = append(slices.Clone(c.nodes), node{id, name, zone, capacity})
	return c
}

// without returns the cluster without its i-th node.
func (c cluster) without(i int) cluster {
	c.nodes = slices.Delete(slices.Clone(c.nodes), i, i+1)
	return c
}

// resized returns the cluster with another capacity of its i-th node.
func (c cluster) resized(i int, capacity uint64) cluster {
	c.nodes = slices.Clone(c.nodes)
	c.nodes[i].capacity = capacity
	return c
}

// find returns the index of the node of that name.
func (c cluster) find(name string) int {
	return slices.IndexFunc(c.nodes, func(n node) bool { return n.name == name })
}

// change is one event in the life of a cluster.
type change struct {
	name  string
	after cluster
}

// The zones of the talk's cluster.
const (
	jupiter = iota
	atuin
	neptune
	fourth
)

// talk returns the cluster of the talk.
func talk(salt uint64) cluster {
	c := cluster{salt: salt}
	c = c.with("io", jupiter, 20*tb)
	c = c.with("drosera", atuin, 20*tb).with("datura", atuin, 10*tb).with("digitale", atuin, 10*tb)
	return c.with("celeri", neptune, 5*tb).with("concombre", neptune, 5*tb).with("courgette", neptune, 5*tb)
}

// talkChanges returns what happens to the talk's cluster: each change to the first cluster, not to the one
// before it.
func talkChanges(c cluster) []change {
	return []change{
		{"remove celeri", c.without(c.find("celeri"))},
		{"add 10 TB in neptune", c.with("persil", neptune, 10*tb)},
		{"io 20 to 40 TB", c.resized(c.find("io"), 40*tb)},
		{"4th zone of 10 TB", c.with("persil", fourth, 10*tb)},
	}
}

// capacityMedian is that of random nodes, in GB; capacitySigma the deviation of their logarithm.
const (
	capacityMedian = 4 * tb
	capacitySigma  = 0.5
)

// drawCapacity returns a log-normal capacity, in whole GB, so that the last bit of a float does not matter.
func drawCapacity(r *rand.Rand) uint64 {
	return max(1, uint64(math.Round(capacityMedian*math.Exp(capacitySigma*r.NormFloat64()))))
}

// random returns a cluster of log-normal capacities whose nodes are dealt to the zones in turn.
func random(r *rand.Rand, salt uint64, nodes, zones int) cluster {
	c := cluster{salt: salt}
	for i := range nodes {
		c = c.with("", i%zones, drawCapacity(r))
	}
	return c
}

// randomChanges returns a change of each kind to c, of a random node each.
func randomChanges(r *rand.Rand, c cluster) []change {
	double := r.IntN(len(c.nodes))
	return []change{
		{"remove", c.without(r.IntN(len(c.nodes)))},
		{"add", c.with("", r.IntN(c.zoneCount()), drawCapacity(r))},
		{"double", c.resized(double, 2*c.nodes[double].capacity)},
	}
}
