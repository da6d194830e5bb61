package object

import (
	"granary/core/block"
	"granary/core/bucket"
	"granary/core/table"
)

// sealRow is this replica's promise, stored under (key, id), to accept no coordinator's commit, mark or
// attempt of an id any more. It is the replica's own, and goes when there is a grave, which says more.
type sealRow struct{}

// Join implements crdt.Lattice.
func (s sealRow) Join(sealRow) sealRow { return s }

// graveRow says, under (key, id), that an id is dead: every replica sealed it, and none has it as its winner.
// Nothing of it will be seen again.
type graveRow struct {
	// Emptied says that its blocks have been released.
	Emptied bool `cbor:"1,keyasint,omitempty"`
}

// Join implements crdt.Lattice.
func (g graveRow) Join(o graveRow) graveRow { return graveRow{g.Emptied || o.Emptied} }

// refusedSealed is the code of the refusal of what was sealed.
const refusedSealed = "sealed"

var errSealed = &table.Refusal{Code: refusedSealed,
	Msg: "the upload was taken for abandoned, or what it became has been replaced: begin anew"}

// sealed reports whether this replica accepts nothing more of an id from coordinators.
func (r *Rows) sealed(reader *table.Reader, key []byte, id [16]byte) (bool, error) {
	sort := garbageSort(key, id)
	_, dead, err := r.graves.GetRow(reader, sort)
	if dead || err != nil {
		return dead, err
	}
	_, promised, err := r.seals.GetRow(reader, sort)
	return promised, err
}

// seal makes the promise, durable with the transaction.
func (r *Rows) seal(tx *table.Tx, key []byte, id [16]byte) error {
	done, err := r.sealed(&tx.Reader, key, id)
	if done || err != nil {
		return err
	}
	return r.seals.Merge(tx, garbageSort(key, id), sealRow{})
}

// admitObject refuses a coordinator's commits and marks of ids that were sealed here, and everything if the
// bucket is closed. What needs no reclaim is never sealed.
func (r *Rows) admitObject(tx *table.Tx, at table.Address, _ *objectRow, in objectRow) error {
	if err := r.gates.Admit(&tx.Reader, bucket.BucketID(at.PK)); err != nil {
		return err
	}
	ids := make([][16]byte, 0, 2)
	if v := in.Winner; v.hasBlocks() {
		ids = append(ids, v.ID)
		if len(v.Upload) == len(UploadID{}) {
			ids = append(ids, [16]byte(v.Upload))
		}
	}
	for _, m := range in.Uploads {
		ids = append(ids, m.ID)
	}
	for _, id := range ids {
		if no, err := r.sealed(&tx.Reader, at.Sort, id); no || err != nil {
			return refuse(no, err)
		}
	}
	return nil
}

func refuse(no bool, err error) error {
	if err == nil && no {
		return errSealed
	}
	return err
}

// siftObject keeps a dead version from coming back, by a replica that was away or has lost its memory, and a
// row of nothing but the marks of dead uploads.
func (r *Rows) siftObject(tx *table.Tx, at table.Address, in *objectRow) (table.Sifted, error) {
	left := table.SiftedAll
	if v := in.Winner; v.hasBlocks() {
		_, dead, err := r.graves.GetRow(&tx.Reader, garbageSort(at.Sort, v.ID))
		if err == nil && dead {
			err = r.dropUnused(tx, at.Sort, v.Upload, v.owners(), v.ID)
			in.Winner, left = version{}, table.SiftedSome
		}
		if err != nil {
			return left, err
		}
	}
	if gone, err := r.onlyDead(&tx.Reader, at.Sort, *in); gone || err != nil {
		return table.SiftedNone, err
	}
	return left, nil
}

// onlyDead reports whether nothing is in a row but marks of dead uploads. Marks beside others stay: a
// replica that left them out would differ from the others for ever.
func (r *Rows) onlyDead(reader *table.Reader, key []byte, o objectRow) (bool, error) {
	if o.Winner.State != 0 {
		return false, nil
	}
	for _, m := range o.Uploads {
		_, dead, err := r.graves.GetRow(reader, garbageSort(key, m.ID))
		if err != nil || !dead {
			return false, err
		}
	}
	return true, nil
}

// siftUpload keeps attempts away whose upload has been cleared, or that are dead themselves.
func (r *Rows) siftUpload(tx *table.Tx, at table.Address, in *uploadRow) (table.Sifted, error) {
	if in.Part == nil || len(at.Sort) < partTail {
		return table.SiftedAll, nil
	}
	k, id, ok := splitUpload(uploadOf(at.Sort))
	if !ok {
		return table.SiftedAll, nil
	}
	up, _, err := r.uploads.Get(&tx.Reader, uploadOf(at.Sort))
	if err != nil {
		return table.SiftedNone, err
	}
	_, owner := attemptOf(at.Sort)
	_, dead, err := r.graves.GetRow(&tx.Reader, garbageSort([]byte(k), owner))
	if err != nil || !dead && up.State != uploadSpent {
		return table.SiftedAll, err
	}
	return table.SiftedNone, r.dropUnused(tx, []byte(k), id[:], []block.Owner{owner}, VersionID{})
}

// owners are those of its blocks.
func (v version) owners() (all []block.Owner) {
	for _, p := range v.parts() {
		all = append(all, p.Owner)
	}
	return all
}

// dropUnused drops the block lists of owners, but for those that versions need which completed an upload, one
// version left out.
func (r *Rows) dropUnused(tx *table.Tx, key, upload []byte, owners []block.Owner, but VersionID) error {
	used := map[block.Owner]bool{}
	if len(upload) > 0 {
		var err error
		if used, err = r.usedBy(&tx.Reader, key, upload, but); err != nil {
			return err
		}
	}
	for _, o := range owners {
		if used[o] {
			continue
		}
		if err := r.dropLists(tx, key, o[:]); err != nil {
			return err
		}
	}
	return nil
}

// buried follows every merge of a grave. What was kept for the dead goes once it is empty, but for what its
// parts own, which the reclaim of this node tidies away by and by. A replica that lost its memory, accepted
// the dead again and learns of it here forgets that: what it should have instead, the others bring.
func (r *Rows) buried(tx *table.Tx, at table.Address, _ *graveRow, _, joined graveRow) error {
	k, id, ok := splitGarbage(at.Sort)
	if !ok {
		return nil
	}
	o, ok, err := r.objects.Get(&tx.Reader, []byte(k))
	if err != nil {
		return err
	}
	dead := o.Winner.exists() && o.Winner.ID == id
	if ok && !dead {
		if dead, err = r.onlyDead(&tx.Reader, []byte(k), o); err != nil {
			return err
		}
	}
	if ok && dead {
		r.objects.Remove(tx, []byte(k))
	}
	r.seals.Drop(tx, at.Sort)
	if !joined.Emptied {
		return nil
	}
	g, ok, err := r.garbage.Get(&tx.Reader, at.Sort)
	if err != nil || ok && len(g.Version.Parts) > 0 {
		return err
	}
	if ok {
		r.garbage.Drop(tx, at.Sort)
	}
	return r.dropLists(tx, []byte(k), id[:kin])
}

// dropLists drops the block lists of a key's owners whose names begin so, those that cannot be read too.
func (r *Rows) dropLists(tx *table.Tx, key, owner []byte) error {
	start := append(escapeKey(Key(key)), owner...)
	for _, sort := range r.lists.Sorts(&tx.Reader, start, after(start)) {
		r.lists.Drop(tx, sort)
	}
	return nil
}
