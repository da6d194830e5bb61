package block

import (
	"cmp"
	"encoding/binary"
	"slices"

	"granary/core/cluster"
	"granary/core/kv"
	"granary/core/layout"
)

// urgent returns up to limit blocks that some replica holds, those of which fewest copies are left first.
// While the layout changes, those of as many copies as the first come in the order of the change's turns: a
// part is whole, and leaves its old node, when the last of its blocks is here.
func (s *Store) urgent(limit int) ([]Hash, error) {
	page, err := s.ranked(rankUnknown+1, rankMany, limit)
	parts := s.byTurn()
	if err != nil || len(page) == 0 || len(parts) == 0 {
		return page, err
	}
	var ordered []Hash
	err = s.kv.View(func(r kv.Reader) error {
		least := r.Get(wantedKey(page[0]))
		for _, p := range parts {
			if least == nil || len(ordered) == limit {
				return nil
			}
			r.Ascend(p.lo, p.hi, func(k, record []byte) bool {
				if record[0] == least[0] {
					ordered = append(ordered, Hash(k[len(k)-len(Hash{}):]))
				}
				return len(ordered) < limit
			})
		}
		return nil
	})
	if len(ordered) == 0 { // those that were the first are here by now
		return page, err
	}
	return ordered, err
}

// wantedPart is what is wanted of a part of the keys.
type wantedPart struct {
	turn   int
	lo, hi []byte
}

// byTurn are the parts of the keys that are this node's, in the order of their turns; none while no change
// of the layout goes on.
func (s *Store) byTurn() (parts []wantedPart) {
	s.topology.EachView(func(first, last layout.Prefix, v cluster.View) {
		if v.Turn == 0 || !slices.Contains(v.Targets(), s.env.Self()) {
			return
		}
		lo := binary.BigEndian.AppendUint16(slices.Clone(keyWanted), uint16(first))
		hi := behind(binary.BigEndian.AppendUint16(slices.Clone(keyWanted), uint16(last)))
		parts = append(parts, wantedPart{v.Turn, lo, hi})
	})
	slices.SortStableFunc(parts, func(a, b wantedPart) int { return cmp.Compare(a.turn, b.turn) })
	return parts
}
