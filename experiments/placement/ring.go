package main

import (
	"cmp"
	"slices"
)

// tokensPerTB is how many tokens of the ring a node has for each TB.
const tokensPerTB = 16

// token is a place on the ring, which a node owns.
type token struct {
	at uint64
	id int
}

// ringOfNodes is consistent hashing: nodes have random tokens in proportion to their capacity, and a key
// belongs to the next nodes clockwise that differ, wherever they are.
//
// Source: D. Karger et al., "Consistent hashing and random trees", 1997; tokens as in G. DeCandia et al.,
// "Dynamo: Amazon's highly available key-value store", 2007.
func ringOfNodes(c cluster, _ int) table {
	return ring(c, func(id int) int { return id })
}

// ringOfZones is the first geographic adaptation: the walk skips nodes of zones that it has chosen already. A
// node whose tokens lie before those of a small zone inherits the long gaps between them.
func ringOfZones(c cluster, _ int) table {
	zones := c.zoneOf()
	return ring(c, func(id int) int { return zones[id] })
}

func ring(c cluster, domain func(id int) int) table {
	var tokens []token
	for _, n := range c.nodes {
		for i := range max(1, (n.capacity*tokensPerTB+tb/2)/tb) {
			tokens = append(tokens, token{hash(forToken, c.salt, uint64(n.id), i), n.id})
		}
	}
	slices.SortFunc(tokens, func(a, b token) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id))
	})
	owners := make([]int, len(tokens))
	for i, token := range tokens {
		owners[i] = token.id
	}
	t := make(table, ringPoints)
	next, walked := 0, -1 // the first token at the point or after it; the one that chosen is of
	var chosen row
	for p := range t {
		point := uint64(p) * (1 << 63 / (ringPoints / 2))
		for next < len(tokens) && tokens[next].at < point {
			next++
		}
		if next != walked {
			walked, chosen = next, spread(around(owners, next%len(owners)), domain)
		}
		t[p] = chosen
	}
	return t
}
