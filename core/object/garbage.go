package object

import (
	"time"

	"granary/core/block"
	"granary/core/hlc"
	"granary/core/table"
)

// garbageRow is what this replica noted because space may have to be freed for it, stored under (key, id)
// until that is done: a version with blocks that was replaced, an upload of one that was begun and is not
// complete here, a multipart upload that has ended, or an owner of which nothing is known. It is this
// replica's own; others note what they see.
type garbageRow struct {
	Version version `cbor:"1,keyasint"` // that was replaced; zero for the others
	// Mark is the newest stamp of the mark of an upload in progress.
	Mark hlc.Stamp `cbor:"2,keyasint,omitempty"`
	// Ended says that the id is that of a multipart upload, which was completed or aborted.
	Ended bool `cbor:"3,keyasint,omitempty"`
	// Loose says that the id is that of an owner with block lists here, which no row knew when one of the
	// key's rows was repaired.
	Loose bool `cbor:"5,keyasint,omitempty"`
	// Watch is how far this node's reclaim has come with it.
	Watch watch `cbor:"4,keyasint"`
}

// watch is a point in time of one life of a node: its clocks do not tell another life anything.
type watch struct {
	Life  uint64        `cbor:"1,keyasint,omitempty"` // zero: not looked at yet
	Since time.Duration `cbor:"2,keyasint,omitempty"` // by the monotonic clock
	// Sealed says that since then every replica has sealed it and has something newer.
	Sealed bool `cbor:"3,keyasint,omitempty"`
}

// Join implements crdt.Lattice.
func (g garbageRow) Join(o garbageRow) garbageRow {
	if g.Version.head().Compare(o.Version.head()) < 0 {
		g.Version = o.Version
	}
	g.Mark, g.Ended, g.Loose = max(g.Mark, o.Mark), g.Ended || o.Ended, g.Loose || o.Loose
	if o.Watch.after(g.Watch) {
		g.Watch = o.Watch
	}
	return g
}

// loose reports whether nothing else is known of the id but that it has block lists here.
func (g garbageRow) loose() bool { return g.Loose && !g.Version.exists() && g.Mark == 0 && !g.Ended }

func (w watch) after(o watch) bool {
	switch {
	case w.Life != o.Life:
		return w.Life > o.Life
	case w.Since != o.Since:
		return w.Since > o.Since
	}
	return w.Sealed && !o.Sealed
}

// garbageSort is the sort key of what is kept about an id of a key: garbage, seals and graves.
func garbageSort(key []byte, id [16]byte) []byte { return append(escapeKey(Key(key)), id[:]...) }

// splitGarbage takes it apart; ok is false if it is none.
func splitGarbage(sort []byte) (k Key, id [16]byte, ok bool) {
	n := len(sort) - len(id)
	if n < 2 || keyLen(sort) != n-2 {
		return "", id, false
	}
	return Key(unescapePrefix(sort[:n-2])), [16]byte(sort[n:]), true
}

// supersede follows every merge of an object row: the version that lost, of the two that met, moves to the
// garbage if it has blocks, and its payload goes at once, since this replica now holds something newer,
// whole.
func (r *Rows) supersede(tx *table.Tx, at table.Address, old *objectRow, in, joined objectRow) error {
	won := in.Winner.ID == joined.Winner.ID
	if old != nil {
		if err := r.bury(tx, at, old.Winner, joined.Winner); err != nil {
			return err
		}
		won = won && in.Winner.ID != old.Winner.ID
	}
	if won {
		r.revive(tx, at, joined.Winner)
	}
	if err := r.bury(tx, at, in.Winner, joined.Winner); err != nil {
		return err
	}
	return r.noteMarks(tx, at, in.Uploads, joined.Winner)
}

func (r *Rows) bury(tx *table.Tx, at table.Address, loser, winner version) error {
	if loser.ID == winner.ID || !loser.exists() {
		return nil
	}
	if loser.Inline {
		r.payloads.Drop(tx, garbageSort(at.Sort, loser.ID))
		return nil
	}
	if !loser.hasBlocks() {
		return nil
	}
	return r.note(tx, garbageSort(at.Sort, loser.ID), garbageRow{Version: loser})
}

// yielded follows the removal of a row that is gone elsewhere: what it held is replaced by nothing.
func (r *Rows) yielded(tx *table.Tx, at table.Address, old objectRow) error {
	return r.bury(tx, at, old.Winner, version{})
}

// revive takes a version out of this replica's garbage: it lost here, was stamped anew, and wins; or what was
// noted was its upload.
func (r *Rows) revive(tx *table.Tx, at table.Address, winner version) {
	if winner.hasBlocks() {
		r.garbage.Drop(tx, garbageSort(at.Sort, winner.ID))
	}
}

// noteMarks notes uploads that are not complete here, so that they are found if they never will be.
func (r *Rows) noteMarks(tx *table.Tx, at table.Address, marks []uploading, winner version) error {
	for _, m := range marks {
		if m.ID == winner.ID {
			continue
		}
		sort := garbageSort(at.Sort, m.ID)
		g, ok, err := r.garbage.Get(&tx.Reader, sort)
		if err != nil {
			return err
		}
		if ok && (g.Version.exists() || g.Mark >= m.Stamp) {
			continue
		}
		r.garbage.Drop(tx, sort) // a mark that was renewed is watched anew
		if err := r.note(tx, sort, garbageRow{Mark: m.Stamp}); err != nil {
			return err
		}
	}
	return nil
}

// note writes garbage. If its space has been freed already, only its block lists are left to go.
func (r *Rows) note(tx *table.Tx, sort []byte, g garbageRow) error {
	grave, _, err := r.graves.Get(&tx.Reader, sort)
	if err != nil {
		return err
	}
	if k, id, ok := splitGarbage(sort); ok && grave.Emptied && len(g.Version.Parts) == 0 {
		return r.dropLists(tx, []byte(k), id[:kin])
	}
	return r.garbage.Merge(tx, sort, g)
}

// ended follows every merge of an upload's row: the attempts that it does not need are garbage once it has
// ended.
func (r *Rows) ended(tx *table.Tx, at table.Address, old *uploadRow, _, joined uploadRow) error {
	if joined.Part != nil || joined.State == uploadOpen ||
		joined.State == uploadSpent && old != nil && old.State == uploadSpent {
		return nil
	}
	k, id, ok := splitUpload(at.Sort)
	if !ok {
		return nil
	}
	return r.garbage.Merge(tx, garbageSort([]byte(k), id), garbageRow{Ended: true})
}

// uses reports whether an owner's blocks are part of a version.
func (v version) uses(o block.Owner) bool {
	if !v.hasBlocks() {
		return false
	}
	for _, p := range v.parts() {
		if p.Owner == o {
			return true
		}
	}
	return false
}
