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
type Rows struct{ refs *table.Table[refRow] }

// RegisterTables adds this package's tables to a node's registry.
func RegisterTables(r *table.Registry) *Rows {
	return &Rows{refs: table.Register(r, table.Def[refRow]{ID: table.BlockRef, Name: "block reference",
		Kind:    kindRef,
		Version: 1, PKLen: len(Hash{}), Join: refRow.Join, Live: func(r refRow) bool { return !r.Deleted },
		Admit: func(_ *table.Tx, _ table.Address, old *refRow, in refRow) error {
			if old != nil && old.Deleted && !in.Deleted {
				return &table.Refusal{Code: RefDeleted,
					Msg: "the upload that this block belongs to was given up"}
			}
			return nil
		}})}
}

func (r *Rows) row(ref Ref) (table.Row, error) {
	row := refRow{Bucket: ref.Bucket, Key: []byte(ref.Key), Part: ref.Part, Made: ref.Made}
	if ref.Upload != [16]byte{} {
		row.Upload = ref.Upload[:]
	}
	return r.refs.Row(ref.Owner[:], row)
}
