package main

// champion is the node of a zone that won a partition there, and the straw that the zone is judged by.
type champion struct {
	id    int
	straw straw
}

// champions returns the winner of partition p in each zone.
func champions(c cluster, p uint64) []champion {
	best := make([]champion, c.zoneCount())
	for i := range best {
		best[i].id = -1
	}
	for _, n := range c.nodes {
		s := drawStraw(n.capacity, forNode, c.salt, uint64(n.id), p)
		if b := &best[n.zone]; b.id < 0 || s.shorter(b.straw) {
			*b = champion{n.id, s}
		}
	}
	return best
}

// pick returns the champions of the zones with the shortest straws.
func pick(best []champion) row {
	var chosen row
	for i := range chosen {
		winner := -1
		for z, b := range best {
			if b.id >= 0 && (winner < 0 || b.straw.shorter(best[winner].straw)) {
				winner = z
			}
		}
		chosen[i], best[winner].id = best[winner].id, -1
	}
	return chosen
}

// rendezvous is highest random weight: for each partition every node draws a straw by its capacity, and the
// shortest ones of different zones win. Since a straw depends on its node alone, a change moves only what the
// changed node gains or loses.
//
// Source: D. G. Thaler, C. V. Ravishankar, "Using name-based mappings to increase hit rates", 1998; weights
// by J. Resch, "New hashing algorithms for data storage", 2015.
func rendezvous(c cluster, partitions int) table {
	t := make(table, partitions)
	for p := range t {
		t[p] = pick(champions(c, uint64(p)))
	}
	return t
}

// straws chooses in two levels, as CRUSH does: zones draw straws by all their capacity, then the nodes of
// each zone that won by their own. A change of a node changes its zone's weight, so that other nodes there
// gain or lose partitions too.
//
// Source: S. A. Weil et al., "CRUSH: controlled, scalable, decentralized placement of replicated data", 2006;
// the straws are those that Ceph calls straw2.
func straws(c cluster, partitions int) table {
	weights := make([]uint64, c.zoneCount())
	for _, n := range c.nodes {
		weights[n.zone] += n.capacity
	}
	t := make(table, partitions)
	for p := range t {
		best := champions(c, uint64(p))
		for z := range best {
			best[z].straw = drawStraw(weights[z], forZone, c.salt, uint64(z), uint64(p))
		}
		t[p] = pick(best)
	}
	return t
}

// minHashWalk gives each partition to the node with the shortest straw, and has a key's other replicas walk
// on over the partitions' owners.
func minHashWalk(c cluster, partitions int) table {
	owners := make([]int, partitions)
	for p := range owners {
		var best champion
		for i, n := range c.nodes {
			s := drawStraw(n.capacity, forNode, c.salt, uint64(n.id), uint64(p))
			if i == 0 || s.shorter(best.straw) {
				best = champion{n.id, s}
			}
		}
		owners[p] = best.id
	}
	return walk(c, owners)
}
