package block

import (
	"bytes"
	"errors"

	"granary/core/codec"
	"granary/core/hlc"
	"granary/core/kv"
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
	// Lost is odd once the block was given up as lost, and even again once a copy turned up after all.
	Lost uint32 `cbor:"7,keyasint,omitempty"`
}

// lost reports whether nobody waits for the block any more, as far as this reference is concerned.
func (r refRow) lost() bool { return r.Lost%2 == 1 }

// Join implements crdt.Lattice: an owner's reference never changes but for being deleted, and for what is
// known of the block's loss.
func (r refRow) Join(o refRow) refRow {
	if string(o.Key) > string(r.Key) {
		r, o = o, r
	}
	r.Deleted = r.Deleted || o.Deleted
	r.Made, r.Lost = max(r.Made, o.Made), max(r.Lost, o.Lost)
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
		Applied: rows.applied, Dropped: rows.dropped, Mended: rows.mended})
	return rows
}

// dropped lets the queues follow a reference that belongs to other nodes now.
func (r *Rows) dropped(tx *table.Tx, at table.Address, _ refRow) error {
	if r.store == nil {
		return nil
	}
	return r.gone(tx, at)
}

// mended lets the queues follow a reference that was repaired, whatever it had said.
func (r *Rows) mended(tx *table.Tx, at table.Address, is *refRow) error {
	switch {
	case r.store == nil:
		return nil
	case is == nil:
		return r.gone(tx, at)
	}
	return r.applied(tx, at, nil, *is, *is)
}

// gone lets the queues follow a reference that went: with the last one of a block the block goes.
func (r *Rows) gone(tx *table.Tx, at table.Address) error {
	h, w := Hash(at.PK), tx.Records()
	live, err := r.live(&tx.Reader)
	if err != nil {
		return err
	}
	if live {
		return r.follow(tx, h)
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
	case joined.Deleted && (old == nil || !old.Deleted):
		return r.gone(tx, at)
	case joined.Deleted || old != nil && old.lost() == joined.lost():
	case w.Get(presentKey(h)) != nil:
		if joined.lost() {
			return r.refs.Merge(tx, at.Sort, joined.found())
		}
	case r.store.env.Mutant("block: reference does not fetch its block"):
	default:
		if old == nil && want(w, h, reasonNew) {
			tx.After(r.store.resync.arrived)
		}
		return r.follow(tx, h)
	}
	return nil
}

// found is a reference to a block that was given up, and is here.
func (r refRow) found() refRow {
	r.Lost++
	return r
}

// follow makes the entry of a wanted block say whether it is waited for: whether a live reference to it was
// not given up.
func (r *Rows) follow(tx *table.Tx, h Hash) error {
	why, wanted := wantedFor(tx.Records(), h)
	if !wanted {
		return nil
	}
	lost := true
	err := r.refs.Scan(&tx.Reader, nil, nil, func(_ []byte, v refRow) bool {
		lost = v.Deleted || v.lost()
		return lost
	})
	if err != nil {
		return err
	}
	if lost != (why == reasonGivenUp) {
		resign(tx.Records(), h, lost)
		tx.After(r.store.resync.bell.Unpark)
	}
	return nil
}

// foundRows are the rows that say of a block which was given up that it is here.
func (r *Rows) foundRows(at kv.Reader, h Hash) (rows []table.Row, err error) {
	if r.store.env.Mutant("block: a copy does not tell that it was given up") {
		return nil, nil
	}
	var failed error
	err = r.refs.ScanAt(at, h[:], func(sort []byte, v refRow) bool {
		if v.Deleted || !v.lost() {
			return true
		}
		row, err := r.refs.Row(bytes.Clone(sort), v.found())
		rows, failed = append(rows, row), err
		return err == nil
	})
	return rows, errors.Join(err, failed)
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

// ref is what a reference says.
func (r refRow) ref(owner []byte) Ref {
	ref := Ref{Owner: Owner(owner), Bucket: r.Bucket, Key: string(r.Key), Part: r.Part, Made: r.Made}
	copy(ref.Upload[:], r.Upload)
	return ref
}

func (r *Rows) row(ref Ref) (table.Row, error) {
	row := refRow{Bucket: ref.Bucket, Key: []byte(ref.Key), Part: ref.Part, Made: ref.Made}
	if ref.Upload != [16]byte{} {
		row.Upload = ref.Upload[:]
	}
	return r.refs.Row(ref.Owner[:], row)
}
