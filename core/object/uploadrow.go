package object

import (
	"bytes"
	"encoding/binary"
	"slices"

	"granary/core/block"
	"granary/core/hlc"
	"granary/core/table"
)

// uploadState is what became of an upload. Lattice: open < completed < aborted.
type uploadState uint8

const (
	uploadOpen      uploadState = 0
	uploadCompleted uploadState = 1
	uploadAborted   uploadState = 2
)

// uploadRow is an upload, or one attempt at a part of it: rows of one table, since they are checked in one
// transaction.
type uploadRow struct {
	Created hlc.Stamp   `cbor:"1,keyasint,omitempty"`
	Headers []Header    `cbor:"2,keyasint,omitempty"`
	Algo    string      `cbor:"3,keyasint,omitempty"`
	Type    string      `cbor:"4,keyasint,omitempty"`
	State   uploadState `cbor:"5,keyasint,omitempty"`
	// Done is the object that the upload became; set with uploadCompleted.
	Done *version `cbor:"6,keyasint,omitempty"`
	// Part is set in the row of an attempt, and only there.
	Part *partRow `cbor:"7,keyasint,omitempty"`
}

// partRow is one attempt to upload a part; its owner is in its sort key.
type partRow struct {
	Stamp     hlc.Stamp  `cbor:"1,keyasint"`
	Size      int64      `cbor:"2,keyasint"`
	ETag      string     `cbor:"3,keyasint"`
	Checksums []Checksum `cbor:"4,keyasint,omitempty"`
}

func (u uploadRow) open() bool { return u.Part == nil && u.State == uploadOpen }

// Join implements crdt.Lattice. Rows of attempts never change; of two different completions, which no quorum
// can both have accepted, the lower version id stays.
func (u uploadRow) Join(o uploadRow) uploadRow {
	if o.State > u.State || o.State == u.State && less(o, u) {
		u, o = o, u
	}
	if u.Created == 0 {
		u.Created, u.Headers, u.Algo, u.Type = o.Created, o.Headers, o.Algo, o.Type
	}
	return u
}

// less orders rows of one state: a total order, so that a join does not depend on which side is which.
func less(a, b uploadRow) bool {
	if a.Done != nil && b.Done != nil && a.Done.ID != b.Done.ID {
		return compareIDs(a.Done.ID, b.Done.ID) < 0
	}
	if a.Done != nil && b.Done != nil && a.Done.Stamp != b.Done.Stamp {
		return a.Done.Stamp < b.Done.Stamp
	}
	if a.Part != nil && b.Part != nil {
		return a.Part.Stamp < b.Part.Stamp
	}
	return a.Created > b.Created
}

// Refusals of a replica.
const (
	refusedAborted   = "upload-aborted"
	refusedCompleted = "upload-completed"
)

// admitUpload checks a coordinator's write against what became of the upload at this replica.
func (r *Rows) admitUpload(tx *table.Tx, at table.Address, old *uploadRow, in uploadRow) error {
	now := old
	if in.Part != nil {
		row, ok, err := r.uploads.Get(&tx.Reader, uploadOf(at.Sort))
		if err != nil {
			return err
		}
		if now = nil; ok {
			now = &row
		}
	}
	if now == nil {
		return nil
	}
	switch {
	case now.State == uploadAborted && in.State != uploadAborted &&
		(in.Part != nil || in.State == uploadCompleted):
		return &table.Refusal{Code: refusedAborted, Msg: "the upload was aborted"}
	case now.State != uploadCompleted:
		return nil
	case in.Part != nil || in.State == uploadAborted || in.Done != nil && in.Done.ID != now.Done.ID:
		return &table.Refusal{Code: refusedCompleted, Msg: "the upload was completed"}
	}
	return nil
}

// Kinds of rows of the upload table, the byte behind the upload id in their sort keys.
const (
	sortUpload = 0x00
	sortPart   = 0x01
)

// escapePrefix encodes the beginning of an object key: a zero byte becomes 0x00 0xff.
func escapePrefix(p string) []byte {
	out := make([]byte, 0, len(p)+2)
	for i := range len(p) {
		if out = append(out, p[i]); p[i] == 0 {
			out = append(out, 0xff)
		}
	}
	return out
}

// unescapePrefix reverses escapePrefix.
func unescapePrefix(sort []byte) string {
	return string(bytes.ReplaceAll(sort, []byte{0, 0xff}, []byte{0}))
}

// escapeKey encodes a whole object key so that sort keys that begin with it are ordered by it: 0x00 0x00 ends
// it.
func escapeKey(k Key) []byte { return append(escapePrefix(string(k)), 0, 0) }

// keyLen is the length of the escaped key that a sort key of the upload table begins with, without its end.
func keyLen(sort []byte) int {
	if end := bytes.Index(sort, []byte{0, 0}); end >= 0 {
		return end
	}
	return len(sort)
}

// skipParts passes over the rows of attempts at parts, whose upload's row comes before them.
func skipParts(sort []byte) []byte {
	n := keyLen(sort) + 2 + len(UploadID{})
	if n >= len(sort) || sort[n] != sortPart {
		return nil
	}
	return append(bytes.Clone(sort[:n]), sortPart+1)
}

// splitUpload takes the sort key of an upload row apart; ok is false for that of a part.
func splitUpload(sort []byte) (k Key, id UploadID, ok bool) {
	n := len(sort) - len(id) - 1
	if n < 2 || sort[len(sort)-1] != sortUpload {
		return "", id, false
	}
	end := bytes.Index(sort[:n], []byte{0, 0})
	if end != n-2 {
		return "", id, false
	}
	return Key(unescapePrefix(sort[:end])), UploadID(sort[n : n+len(id)]), true
}

// uploadPrefix is what the sort keys of an upload and of its parts begin with.
func uploadPrefix(k Key, id UploadID) []byte { return append(escapeKey(k), id[:]...) }

func uploadSort(k Key, id UploadID) []byte { return append(uploadPrefix(k, id), sortUpload) }

// partTail is the length of what follows the upload id in a part's sort key.
const partTail = 1 + 2 + len(block.Owner{})

func partSort(k Key, id UploadID, number int, owner block.Owner) []byte {
	s := append(uploadPrefix(k, id), sortPart)
	return append(binary.BigEndian.AppendUint16(s, uint16(number)), owner[:]...)
}

// partsRange is the range of the sort keys of an upload's parts from number first on.
func partsRange(k Key, id UploadID, first int) (start, end []byte) {
	base := uploadPrefix(k, id)
	start = binary.BigEndian.AppendUint16(append(slices.Clip(base), sortPart), uint16(first))
	return start, append(slices.Clip(base), sortPart+1)
}

// uploadOf is the sort key of the upload that a part's row belongs to.
func uploadOf(sort []byte) []byte {
	return append(bytes.Clone(sort[:max(0, len(sort)-partTail)]), sortUpload)
}

// attemptOf takes the number and owner out of a part's sort key.
func attemptOf(sort []byte) (number int, owner block.Owner) {
	tail := sort[len(sort)-partTail+1:]
	return int(binary.BigEndian.Uint16(tail)), block.Owner(tail[2:])
}
