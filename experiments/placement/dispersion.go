package main

// dispersion is how well a table mixes nodes, so that many of them help when one is lost. Small nodes cannot
// be mixed well, so what is said of single nodes is a mean over all that hold anything.
type dispersion struct {
	pair     float64 // share of all rows: the most that two nodes have in common
	excess   float64 // the most that two nodes have in common, to what chance would give them
	partner  float64 // share of a node's rows: what its most frequent partner holds too
	partners float64 // share of the nodes that one could share rows with: those that it does
	rebuild  float64 // share of a lost node's rows: what the busiest of the others sends, if they share alike
}

// rowExpected is the least expectation that excess divides by, in rows of a table of partitions: two small
// nodes that share one partition share as little as they can.
const rowExpected = 1

// disperse measures a table whose rows promise to be in minZones zones.
func disperse(c cluster, t table, minZones int) dispersion {
	zones := c.zoneOf()
	if minZones < replicas { // then nodes meet in any combination
		for id := range zones {
			zones[id] = id
		}
	}
	shared, loads := t.shared(c), t.loads(c)
	inZone := make([]int, max(c.ids(), c.zoneCount()))
	for _, n := range c.nodes {
		inZone[zones[n.id]] += loads[n.id]
	}
	// A replica has others, which lie in other zones by the loads there.
	elsewhere := func(id int) float64 { return float64(len(t)*replicas - inZone[zones[id]]) }
	chance := func(a, b int) float64 {
		return float64(loads[a]*loads[b]*(replicas-1)) * (1/elsewhere(a) + 1/elsewhere(b)) / 2
	}
	var d dispersion
	nodes := 0.0
	for _, n := range c.nodes {
		load := loads[n.id]
		if load == 0 {
			continue
		}
		nodes++
		possible, met, most := 0, 0, 0
		for _, other := range c.nodes {
			if loads[other.id] == 0 || zones[other.id] == zones[n.id] {
				continue
			}
			possible++
			common := shared[n.id][other.id]
			met += min(common, 1)
			most = max(most, common)
			unit := float64(rowExpected*len(t)) / partitions
			d.excess = max(d.excess, float64(common)/max(chance(n.id, other.id), unit))
		}
		d.pair = max(d.pair, float64(most)/float64(len(t)))
		d.partner += float64(most) / float64(load)
		d.partners += float64(met) / float64(min(possible, load*(replicas-1)))
		d.rebuild += float64(t.busiest(c, n.id)) / float64(load)
	}
	d.partner, d.partners, d.rebuild = d.partner/nodes, d.partners/nodes, d.rebuild/nodes
	return d
}

// shared returns the rows that two nodes have in common, by ids.
func (t table) shared(c cluster) [][]int {
	shared := make([][]int, c.ids())
	for id := range shared {
		shared[id] = make([]int, c.ids())
	}
	for _, row := range t {
		for i, a := range row {
			for _, b := range row[:i] {
				shared[a][b]++
				shared[b][a]++
			}
		}
	}
	return shared
}

// busiest returns how many rows of a lost node its busiest source sends. Each row is sent by the idler of its
// other nodes; then rows change their source as long as that makes two nodes more alike. The best choice of
// sources can have a row less.
func (t table) busiest(c cluster, lost int) int {
	sends := make([]int, c.ids())
	var from [][2]int // the source, and the node that could be it instead
	for _, row := range t {
		for i, id := range row {
			if id == lost {
				a, b := row[(i+1)%replicas], row[(i+2)%replicas]
				if sends[b] < sends[a] {
					a, b = b, a
				}
				sends[a]++
				from = append(from, [2]int{a, b})
			}
		}
	}
	for changed := true; changed; {
		changed = false
		for i, f := range from {
			if sends[f[0]] > sends[f[1]]+1 {
				sends[f[0]]--
				sends[f[1]]++
				from[i] = [2]int{f[1], f[0]}
				changed = true
			}
		}
	}
	busiest := 0
	for _, n := range sends {
		busiest = max(busiest, n)
	}
	return busiest
}
