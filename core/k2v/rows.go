package k2v

import (
	"granary/core/bucket"
	"granary/core/codec"
	"granary/core/crdt"
	"granary/core/rt"
	"granary/core/table"

	"github.com/zeebo/blake3"
)

var (
	kindItem  = codec.Register(0x70, 1, "k2v item")
	kindIndex = codec.Register(0x71, 1, "k2v index")
	kindCount = codec.Register(0x72, 1, "k2v count")
)

// itemPKLen is the length of an item's partition key in the table: the bucket's id and a hash of the client's
// partition key, since the table wants one length.
const itemPKLen = len(bucket.BucketID{}) + 32

func itemPK(b bucket.BucketID, pk string) []byte {
	sum := blake3.Sum256([]byte(pk))
	return append(append(make([]byte, 0, itemPKLen), b[:]...), sum[:]...)
}

// itemRow is stored under (bucket, partition key), sort key.
type itemRow struct {
	PK    string    `cbor:"1,keyasint"` // the client's, for the index
	State crdt.DVVS `cbor:"2,keyasint"`
}

// Join implements crdt.Lattice.
func (r itemRow) Join(o itemRow) itemRow {
	return itemRow{PK: max(r.PK, o.PK), State: r.State.Join(o.State)}
}

// live reports whether the row has a value that is no deletion.
func (r itemRow) live() bool {
	for _, v := range r.State.Dots {
		if !v.Deleted {
			return true
		}
	}
	return false
}

// lastWriter is the wrong join that a mutant turns on: the newest value alone.
func (r itemRow) lastWriter(o itemRow) itemRow {
	joined := r.Join(o)
	var newest uint64
	for _, v := range joined.State.Dots {
		newest = max(newest, v.Time)
	}
	for i := range joined.State.Entries {
		e := &joined.State.Entries[i]
		for len(e.Values) > 0 && e.Values[0].Time < newest {
			e.Values = e.Values[1:]
		}
	}
	return joined
}

// Rows are the registered tables of this package.
type Rows struct {
	items *table.Table[itemRow]
	index *table.Table[indexRow]
	gates *bucket.Rows
	store *Store // set before the node starts; its hooks follow the items
}

// RegisterTables adds this package's tables to a node's registry.
func RegisterTables(r *table.Registry, env rt.Env, gates *bucket.Rows) *Rows {
	rows := &Rows{gates: gates}
	join := itemRow.Join
	if env.Mutant("k2v merge by last writer") {
		join = itemRow.lastWriter
	}
	rows.items = table.Register(r, table.Def[itemRow]{ID: table.K2VItem, Name: "k2v item", Kind: kindItem,
		Version: 1, PKLen: itemPKLen, Join: join, Verify: verifyItem, Data: itemRow.live,
		Applied: func(tx *table.Tx, at table.Address, old *itemRow, _, joined itemRow) error {
			return rows.store.applied(tx, at, old, joined)
		},
		Dropped: rows.dropped,
		Mended: func(tx *table.Tx, at table.Address, is *itemRow) error {
			return rows.store.mended(tx, at, is)
		}})
	rows.index = table.Register(r, table.Def[indexRow]{ID: table.K2VIndex, Name: "k2v index", Kind: kindIndex,
		Version: 1, PKLen: len(bucket.BucketID{}), Join: indexRow.Join})
	return rows
}
