package bucket

import (
	"bytes"
	"time"

	"granary/core/codec"
	"granary/core/cors"
	"granary/core/crdt"
	"granary/core/hlc"
	"granary/core/table"
)

var (
	kindBucket = codec.Register(0x50, 1, "bucket row")
	kindKey    = codec.Register(0x51, 1, "access key row")
)

// bucketLife is the last creation or deletion of a bucket.
type bucketLife struct {
	Live    bool   `cbor:"1,keyasint,omitempty"`
	ID      []byte `cbor:"2,keyasint,omitempty"`
	Owner   KeyID  `cbor:"3,keyasint,omitempty"`
	Created int64  `cbor:"4,keyasint,omitempty"` // ms since the Unix epoch
}

func (l bucketLife) equal(o bucketLife) bool {
	return l.Live == o.Live && bytes.Equal(l.ID, o.ID) && l.Owner == o.Owner && l.Created == o.Created
}

// Permission bits of a grant.
const (
	grantRead  = 1 << 0
	grantWrite = 1 << 1
	grantOwner = 1 << 2
)

// bucketRow is stored under the bucket's name. Grants, rules and the level are those of the last life: they
// go with the bucket that they were given for, whatever the clocks of those who gave them said.
type bucketRow struct {
	Life   crdt.LWW[bucketLife]             `cbor:"1,keyasint"`
	Grants crdt.Map[KeyID, crdt.LWW[uint8]] `cbor:"2,keyasint"`
	CORS   crdt.LWW[cors.Rules]             `cbor:"3,keyasint,omitzero"`
	// Level is the consistency of requests that name none.
	Level crdt.LWW[table.Consistency] `cbor:"4,keyasint,omitzero"`
}

// Join implements crdt.Lattice.
func (b bucketRow) Join(o bucketRow) bucketRow {
	out := bucketRow{Life: b.Life.Join(o.Life)}
	for _, r := range [...]bucketRow{b, o} {
		if r.Life.Stamp == out.Life.Stamp && r.Life.Value.equal(out.Life.Value) {
			out.Grants, out.CORS = out.Grants.Join(r.Grants), out.CORS.Join(r.CORS)
			out.Level = out.Level.Join(r.Level)
		}
	}
	return out
}

// stamp is the newest in the row; a change of the row must be stamped later.
func (b bucketRow) stamp() hlc.Stamp {
	newest := max(b.Life.Stamp, b.CORS.Stamp, b.Level.Stamp)
	for _, g := range b.Grants.All() {
		newest = max(newest, g.Stamp)
	}
	return newest
}

func (b bucketRow) bucket(name string) (Bucket, bool) {
	life := b.Life.Value
	if !life.Live || len(life.ID) != len(BucketID{}) {
		return Bucket{}, false
	}
	out := Bucket{ID: BucketID(life.ID), Name: name, Owner: life.Owner,
		Created: time.UnixMilli(life.Created).UTC(), CORS: b.CORS.Value,
		Consistency: b.Level.Value}
	for key, g := range b.Grants.All() {
		if g.Value == 0 {
			continue
		}
		out.Grants = append(out.Grants, Grant{Key: key, Read: g.Value&grantRead != 0,
			Write: g.Value&grantWrite != 0,
			Owner: g.Value&grantOwner != 0})
	}
	return out, true
}

func (g Grant) bits() (b uint8) {
	if g.Read {
		b |= grantRead
	}
	if g.Write {
		b |= grantWrite
	}
	if g.Owner {
		b |= grantOwner
	}
	return b
}

// keyState is what an access key's last change made of it.
type keyState struct {
	Live          bool   `cbor:"1,keyasint,omitempty"`
	Secret        string `cbor:"2,keyasint,omitempty"`
	Name          string `cbor:"3,keyasint,omitempty"`
	CreateBuckets bool   `cbor:"4,keyasint,omitempty"`
	Created       int64  `cbor:"5,keyasint,omitempty"`
}

// keyRow is stored under the key's id.
type keyRow struct {
	State crdt.LWW[keyState] `cbor:"1,keyasint"`
}

// Join implements crdt.Lattice.
func (k keyRow) Join(o keyRow) keyRow { return keyRow{State: k.State.Join(o.State)} }

func (k keyRow) stamp() hlc.Stamp { return k.State.Stamp }

func (k keyRow) key(id KeyID) (Key, bool) {
	s := k.State.Value
	if !s.Live {
		return Key{}, false
	}
	return Key{ID: id, Secret: s.Secret, Name: s.Name, CreateBuckets: s.CreateBuckets,
		Created: time.UnixMilli(s.Created).UTC()}, true
}

// Rows are the registered tables of this package.
type Rows struct {
	buckets *table.Table[bucketRow]
	keys    *table.Table[keyRow]
	gates   *table.Table[gateRow]
}

// RegisterTables adds this package's tables to a node's registry.
func RegisterTables(r *table.Registry) *Rows {
	return &Rows{
		buckets: table.Register(r, table.Def[bucketRow]{ID: table.Bucket, Name: "bucket", Kind: kindBucket,
			Version: 1,
			PKLen:   1, FullCopy: true, Join: bucketRow.Join}),
		keys: table.Register(r, table.Def[keyRow]{ID: table.Key, Name: "key", Kind: kindKey, Version: 1,
			PKLen: 1, FullCopy: true, Join: keyRow.Join}),
		gates: table.Register(r, table.Def[gateRow]{ID: table.Gate, Name: "gate", Kind: kindGate, Version: 1,
			PKLen: 1, FullCopy: true, Join: gateRow.Join}),
	}
}

// ms is a stamp's time as the rows store it.
func ms(s hlc.Stamp) int64 { return s.Time().UnixMilli() }
