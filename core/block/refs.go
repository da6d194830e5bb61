package block

import (
	"errors"

	"granary/core/codec"
	"granary/core/hlc"
	"granary/core/rpc"
	"granary/core/table"
)

var kindRef = codec.Register(0x40, 1, "block reference")

// Owner is what a block list belongs to: a version of an object, or one attempt to upload a part.
type Owner [16]byte

// Ref says why a block is kept, and where to look up whether it still has to be.
type Ref struct {
	Owner  Owner
	Bucket [16]byte
	Key    string
	Upload [16]byte // what decides about the owner, if that is not the owner itself
	Part   int      // number of the part whose attempt the owner is, 0 for none
	Made   hlc.Stamp
}

// refRow is stored under (block hash, owner). Deleted is for good.
type refRow struct {
	Bucket  [16]byte  `cbor:"1,keyasint"`
	Key     []byte    `cbor:"2,keyasint"`
	Upload  []byte    `cbor:"3,keyasint,omitempty"`
	Deleted bool      `cbor:"4,keyasint,omitempty"`
	Part    int       `cbor:"5,keyasint,omitempty"`
	Made    hlc.Stamp `cbor:"6,keyasint,omitempty"`
}

// Join implements crdt.Lattice: an owner's reference never changes but for being deleted.
func (r refRow) Join(o refRow) refRow {
	if string(o.Key) > string(r.Key) {
		r, o = o, r
	}
	r.Deleted = r.Deleted || o.Deleted
	r.Made = max(r.Made, o.Made)
	return r
}

// RefDeleted is the code of the refusal of a block whose reference was deleted before.
const RefDeleted = "reference-deleted"

// ErrGivenUp means that a block's reference was deleted before: what it belonged to was given up.
var ErrGivenUp = rpc.RegisterError("block.given_up", errors.New("the upload of this block was given up"))

// Rows are the registered tables of this package.
type Rows struct {
	refs *table.Table[refRow]
	// store is the one that follows what is referred to here; set by New, before any row is merged.
	store *Store
}

// RegisterTables adds this package's tables to a node's registry.
func RegisterTables(r *table.Registry) *Rows {
	rows := &Rows{}
	rows.refs = table.Register(r, table.Def[refRow]{ID: table.BlockRef, Name: "block reference",
		Kind:    kindRef,
		Version: 1, PKLen: len(Hash{}), Join: refRow.Join, Live: func(r refRow) bool { return !r.Deleted },
		Admit: func(_ *table.Tx, _ table.Address, old *refRow, in refRow) error {
			if old != nil && old.Deleted && !in.Deleted {
				return &table.Refusal{Code: RefDeleted,
					Msg: "the upload that this block belongs to was given up"}
			}
			return nil
		},
		Applied: rows.applied, Dropped: rows.dropped})
	return rows
}

// dropped lets the queues follow a reference that belongs to other nodes now.
func (r *Rows) dropped(tx *table.Tx, at table.Address, _ refRow) error {
	if r.store == nil {
		return nil
	}
	return r.gone(tx, at)
}

// gone lets the queues follow a reference that went: with the last one of a block the block goes.
func (r *Rows) gone(tx *table.Tx, at table.Address) error {
	h, w := Hash(at.PK), tx.Records()
	live, err := r.live(&tx.Reader)
	if err != nil || live {
		return err
	}
	if was, _ := unwant(w, h); was {
		tx.After(r.store.resync.left)
	}
	if w.Get(presentKey(h)) != nil {
		w.Put(unwantedKey(r.store.wallMillis(r.store.removeDelay), h), []byte{})
		tx.After(r.store.removal.arrived)
	}
	return nil
}

// applied lets the queues follow the references, in the transaction of each, whatever brought it: the first
// one of a block that is not here makes it wanted, the end of the last one unwanted.
func (r *Rows) applied(tx *table.Tx, at table.Address, old *refRow, _, joined refRow) error {
	h, w := Hash(at.PK), tx.Records()
	switch {
	case r.store == nil:
	case !joined.Deleted && old == nil:
		if w.Get(presentKey(h)) == nil && !r.store.env.Mutant("block: reference does not fetch its block") &&
			want(w, h, reasonNew) {
			tx.After(r.store.resync.arrived)
		}
	case joined.Deleted && (old == nil || !old.Deleted):
		return r.gone(tx, at)
	}
	return nil
}

// live reports whether a reference to the block whose rows r reads is not deleted.
func (r *Rows) live(rows *table.Reader) (live bool, err error) {
	err = r.refs.Scan(rows, nil, nil, func(_ []byte, v refRow) bool {
		live = !v.Deleted
		return !live
	})
	return live, err
}

// deleted is the row that marks an owner's reference deleted, whether it is known or not.
func (r *Rows) deleted(o Owner) (table.Row, error) { return r.refs.Row(o[:], refRow{Deleted: true}) }

func (r *Rows) row(ref Ref) (table.Row, error) {
	row := refRow{Bucket: ref.Bucket, Key: []byte(ref.Key), Part: ref.Part, Made: ref.Made}
	if ref.Upload != [16]byte{} {
		row.Upload = ref.Upload[:]
	}
	return r.refs.Row(ref.Owner[:], row)
}
