package object

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"granary/core/block"
	"granary/core/bucket"
	"granary/core/hlc"
	"granary/core/table"
)

// uploadState is what became of an upload. Lattice: open < aborted < completed < spent. A replica accepts
// only one of abort and completion from coordinators; where both got somewhere, the completion is seen.
type uploadState uint8

const (
	uploadOpen      uploadState = 0
	uploadAborted   uploadState = 1
	uploadCompleted uploadState = 2
	// uploadSpent means that it has ended and that its attempts are gone; what it became is still told.
	uploadSpent uploadState = 3
)

// uploadRow is an upload, or one attempt at a part of it: rows of one table, since they are checked in one
// transaction.
type uploadRow struct {
	Created hlc.Stamp   `cbor:"1,keyasint,omitempty"`
	Headers []Header    `cbor:"2,keyasint,omitempty"`
	Algo    string      `cbor:"3,keyasint,omitempty"`
	Type    string      `cbor:"4,keyasint,omitempty"`
	State   uploadState `cbor:"5,keyasint,omitempty"`
	// Done is the object that the upload became; set with uploadCompleted. Once the upload is spent it has
	// only what Complete answers.
	Done *version `cbor:"6,keyasint,omitempty"`
	// Part is set in the row of an attempt, and only there.
	Part *partRow `cbor:"7,keyasint,omitempty"`
	// Try tells the call of Complete that set Done, which alone may stamp it anew.
	Try uint64 `cbor:"8,keyasint,omitempty"`
}

// partRow is one attempt to upload a part; its owner is in its sort key.
type partRow struct {
	Stamp     hlc.Stamp  `cbor:"1,keyasint"`
	Size      int64      `cbor:"2,keyasint"`
	ETag      string     `cbor:"3,keyasint"`
	Checksums []Checksum `cbor:"4,keyasint,omitempty"`
	BlockSize int64      `cbor:"5,keyasint"`
}

func (u uploadRow) open() bool { return u.Part == nil && u.State == uploadOpen }

// Join implements crdt.Lattice: the greater row, with what was said when the upload was created.
func (u uploadRow) Join(o uploadRow) uploadRow {
	if u.compare(o) < 0 {
		u, o = o, u
	}
	if u.Created == 0 {
		u.Created, u.Headers, u.Algo, u.Type = o.Created, o.Headers, o.Algo, o.Type
	}
	return u
}

// compare orders the rows of one upload, or of one attempt. Of two different completions, which no quorum can
// both have accepted, the one with the lower version id is greater; the row of an attempt never changes.
func (u uploadRow) compare(o uploadRow) int {
	c := cmp.Or(cmp.Compare(u.State, o.State), orderNil(u.Done == nil, o.Done == nil))
	if c == 0 && u.Done != nil {
		c = cmp.Or(compareIDs(o.Done.ID, u.Done.ID), cmp.Compare(u.Try, o.Try),
			cmp.Compare(u.Done.Stamp, o.Done.Stamp))
	}
	if c == 0 {
		c = orderNil(u.Part == nil, o.Part == nil)
	}
	if c == 0 && u.Part != nil {
		c = cmp.Compare(u.Part.Stamp, o.Part.Stamp)
	}
	return cmp.Or(c, cmp.Compare(u.Created, o.Created))
}

// orderNil orders what is missing before what is there.
func orderNil(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// Refusals of a replica.
const (
	refusedAborted     = "upload-aborted"
	refusedCompleted   = "upload-completed"
	refusedOverwritten = "upload-overwritten"
	refusedAttempts    = "part-attempts"
)

// attemptsMax bounds the attempts at one part that count.
const attemptsMax = 10

// admitUpload checks a coordinator's write against what became of the upload at this replica.
func (r *Rows) admitUpload(tx *table.Tx, at table.Address, old *uploadRow, in uploadRow) error {
	if err := r.gates.Admit(&tx.Reader, bucket.BucketID(at.PK)); err != nil {
		return err
	}
	if in.Part != nil {
		return r.admitPart(tx, at, old)
	}
	k, id, ok := splitUpload(at.Sort)
	if !ok {
		return fmt.Errorf("upload sort key %x: %w", at.Sort, table.ErrMalformedRow)
	}
	if no, err := r.sealed(&tx.Reader, []byte(k), id); no || err != nil {
		return refuse(no, err)
	}
	if old == nil {
		return nil
	}
	switch {
	case old.State == uploadSpent:
		return errSealed
	case old.State == uploadAborted && in.State == uploadCompleted:
		return &table.Refusal{Code: refusedAborted, Msg: "the upload was aborted"}
	case old.State != uploadCompleted || old.Done == nil || in.State == uploadOpen:
		return nil
	case in.State == uploadAborted || in.Done == nil || in.Done.ID != old.Done.ID:
		return &table.Refusal{Code: refusedCompleted, Msg: "the upload was completed"}
	case in.Try != old.Try && in.Done.Stamp > old.Done.Stamp:
		return r.admitAgain(tx, at, *old.Done)
	}
	return nil
}

// admitPart checks an attempt at a part against the row of its upload, which came in the same batch.
func (r *Rows) admitPart(tx *table.Tx, at table.Address, old *uploadRow) error {
	if old != nil {
		return nil
	}
	up, ok, err := r.uploads.Get(&tx.Reader, uploadOf(at.Sort))
	if err != nil {
		return err
	}
	k, _, _ := splitUpload(uploadOf(at.Sort))
	_, owner := attemptOf(at.Sort)
	if no, err := r.sealed(&tx.Reader, []byte(k), owner); no || err != nil {
		return refuse(no, err)
	}
	switch {
	case ok && up.State == uploadAborted:
		return &table.Refusal{Code: refusedAborted, Msg: "the upload was aborted"}
	case ok && up.State >= uploadCompleted:
		return &table.Refusal{Code: refusedCompleted, Msg: "the upload was completed"}
	}
	attempts := 0
	number := at.Sort[:max(0, len(at.Sort)-len(block.Owner{}))]
	err = r.uploads.ScanRows(&tx.Reader, number, after(number), func(table.Row) bool {
		attempts++
		return attempts < attemptsMax
	})
	if attempts >= attemptsMax {
		return &table.Refusal{Code: refusedAttempts,
			Msg: fmt.Sprintf("the part was uploaded %d times already: abort the upload", attempts)}
	}
	return err
}

// admitAgain refuses a later stamp for an upload that another call of Complete has completed, once something
// newer has replaced the object: that must not come back.
func (r *Rows) admitAgain(tx *table.Tx, at table.Address, done version) error {
	k, _, ok := splitUpload(at.Sort)
	if !ok {
		return fmt.Errorf("upload sort key %x: %w", at.Sort, table.ErrMalformedRow)
	}
	now, ok, err := r.objects.Get(&tx.Reader, []byte(k))
	head := now.Winner.head()
	if err == nil && !ok {
		head, err = r.goneHead(&tx.Reader, []byte(k))
	}
	if err != nil || head.ID == done.ID || head.Stamp < done.Stamp || ok && head.Stamp == done.Stamp {
		return err
	}
	return &table.Refusal{Code: refusedOverwritten, Msg: "the upload was completed, and its object replaced"}
}

// after returns the first sort key after every one that begins with p; p is not all 0xff.
func after(p []byte) []byte {
	end := bytes.Clone(p)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
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

// keyOf is the object key that a sort key begins with, of all rows but those of objects.
func keyOf(sort []byte) Key { return Key(unescapePrefix(sort[:keyLen(sort)])) }

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

// partsRange is the range of the sort keys of an upload's parts with numbers from first to last.
func partsRange(k Key, id UploadID, first, last int) (start, end []byte) {
	base := append(uploadPrefix(k, id), sortPart)
	start = binary.BigEndian.AppendUint16(slices.Clip(base), uint16(first))
	return start, binary.BigEndian.AppendUint16(slices.Clip(base), uint16(last+1))
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
