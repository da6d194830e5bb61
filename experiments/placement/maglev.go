package main

// preference is the order in which a node takes partitions: all of them, each once. Maglev wants a prime
// number of partitions; a power of two does as well with odd steps.
type preference struct{ next, skip, left int }

func preferenceOf(c cluster, id, partitions int) preference {
	offset := hash(forOffset, c.salt, uint64(id)) % uint64(partitions)
	skip := hash(forSkip, c.salt, uint64(id))%uint64(partitions) | 1
	return preference{int(offset), int(skip), partitions}
}

// take returns the next partition that is wanted, or -1 if there is none left. What was not wanted once is
// not offered again.
func (f *preference) take(partitions int, wanted func(p int) bool) int {
	for ; f.left > 0; f.left-- {
		p := f.next
		f.next = (f.next + f.skip) % partitions
		if wanted(p) {
			f.left--
			return p
		}
	}
	return -1
}

// deal gives each partition to one node: nodes take turns, in proportion to their capacity, and take the
// first free partition of their preference that they may have. Each partition must be allowed to some node.
// Taken is told what was taken.
//
// Source: D. E. Eisenbud et al., "Maglev: a fast and reliable software network load balancer", 2016.
func deal(c cluster, partitions int, may func(n node, p int) bool, taken func(n node, p int)) {
	prefer := make([]preference, len(c.nodes))
	for i, n := range c.nodes {
		prefer[i] = preferenceOf(c, n.id, partitions)
	}
	turns := make([]uint64, len(c.nodes))
	free := make([]bool, partitions)
	for p := range free {
		free[p] = true
	}
	for left := partitions; left > 0; {
		turn := -1
		for i, n := range c.nodes {
			if prefer[i].left == 0 {
				continue
			}
			if turn < 0 || (turns[i]+1)*c.nodes[turn].capacity < (turns[turn]+1)*n.capacity {
				turn = i
			}
		}
		n := c.nodes[turn]
		turns[turn]++
		if p := prefer[turn].take(partitions, func(p int) bool { return free[p] && may(n, p) }); p >= 0 {
			free[p] = false
			left--
			taken(n, p)
		}
	}
}

// maglevWalk is a ring of partitions whose owners Maglev chooses; a key's other replicas walk on over them.
func maglevWalk(c cluster, partitions int) table {
	owners := make([]int, partitions)
	deal(c, partitions, func(node, int) bool { return true }, func(n node, p int) { owners[p] = n.id })
	return walk(c, owners)
}

// maglevTurns is the second geographic adaptation: Maglev once for each replica, in which a node skips the
// partitions where it brings no new zone. Every turn depends on all turns before it.
func maglevTurns(c cluster, partitions int) table {
	zones := c.zoneOf()
	t := make(table, partitions)
	for replica := range replicas {
		deal(c, partitions, func(n node, p int) bool {
			for _, id := range t[p][:replica] {
				if zones[id] == n.zone {
					return false
				}
			}
			return true
		}, func(n node, p int) { t[p][replica] = n.id })
	}
	return t
}
