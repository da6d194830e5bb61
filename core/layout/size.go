package layout

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"granary/core/rt"
)

// cluster is what the algorithm sees of roles and parameters: the storing nodes, ascending by NodeID,
// numbered from zero, and their zones and regions, ascending by name, numbered from zero.
type cluster struct {
	partitions int // P
	replicas   int // ρ
	minZones   int // α, resolved
	minRegions int // 1 if nothing is asked

	capacity []uint64 // of each storing node, bytes
	zone     []int    // of each storing node
	region   []int    // of each storing node
	index    []uint16 // of each storing node, in the roles
	zones    [][]int  // the storing nodes of each zone, ascending
	regions  [][]int  // the zones of each region, ascending
	levels   []level  // the zones, and the regions if any are asked for
}

// level is one sort of places that fail as a whole: the least number of them for a partition, how many there
// are, and where each storing node is. Nodes would be one too, with the replicas as the least; they are
// treated apart, since a partition is on distinct nodes while it may repeat other places.
type level struct {
	least, count int
	of           []int
}

// newCluster takes normalised roles and valid parameters.
//
// Errors: ErrTooFewNodes, ErrTooFewZones.
func newCluster(roles []Role, params Params) (*cluster, error) {
	c := &cluster{partitions: params.Partitions, replicas: params.Replicas, minZones: params.MinZones,
		minRegions: max(1, params.MinRegions)}
	names, regions := places(roles)
	c.zones, c.regions = make([][]int, len(names)), make([][]int, len(regions))
	regionOf := make([]int, len(names))
	for z, name := range names {
		regionOf[z], _ = slices.BinarySearch(regions, name.Region())
		c.regions[regionOf[z]] = append(c.regions[regionOf[z]], z)
	}
	for i, r := range roles {
		if !r.Stores() {
			continue
		}
		z, _ := slices.BinarySearch(names, r.Zone)
		c.zones[z] = append(c.zones[z], len(c.capacity))
		c.capacity = append(c.capacity, r.Capacity)
		c.zone = append(c.zone, z)
		c.region = append(c.region, regionOf[z])
		c.index = append(c.index, uint16(i))
	}
	if have := len(c.capacity); have < c.replicas {
		return nil, fmt.Errorf("layout: %d storing nodes, %d needed for %d replicas: %w;"+
			" add nodes with capacity, or lower the replicas", have, c.replicas, c.replicas, ErrTooFewNodes)
	}
	if c.minZones == 0 {
		c.minZones = min(c.replicas, len(names))
	}
	c.minZones = max(c.minZones, c.minRegions)
	if len(regions) < c.minRegions {
		return nil, fmt.Errorf("layout: %d regions with storing nodes %.200q, %d needed: %w; add a node in"+
			" another region (the text before the slash of its zone), or lower the regions", len(regions),
			regions, c.minRegions, ErrTooFewZones)
	}
	if pairs := c.partitions * len(names); pairs > PairsMax {
		return nil, fmt.Errorf("layout: %d partitions in %d zones: want at most %d, one times the other: %w;"+
			" use fewer partitions, or larger zones", c.partitions, len(names), PairsMax, ErrParams)
	}
	c.levels = []level{{c.minZones, len(c.zones), c.zone}}
	if c.minRegions > 1 {
		c.levels = append(c.levels, level{c.minRegions, len(c.regions), c.region})
	}
	if len(names) < c.minZones {
		return nil, fmt.Errorf("layout: %d zones with storing nodes %.200q, %d needed: %w;"+
			" add a node in another zone, or lower the zones", len(names), names, c.minZones, ErrTooFewZones)
	}
	return c, nil
}

// places returns the names of the zones with storing nodes, and of their regions, ascending.
func places(roles []Role) (zones []ZoneName, regions []string) {
	for _, r := range roles {
		if r.Stores() {
			zones = append(zones, r.Zone)
			regions = append(regions, r.Zone.Region())
		}
	}
	slices.Sort(zones)
	slices.Sort(regions)
	return slices.Compact(zones), slices.Compact(regions)
}

// slots is how many partitions of size bytes node v can hold.
func (c *cluster) slots(v int, size uint64) int {
	return int(min(uint64(c.partitions), c.capacity[v]/size))
}

// feasible decides by Theorem 1 whether some table has partitions of size bytes. A size of zero always has.
func (c *cluster) feasible(size uint64) bool {
	if size == 0 {
		return true
	}
	all := 0
	for v := range c.capacity {
		all += c.slots(v, size)
	}
	if all < c.replicas*c.partitions {
		return false
	}
	for _, l := range c.levels {
		inPlace, pairs := make([]int, l.count), 0
		for v, place := range l.of {
			inPlace[place] += c.slots(v, size)
		}
		for _, slots := range inPlace {
			pairs += min(c.partitions, slots)
		}
		if pairs < l.least*c.partitions {
			return false
		}
	}
	return true
}

// optimum returns s*, the greatest feasible size in bytes; zero if not one byte per partition fits.
// Cost: 60 passes over the nodes.
func (c *cluster) optimum() uint64 {
	low, high := uint64(0), uint64(CapacityMax) // low is feasible, high+1 is not
	for low < high {
		middle := low + (high-low+1)/2
		if c.feasible(middle) {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}

// tolerated returns the least size that Tolerance allows where best is the optimum.
func tolerated(best uint64, tolerance int) uint64 {
	hi, lo := bits.Mul64(best, uint64(tolerance))
	loss, _ := bits.Div64(hi, lo, 10000)
	return max(best-loss, 1)
}

// sizeOf returns the greatest size at which nodes of these loads hold them; the loads are by storing node.
func (c *cluster) sizeOf(loads []int) uint64 {
	size := uint64(math.MaxUint64)
	for v, load := range loads {
		if load > 0 {
			size = min(size, c.capacity[v]/uint64(load))
		}
	}
	if size == math.MaxUint64 {
		rt.Break("layout: a table of %d partitions has no replicas", c.partitions)
	}
	return size
}
