package object

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"granary/core/block"
	"granary/core/bucket"
	"granary/core/codec"
	"granary/core/hlc"
	"granary/core/table"
)

var (
	kindObject  = codec.Register(0x30, 1, "object row")
	kindGarbage = codec.Register(0x31, 1, "garbage row")
	kindPayload = codec.Register(0x32, 1, "payload row")
	kindList    = codec.Register(0x33, 1, "block list row")
	kindUpload  = codec.Register(0x34, 1, "upload row")
	kindSeal    = codec.Register(0x35, 1, "seal row")
	kindGrave   = codec.Register(0x36, 1, "grave row")
)

const (
	// headBlocks is how many block hashes an object's own row carries; a plain object of more has block
	// lists.
	headBlocks = 32
	// segmentBlocks is how many hashes one row of a block list holds.
	segmentBlocks = 1024
	hashLen       = len(block.Hash{})
)

// state is what a version is.
type state uint8

const (
	complete state = 1 // an object
	marker   state = 2 // a deletion
)

// version is one version of an object.
type version struct {
	ID        VersionID  `cbor:"1,keyasint"`
	Stamp     hlc.Stamp  `cbor:"2,keyasint"`
	State     state      `cbor:"3,keyasint"`
	Size      int64      `cbor:"4,keyasint,omitempty"`
	ETag      string     `cbor:"5,keyasint,omitempty"`
	Headers   []Header   `cbor:"6,keyasint,omitempty"`
	Checksums []Checksum `cbor:"7,keyasint,omitempty"`
	Inline    bool       `cbor:"8,keyasint,omitempty"`  // its bytes are its payload row
	BlockSize int64      `cbor:"9,keyasint,omitempty"`  // of all its blocks but the last of each owner
	Blocks    []byte     `cbor:"10,keyasint,omitempty"` // first hashes, up to headBlocks
	Parts     []part     `cbor:"11,keyasint,omitempty"` // empty for a plain object, whose owner is its ID
	Multipart bool       `cbor:"12,keyasint,omitempty"` // made by a Complete
	// Upload is the id of the multipart upload that it completed, nil for others.
	Upload []byte `cbor:"13,keyasint,omitempty"`
}

// part is a stretch of an object whose blocks one owner lists.
type part struct {
	Number int         `cbor:"1,keyasint"`
	Owner  block.Owner `cbor:"2,keyasint"`
	Size   int64       `cbor:"3,keyasint"`
	// BlockSize is that of its blocks if it is not the version's.
	BlockSize int64 `cbor:"4,keyasint,omitempty"`
}

func (v version) head() table.Head { return table.Head{Stamp: v.Stamp, ID: v.ID} }

func (v version) exists() bool { return v.State == complete }

// hasBlocks reports whether it has content that must be reclaimed once it has been replaced.
func (v version) hasBlocks() bool { return v.exists() && !v.Inline && v.Size > 0 }

// parts returns the stretches of the object: its parts, or the whole under the version's own id.
func (v version) parts() []part {
	if len(v.Parts) > 0 {
		return v.Parts
	}
	return []part{{Number: 1, Owner: block.Owner(v.ID), Size: v.Size}}
}

// blockSize is the size of the blocks of one of its parts, but for the last.
func (v version) blockSize(p part) int64 {
	if p.BlockSize > 0 {
		return p.BlockSize
	}
	return v.BlockSize
}

// info describes a complete version.
func (v version) info(key Key) Info {
	i := Info{Key: key, Version: v.ID, Stamp: v.Stamp, Size: v.Size, ETag: v.ETag, Headers: v.Headers,
		Checksums: v.Checksums}
	if v.Multipart {
		i.Parts = len(v.Parts)
	}
	return i
}

// uploading marks a plain PUT in progress, so that what it stored can be found.
type uploading struct {
	ID    VersionID `cbor:"1,keyasint"`
	Stamp hlc.Stamp `cbor:"2,keyasint"`
}

// uploadsMax bounds the marks of one key; the oldest give way, and what they led to is left to the audit of
// references.
const uploadsMax = 64

// objectRow is stored under the object's key.
type objectRow struct {
	Winner version `cbor:"1,keyasint"`
	// Uploads are the newest marks that are newer than the winner, ordered by ID.
	Uploads []uploading `cbor:"2,keyasint,omitempty"`
}

// Join implements crdt.Lattice: the newer winner, and what else is known of both, each by itself.
func (o objectRow) Join(p objectRow) objectRow {
	j := objectRow{Winner: o.Winner}
	if o.Winner.head().Compare(p.Winner.head()) < 0 {
		j.Winner = p.Winner
	}
	j.Uploads = j.joinUploads(o.Uploads, p.Uploads)
	return j
}

// joinUploads unites the marks. A mark goes once the winner is newer than it, which is so as soon as its own
// upload has completed; it must not depend on whose completion it was, or joins would depend on their order.
func (o objectRow) joinUploads(a, b []uploading) []uploading {
	if len(a)+len(b) == 0 {
		return nil
	}
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y uploading) int {
		return cmp.Or(compareIDs(x.ID, y.ID), cmp.Compare(y.Stamp, x.Stamp))
	})
	all = slices.CompactFunc(all, func(x, y uploading) bool { return x.ID == y.ID })
	all = slices.DeleteFunc(all, func(u uploading) bool { return u.Stamp <= o.Winner.Stamp })
	if len(all) > uploadsMax {
		slices.SortFunc(all, func(x, y uploading) int {
			return cmp.Or(cmp.Compare(y.Stamp, x.Stamp), compareIDs(x.ID, y.ID))
		})
		all = all[:uploadsMax]
		slices.SortFunc(all, func(x, y uploading) int { return compareIDs(x.ID, y.ID) })
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// newest is the newest stamp in the row.
func (o objectRow) newest() hlc.Stamp {
	newest := o.Winner.Stamp
	for _, m := range o.Uploads {
		newest = max(newest, m.Stamp)
	}
	return newest
}

// oldest is the oldest stamp in the row.
func (o objectRow) oldest() hlc.Stamp {
	oldest := hlc.StampMax
	if o.Winner.State != 0 {
		oldest = o.Winner.Stamp
	}
	for _, m := range o.Uploads {
		oldest = min(oldest, m.Stamp)
	}
	return oldest
}

// above keeps what is newer than a stamp.
func (o objectRow) above(floor hlc.Stamp) (above objectRow, left bool) {
	if o.Winner.Stamp > floor {
		above.Winner = o.Winner
	}
	for _, m := range o.Uploads {
		if m.Stamp > floor {
			above.Uploads = append(above.Uploads, m)
		}
	}
	return above, above.Winner.State != 0 || len(above.Uploads) > 0
}

// spent reports whether the row says nothing but that there is no object.
func (o objectRow) spent() bool { return !o.Winner.exists() && len(o.Uploads) == 0 }

func compareIDs(a, b VersionID) int { return bytes.Compare(a[:], b[:]) }

// project keeps what a listing shows.
func (o objectRow) project() objectRow {
	v := o.Winner
	return objectRow{Winner: version{ID: v.ID, Stamp: v.Stamp, State: v.State, Size: v.Size, ETag: v.ETag,
		Checksums: v.Checksums}}
}

// listed are the fields that project keeps.
var listed = []table.Field{{Key: 1, In: []table.Field{
	{Key: 1}, {Key: 2}, {Key: 3}, {Key: 4}, {Key: 5}, {Key: 7},
}}}

// glance is project and exists on an encoded row.
func glance(dst, row []byte) (projected []byte, live bool, err error) {
	dst, err = table.Pick(dst, row, listed)
	return dst, state(table.PickUint(row, 1, 3)) == complete, err
}

// payloadRow is the content of a small object, stored under its key and version id.
type payloadRow struct {
	Data []byte `cbor:"1,keyasint,omitempty"`
}

// Join implements crdt.Lattice; a version's payload never changes.
func (p payloadRow) Join(o payloadRow) payloadRow {
	if bytes.Compare(p.Data, o.Data) < 0 {
		return o
	}
	return p
}

// listRow is one segment of an owner's block list.
type listRow struct {
	Hashes []byte `cbor:"1,keyasint"`
}

// Join implements crdt.Lattice: a segment only grows, at its end.
func (l listRow) Join(o listRow) listRow {
	if len(o.Hashes) > len(l.Hashes) || len(o.Hashes) == len(l.Hashes) &&
		bytes.Compare(l.Hashes, o.Hashes) < 0 {
		return o
	}
	return l
}

// listSort is the sort key of a segment of a block list. It begins with the key of the object that it is a
// part of, as that of a payload does, so that all that is here of a key is found, whatever became of its row.
func listSort(key []byte, owner block.Owner, segment int) []byte {
	return binary.BigEndian.AppendUint32(garbageSort(key, owner), uint32(segment))
}

// ownerOf takes the owner out of the sort key of a segment; ok is false if it is none.
func ownerOf(sort []byte) (owner block.Owner, ok bool) {
	_, id, ok := splitGarbage(sort[:max(0, len(sort)-4)])
	return id, ok
}

// Rows are the registered tables of this package.
type Rows struct {
	objects  *table.Table[objectRow]
	garbage  *table.Table[garbageRow]
	payloads *table.Table[payloadRow]
	lists    *table.Table[listRow]
	uploads  *table.Table[uploadRow]
	seals    *table.Table[sealRow]
	graves   *table.Table[graveRow]
	gates    *bucket.Rows
}

// pkLen is the length of a bucket id, the partition key of all tables of this package.
const pkLen = 16

// RegisterTables adds this package's tables to a node's registry. Their rows are admitted by the gates of
// their buckets.
func RegisterTables(r *table.Registry, gates *bucket.Rows) *Rows {
	rows := &Rows{gates: gates}
	rows.garbage = table.Register(r, table.Def[garbageRow]{ID: table.Garbage, Name: "garbage",
		Kind: kindGarbage, Version: 1, Derived: true,
		PKLen: pkLen, Join: garbageRow.Join, Mended: rows.mendedGarbage})
	rows.payloads = table.Register(r, table.Def[payloadRow]{ID: table.Payload, Name: "payload",
		Kind: kindPayload, Version: 1, Derived: true,
		PKLen: pkLen, Join: payloadRow.Join, Data: func(payloadRow) bool { return true },
		PartOf: rows.wholeOf})
	rows.lists = table.Register(r, table.Def[listRow]{ID: table.Version, Name: "block list", Kind: kindList,
		Version: 1, Derived: true,
		PKLen: pkLen, Join: listRow.Join, Verify: verifyList, PartOf: rows.wholeOf})
	rows.seals = table.Register(r, table.Def[sealRow]{ID: table.Seal, Name: "seal", Kind: kindSeal,
		Version: 1, Derived: true, PKLen: pkLen, Join: sealRow.Join})
	rows.graves = table.Register(r, table.Def[graveRow]{ID: table.Grave, Name: "grave", Kind: kindGrave,
		Version: 1, PKLen: pkLen, Join: graveRow.Join, Applied: rows.buried, Mended: rows.mendedGrave})
	rows.uploads = table.Register(r, table.Def[uploadRow]{ID: table.Upload, Name: "upload", Kind: kindUpload,
		Version: 1,
		PKLen:   pkLen, Join: uploadRow.Join, Live: uploadRow.open, Foldable: keyLen, Skip: skipParts,
		Admit: rows.admitUpload, Parts: rows.attemptParts, Sift: rows.siftUpload, Applied: rows.ended,
		Mended: rows.mendedUpload})
	rows.objects = table.Register(r, table.Def[objectRow]{ID: table.Object, Name: "object", Kind: kindObject,
		Version: 1,
		PKLen:   pkLen, Join: objectRow.Join, Head: func(o objectRow) table.Head { return o.Winner.head() },
		Live:    func(o objectRow) bool { return o.Winner.exists() },
		Project: objectRow.project, Glance: glance, Applied: rows.supersede, Parts: rows.objectParts,
		Newest: objectRow.newest, Oldest: objectRow.oldest, Above: objectRow.above,
		Spent: objectRow.spent, Yielded: rows.yielded,
		Admit: rows.admitObject, Sift: rows.siftObject, Verify: rows.verifyObject,
		Mended: rows.mendedObject})
	return rows
}

// objectParts are the payload or the block lists of the winner.
func (r *Rows) objectParts(reader *table.Reader, at table.Address, o objectRow,
	f func(table.Row)) (whole bool, err error) {
	v := o.Winner
	if !v.exists() || v.Size == 0 && !v.Inline {
		return true, nil
	}
	if v.Inline {
		row, ok, err := r.payloads.GetRow(reader, garbageSort(at.Sort, v.ID))
		if ok && err == nil {
			f(row)
		}
		return ok, err
	}
	whole = true
	for _, p := range v.parts() {
		n := blocksOf(p.Size, v.blockSize(p))
		if len(v.Parts) == 0 && n*hashLen <= len(v.Blocks) {
			continue // its own row carries the list
		}
		ok, err := r.listParts(reader, at.Sort, p.Owner, n, f)
		if err != nil {
			return false, err
		}
		whole = whole && ok
	}
	return whole, nil
}

// wholeOf is the object row whose winner needs a payload, or a segment of a block list; or the row of the
// attempt that needs that.
func (r *Rows) wholeOf(reader *table.Reader, part table.Address) (id table.ID, sort []byte, needed bool,
	err error) {
	sort = []byte(keyOf(part.Sort))
	o, _, err := r.objects.Get(reader, sort)
	if err != nil {
		return 0, nil, false, err
	}
	if owner, ok := ownerOf(part.Sort); ok {
		if !o.Winner.uses(owner) {
			return r.attemptBy(reader, Key(sort), owner)
		}
		needed = true
	} else if _, version, ok := splitGarbage(part.Sort); ok {
		needed = o.Winner.Inline && o.Winner.ID == version
	}
	return table.Object, sort, needed, nil
}

// attemptBy is the row of an owner's attempt at a part of an upload of a key.
func (r *Rows) attemptBy(reader *table.Reader, k Key, owner block.Owner) (id table.ID, sort []byte,
	found bool, err error) {
	prefix := escapeKey(k)
	err = r.uploads.Scan(reader, prefix, after(prefix), func(at []byte, u uploadRow) bool {
		if u.Part != nil && len(at) >= partTail {
			if _, o := attemptOf(at); o == owner {
				sort, found = bytes.Clone(at), true
			}
		}
		return !found
	})
	return table.Upload, sort, found, err
}

// attemptParts are the block lists of an attempt at a part of an upload.
func (r *Rows) attemptParts(reader *table.Reader, at table.Address, u uploadRow,
	f func(table.Row)) (whole bool, err error) {
	if u.Part == nil || len(at.Sort) < partTail {
		return true, nil
	}
	_, owner := attemptOf(at.Sort)
	return r.listParts(reader, []byte(keyOf(at.Sort)), owner, blocksOf(u.Part.Size, u.Part.BlockSize), f)
}

// listParts are the segments of an owner's block list, of so many blocks.
func (r *Rows) listParts(reader *table.Reader, key []byte, owner block.Owner, blocks int,
	f func(table.Row)) (whole bool, err error) {
	whole = true
	for first := 0; first < blocks; first += segmentBlocks {
		row, ok, err := r.lists.GetRow(reader, listSort(key, owner, first/segmentBlocks))
		if err != nil {
			return false, err
		}
		if ok {
			f(row)
		}
		whole = whole && ok && len(row.Value) >= min(segmentBlocks, blocks-first)*hashLen
	}
	return whole, nil
}

// blocksOf is how many blocks so many bytes are cut into.
func blocksOf(size, blockSize int64) int {
	if blockSize <= 0 {
		return 0
	}
	return int((size + blockSize - 1) / blockSize)
}
