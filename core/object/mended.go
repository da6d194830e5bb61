package object

import (
	"slices"

	"granary/core/block"
	"granary/core/table"
)

// mendedObject follows the repair of an object row. The version that the rotten one said had won here may be
// another one than now has, and what was kept for it is named by nothing: its payload goes at once, as that
// of a version that lost, and the block lists that nobody knows are noted.
func (r *Rows) mendedObject(tx *table.Tx, at table.Address, is *objectRow) error {
	var o objectRow
	if is != nil {
		o = *is
	}
	prefix := escapeKey(Key(at.Sort))
	for _, sort := range r.payloads.Sorts(&tx.Reader, prefix, after(prefix)) {
		if _, id, ok := splitGarbage(sort); ok && !(o.Winner.Inline && id == o.Winner.ID) {
			r.payloads.Drop(tx, sort)
		}
	}
	r.revive(tx, at, o.Winner)
	if err := r.noteMarks(tx, at, o.Uploads, o.Winner); err != nil {
		return err
	}
	return r.noteLoose(tx, Key(at.Sort))
}

// mendedGarbage follows the repair of a row of garbage: others may never have noted it, or are through with
// it. What can be noted of the same id again is.
func (r *Rows) mendedGarbage(tx *table.Tx, at table.Address, _ *garbageRow) error {
	k, id, ok := splitGarbage(at.Sort)
	if !ok {
		return nil
	}
	up, ok, err := r.uploads.Get(&tx.Reader, uploadSort(k, id))
	if err == nil && ok {
		err = r.ended(tx, table.Address{PK: at.PK, Sort: uploadSort(k, id)}, nil, up, up)
	}
	if err != nil {
		return err
	}
	return r.noteAnew(tx, k)
}

// mendedGrave follows the repair of a grave: what it said follows again, and what could not be noted without
// it.
func (r *Rows) mendedGrave(tx *table.Tx, at table.Address, is *graveRow) error {
	k, _, ok := splitGarbage(at.Sort)
	if !ok {
		return nil
	}
	if is != nil {
		if err := r.buried(tx, at, nil, *is, *is); err != nil {
			return err
		}
	}
	return r.noteAnew(tx, k)
}

// noteAnew notes what follows from the row of an object, and the owners that no row knows.
func (r *Rows) noteAnew(tx *table.Tx, k Key) error {
	o, _, err := r.objects.Get(&tx.Reader, []byte(k))
	if err == nil {
		err = r.noteMarks(tx, table.Address{PK: tx.PK(), Sort: []byte(k)}, o.Uploads, o.Winner)
	}
	if err != nil {
		return err
	}
	return r.noteLoose(tx, k)
}

// mendedUpload follows the repair of the row of an upload, which may have ended meanwhile, or of an attempt,
// which may have gone.
func (r *Rows) mendedUpload(tx *table.Tx, at table.Address, is *uploadRow) error {
	if is != nil {
		if err := r.ended(tx, at, nil, *is, *is); err != nil {
			return err
		}
	}
	return r.noteLoose(tx, keyOf(at.Sort))
}

// noteLoose notes as garbage the owners of a key's block lists which no row here knows. One of them may be
// that of a version that the rotten row was about, or of an upload in progress: reclaim finds out.
//
// Cost: all that this replica keeps of the key, the attempts of its uploads too.
func (r *Rows) noteLoose(tx *table.Tx, k Key) error {
	prefix := escapeKey(k)
	var owners []block.Owner
	for _, sort := range r.lists.Sorts(&tx.Reader, prefix, after(prefix)) {
		if o, ok := ownerOf(sort); ok && !slices.Contains(owners[max(0, len(owners)-1):], o) {
			owners = append(owners, o)
		}
	}
	if len(owners) == 0 {
		return nil
	}
	known, err := r.known(&tx.Reader, k)
	if err != nil {
		return err
	}
	for _, o := range owners {
		if known.has(o) {
			continue
		}
		if err := r.garbage.Merge(tx, garbageSort([]byte(k), o), garbageRow{Loose: true}); err != nil {
			return err
		}
	}
	return nil
}

// kinship is the owners that a replica's rows of a key know: by their names, and by that of the version or
// upload that they are named after.
type kinship struct {
	owners map[block.Owner]bool
	kin    map[[kin]byte]bool
}

func (s kinship) has(o block.Owner) bool { return s.owners[o] || s.kin[[kin]byte(o[:kin])] }

func (s kinship) add(v version) {
	s.kin[[kin]byte(v.ID[:kin])] = true
	if v.hasBlocks() {
		for _, o := range v.owners() {
			s.owners[o] = true
		}
	}
}

// known returns the owners that an object's row, its garbage and its uploads know here.
func (r *Rows) known(reader *table.Reader, k Key) (s kinship, err error) {
	s = kinship{map[block.Owner]bool{}, map[[kin]byte]bool{}}
	o, _, err := r.objects.Get(reader, []byte(k))
	if err != nil {
		return s, err
	}
	s.add(o.Winner)
	for _, m := range o.Uploads {
		s.kin[[kin]byte(m.ID[:kin])] = true
	}
	prefix := escapeKey(k)
	err = r.garbage.Scan(reader, prefix, after(prefix), func(sort []byte, g garbageRow) bool {
		if _, id, ok := splitGarbage(sort); ok && !g.loose() {
			s.kin[[kin]byte(id[:kin])] = true
			s.add(g.Version)
		}
		return true
	})
	if err != nil {
		return s, err
	}
	err = r.uploads.Scan(reader, prefix, after(prefix), func(sort []byte, u uploadRow) bool {
		if u.Part != nil && len(sort) >= partTail {
			_, owner := attemptOf(sort)
			s.owners[owner] = true
		}
		return true
	})
	return s, err
}
