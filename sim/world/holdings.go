package world

import (
	"fmt"
	"slices"

	"granary/core/block"
	"granary/core/layout"
	"granary/core/node"
	"granary/sim/check"
)

// Holdings returns what every node that is up keeps of objects and blocks, for check.Leaks.
//
// Errors: those of the stores.
func (w *World) Holdings() ([]check.Holding, error) {
	var all []check.Holding
	for _, m := range w.Machines {
		if m.Down() {
			continue
		}
		h, err := m.holding(m.Node)
		if err != nil {
			return nil, fmt.Errorf("machine %s: %w", m.Name, err)
		}
		all = append(all, h)
	}
	return all, nil
}

func (m *Machine) holding(n *node.Node) (check.Holding, error) {
	mine, err := n.Objects().Holdings()
	h := check.Holding{Node: m.Name, Needs: mine.Needs, Loose: mine.Loose, Refs: map[check.Claim]bool{},
		Mine: func(h block.Hash) bool {
			v, err := n.Cluster().View(layout.PrefixOf(h[:]))
			return err == nil && slices.Contains(v.Targets(), m.ID)
		}}
	for from, more := []byte(nil), true; more && err == nil; more = from != nil {
		var page []block.Reference
		page, from, err = n.Blocks().References(from, 1000)
		for _, r := range page {
			h.Refs[check.Claim{Hash: r.Hash, Owner: r.Owner}] = true
		}
	}
	if err == nil {
		h.Blocks, err = m.blocks(n)
	}
	return h, err
}

// blocks are those that the node knows to be here and whose files are.
func (m *Machine) blocks(n *node.Node) (map[block.Hash]bool, error) {
	here := map[block.Hash]bool{}
	for after := (block.Hash{}); ; {
		page, err := n.Blocks().Here(after, 1000)
		if err != nil || len(page) == 0 {
			return here, err
		}
		for _, h := range page {
			after = h
			here[h] = m.Disk.Peek(h) != nil
		}
	}
}
