package object

import (
	"fmt"

	"granary/core/block"
	"granary/core/table"
)

// Holdings is what a node keeps of objects, for whoever looks for leaks from outside.
type Holdings struct {
	// Needs are the blocks of the objects and of the open uploads that this node knows, by owner.
	Needs map[block.Owner][]block.Hash
	// Loose names rows that belong to nothing of it.
	Loose []string
}

// holdingsPage is how many rows one transaction of Holdings reads.
const holdingsPage = 1024

// Holdings lists what this node keeps. Seals and graves are not counted: they must outlive what they are
// about.
//
// Errors: those of the store. Cost: all rows of objects, and memory for them: it is meant for tests.
func (s *Store) Holdings() (Holdings, error) {
	h := &holdings{s: s, Holdings: Holdings{Needs: map[block.Owner][]block.Hash{}},
		lists: map[string][]byte{}, inline: map[VersionID]bool{}}
	err := each(s, s.rows.lists, func(at table.Address, l listRow) {
		h.lists[string(at.Sort)] = append([]byte(nil), l.Hashes...)
	})
	for _, f := range []func() error{h.uploads, h.objects, h.garbage, h.payloads} {
		if err == nil {
			err = f()
		}
	}
	for sort := range h.lists { //det:ok sorted by whoever reports it
		if owner, _ := ownerOf([]byte(sort)); h.Needs[owner] == nil {
			h.loose("block list of owner %x of key %s", owner, quote(keyOf([]byte(sort))))
		}
	}
	return h.Holdings, err
}

type holdings struct {
	Holdings
	s      *Store
	lists  map[string][]byte
	inline map[VersionID]bool
}

func (h *holdings) loose(format string, args ...any) {
	h.Loose = append(h.Loose, fmt.Sprintf(format, args...))
}

// each calls f for all rows of a table at this node.
func each[T any](s *Store, t *table.Table[T], f func(table.Address, T)) error {
	for from, more := []byte(nil), true; more; more = from != nil {
		var err error
		if from, err = table.Walk(s.tables, t, from, holdingsPage, f); err != nil {
			return err
		}
	}
	return nil
}

// need notes the blocks that an owner's lists name.
func (h *holdings) need(key Key, owner block.Owner, blocks int) {
	hashes := []block.Hash{}
	for i := 0; i < blocks; i += segmentBlocks {
		raw := h.lists[string(listSort([]byte(key), owner, i/segmentBlocks))]
		for ; len(raw) >= hashLen; raw = raw[hashLen:] {
			hashes = append(hashes, block.Hash(raw))
		}
	}
	if len(hashes) < blocks {
		h.loose("owner %x, of whose %d blocks %d are listed here", owner, blocks, len(hashes))
	}
	h.Needs[owner] = hashes
}

func (h *holdings) uploads() error {
	open := map[string]bool{}
	err := each(h.s, h.s.rows.uploads, func(at table.Address, u uploadRow) {
		if u.open() {
			open[string(at.PK)+string(at.Sort)] = true
		}
	})
	if err != nil {
		return err
	}
	return each(h.s, h.s.rows.uploads, func(at table.Address, u uploadRow) {
		if u.Part == nil || len(at.Sort) < partTail {
			return
		}
		n, owner := attemptOf(at.Sort)
		if !open[string(at.PK)+string(uploadOf(at.Sort))] {
			h.loose("attempt %x at part %d of an upload that is not open", owner, n)
			return
		}
		h.need(keyOf(at.Sort), owner, blocksOf(u.Part.Size, u.Part.BlockSize))
	})
}

func (h *holdings) objects() error {
	return each(h.s, h.s.rows.objects, func(at table.Address, o objectRow) {
		v := o.Winner
		if v.exists() && v.Inline {
			h.inline[v.ID] = true
		}
		if !v.hasBlocks() {
			return
		}
		for _, p := range v.parts() {
			n := blocksOf(p.Size, v.blockSize(p))
			if len(v.Parts) > 0 || n*hashLen > len(v.Blocks) {
				h.need(Key(at.Sort), p.Owner, n)
				continue
			}
			for i := range n {
				h.Needs[p.Owner] = append(h.Needs[p.Owner], block.Hash(v.Blocks[i*hashLen:]))
			}
		}
	})
}

func (h *holdings) garbage() error {
	return each(h.s, h.s.rows.garbage, func(at table.Address, g garbageRow) {
		k, id, _ := splitGarbage(at.Sort)
		h.loose("garbage %x of key %s", id, quote(k))
	})
}

func (h *holdings) payloads() error {
	return each(h.s, h.s.rows.payloads, func(at table.Address, _ payloadRow) {
		if k, id, _ := splitGarbage(at.Sort); !h.inline[id] {
			h.loose("payload of version %x of key %s", id, quote(k))
		}
	})
}
