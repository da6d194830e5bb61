package block

import (
	"granary/core/layout"
	"granary/core/table"
)

// Reference is a live reference to a block.
type Reference struct {
	Hash Hash
	Ref
}

// References returns up to max live references that this node holds, in the order of the store from a place
// on, nil for the start, and where to go on, nil at the end. A page may be empty before the end.
//
// Errors: those of the store.
func (s *Store) References(from []byte, max int) (page []Reference, next []byte, err error) {
	next, err = table.Walk(s.tables, s.rows.refs, from, max, func(at table.Address, row refRow) {
		if row.Deleted || len(at.Sort) != len(Owner{}) {
			return
		}
		page = append(page, Reference{Hash: Hash(at.PK), Ref: row.ref(at.Sort)})
	})
	return page, next, err
}

// Duty is this node's place among the replicas of a block, and how many they are; ok is false if it is none
// of them, or if a change of the layout is under way there.
func (s *Store) Duty(h Hash) (place, of int, ok bool) {
	view, err := s.topology.View(layout.PrefixOf(h[:]))
	if err != nil || len(view.Live) != 1 {
		return 0, 0, false
	}
	nodes := view.ReadSet().Nodes
	for i, n := range nodes {
		if n == s.env.Self() {
			return i, len(nodes), true
		}
	}
	return 0, 0, false
}
