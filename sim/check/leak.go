package check

import (
	"fmt"
	"slices"

	"granary/core/block"
)

// Claim is an owner's claim to a block.
type Claim struct {
	Hash  block.Hash
	Owner block.Owner
}

// Holding is what one node keeps of objects and blocks.
type Holding struct {
	Node  string
	Needs map[block.Owner][]block.Hash // of the objects and open uploads it knows
	Loose []string                     // rows that belong to nothing
	Refs  map[Claim]bool               // live references
	// Blocks are those that are here; nil: nobody looked.
	Blocks map[block.Hash]bool
	// Mine says whether the node is to hold a block.
	Mine func(block.Hash) bool
}

// Leaks demands that nothing is left over and nothing is missing: every live reference is that of an object
// or of an open upload, every block that one of these needs is referred to wherever it is to be held, and is
// there, no block is kept without a reference, and no row without what it belongs to. It is for a cluster
// that was healed and left alone until its reclaim and its audits have been through.
func Leaks(nodes []Holding) []Violation {
	needed := map[Claim]string{} // by whom
	for _, n := range nodes {
		for owner, hashes := range n.Needs { //det:ok a set
			for _, h := range hashes {
				needed[Claim{h, owner}] = n.Node // the last one of those who do
			}
		}
	}
	var all []Violation
	found := func(format string, args ...any) {
		all = append(all, Violation{Fault: Leaked, Op: -1, By: -1, Text: fmt.Sprintf(format, args...)})
	}
	for _, n := range nodes {
		referred := map[block.Hash]bool{}
		for c := range n.Refs { //det:ok sorted below
			referred[c.Hash] = true
			if needed[c] == "" {
				found("%s keeps a reference of owner %x to block %v that nothing needs", n.Node, c.Owner,
					c.Hash)
			}
		}
		for c, by := range needed { //det:ok sorted below
			if n.Mine(c.Hash) && !n.Refs[c] {
				found("%s lacks the reference of owner %x to block %v, which %s needs", n.Node, c.Owner,
					c.Hash, by)
			}
		}
		for h := range n.Blocks { //det:ok sorted below
			if !referred[h] {
				found("%s keeps block %v, to which nothing refers", n.Node, h)
			}
		}
		for h := range referred { //det:ok sorted below
			if n.Blocks != nil && !n.Blocks[h] {
				found("%s lacks block %v", n.Node, h)
			}
		}
		for _, row := range n.Loose {
			found("%s keeps the %s", n.Node, row)
		}
	}
	slices.SortFunc(all, func(a, b Violation) int {
		if a.Text < b.Text {
			return -1
		}
		return 1
	})
	return all
}
