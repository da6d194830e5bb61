package table

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/zeebo/blake3"

	"granary/core/codec"
	"granary/core/kv"
)

// Digest sums up a set of rows: how many there are, and the sum of a hash of each. It is a group: rows come
// and go in any order, and the Digest of a range is that of its parts, added.
type Digest struct {
	Rows int64     `cbor:"1,keyasint,omitempty"`
	Sum  [2]uint64 `cbor:"2,keyasint"`
}

func (d Digest) add(o Digest) Digest {
	return Digest{d.Rows + o.Rows, [2]uint64{d.Sum[0] + o.Sum[0], d.Sum[1] + o.Sum[1]}}
}

func (d Digest) sub(o Digest) Digest {
	return Digest{d.Rows - o.Rows, [2]uint64{d.Sum[0] - o.Sum[0], d.Sum[1] - o.Sum[1]}}
}

// rowDigest is that of one row at a local key. lacks says that parts of it are missing here.
func rowDigest(key, row []byte, lacks bool) Digest {
	var head [9]byte
	binary.BigEndian.PutUint64(head[:], uint64(len(key)))
	if lacks {
		head[8] = 1
	}
	h := blake3.New()
	h.Write(head[:])
	h.Write(key)
	h.Write(row)
	var sum [16]byte
	h.Digest().Read(sum[:])
	return Digest{1, [2]uint64{binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])}}
}

// digestPrefix is the first byte of the local keys of digests: a node's own records, below all rows.
const digestPrefix = 0x7f

// The levels of digests. Rows are level 0.
//
// A *group* is the rows of one table under one hash prefix. Inside it a row whose key has a hash with enough
// zero bits begins a *span*, which ends before the next such row: where spans begin follows from the keys
// alone, so replicas that hold the same rows have the same spans, whatever came first. The rows before the
// first span have no record of their own; the group's has them.
const (
	levelSpan  = 1 // spans of about 1 << spanBits rows
	levelBroad = 2 // spans of about as many of those
	levelGroup = 3
)

// spanBits is the logarithm of how many rows, or spans, a span has in the mean.
const spanBits = 7

// rankOf is the highest level at which a row of this key begins a span.
func rankOf(key []byte) int {
	sum := blake3.Sum256(key)
	return min(bits.TrailingZeros64(binary.BigEndian.Uint64(sum[:]))/spanBits, levelBroad)
}

// groupOf is what all keys of a row's group begin with.
func groupOf(key []byte) []byte { return key[:localHeadLen] }

// digestKey is where the digest of what begins at a row's local key, or of a group, is kept:
//
//	0x7f | level, 1 byte | local key of the first row, or of the group, without its first byte
func digestKey(level int, key []byte) []byte {
	return append([]byte{digestPrefix, byte(level)}, key[1:]...)
}

func (d Digest) encode() []byte {
	b := make([]byte, 1, digestLen)
	b[0] = digestVersion
	b = binary.BigEndian.AppendUint64(b, uint64(d.Rows))
	b = binary.BigEndian.AppendUint64(b, d.Sum[0])
	return binary.BigEndian.AppendUint64(b, d.Sum[1])
}

// A stored digest is digestVersion, the number of rows, and the sum, big endian.
const (
	digestVersion = 1
	digestLen     = 1 + 8 + 16
)

// decodeDigest reads a stored digest. One that cannot be read counts as none: a digest only says where to
// look, and is found wrong by CheckDigests.
func decodeDigest(b []byte) (d Digest) {
	if len(b) != digestLen || b[0] != digestVersion {
		return d
	}
	d.Rows = int64(binary.BigEndian.Uint64(b[1:]))
	d.Sum = [2]uint64{binary.BigEndian.Uint64(b[9:]), binary.BigEndian.Uint64(b[17:])}
	return d
}

// digestOf implements schema: the digest of a stored row. A row that cannot be read differs from all that
// can.
func (t *Table[T]) digestOf(key, stored []byte) Digest {
	rec, err := codec.Load[record](stored, t.def.Kind)
	if err != nil {
		return rowDigest(key, stored, true)
	}
	return rowDigest(key, rec.Row, rec.Lacks)
}

// tracker keeps the digests of a store in step with its rows, inside the transactions that change them.
type tracker struct{ w kv.Writer }

// change follows a row that came (was is zero), changed, or went (is is zero).
//
// Cost: a few records, whatever the table holds; and in one of 1 << spanBits rows that come, two walks over
// as many.
func (t tracker) change(s schema, key []byte, was, is Digest) {
	delta := is.sub(was)
	if delta == (Digest{}) {
		return
	}
	rank := rankOf(key)
	if rank >= levelSpan && was.Rows < is.Rows {
		t.recount(s, key, was) // what is split must be the digest of the rows that it is shared out by
	}
	t.bump(digestKey(levelGroup, groupOf(key)), delta, false)
	for level := levelSpan; level <= levelBroad; level++ {
		switch {
		case level > rank:
			t.bumpBefore(level, key, delta)
		case was.Rows == is.Rows:
			t.bump(digestKey(level, key), delta, true)
		case is.Rows > 0:
			t.begin(s, level, key, is)
		default:
			t.end(level, key, was)
		}
	}
}

// bump adds to a digest; one that sums up nothing goes, unless it is that of a span that stays.
func (t tracker) bump(key []byte, delta Digest, stays bool) {
	d := decodeDigest(t.w.Get(key)).add(delta)
	if d == (Digest{}) && !stays {
		t.w.Delete(key)
		return
	}
	t.w.Put(key, d.encode())
}

// bumpBefore adds to the digest of the span that a row is in but does not begin, if there is one.
func (t tracker) bumpBefore(level int, key []byte, delta Digest) {
	var at []byte
	t.w.Descend(digestKey(level, groupOf(key)), digestKey(level, key), func(k, _ []byte) bool {
		at = bytes.Clone(k)
		return false
	})
	if at != nil {
		t.bump(at, delta, true)
	}
}

// begin splits a span at a new row.
func (t tracker) begin(s schema, level int, key []byte, row Digest) {
	all := row
	from := append(bytes.Clone(key), 0)
	end := boundary(t.w, level, from, successor(groupOf(key)))
	if level == levelSpan {
		t.w.Ascend(from, end, func(k, stored []byte) bool {
			all = all.add(s.digestOf(k, stored))
			return true
		})
	} else {
		all = sumNodes(t.w, level-1, key, end)
	}
	t.w.Put(digestKey(level, key), all.encode())
	t.bumpBefore(level, key, row.sub(all))
}

// end joins the span of a row that went to the one before.
func (t tracker) end(level int, key []byte, row Digest) {
	at := digestKey(level, key)
	rest := decodeDigest(t.w.Get(at)).sub(row)
	t.w.Delete(at)
	t.bumpBefore(level, key, rest)
}

// boundary returns the first row key in [from, end) that begins a span, end if there is none.
func boundary(r kv.Reader, level int, from, end []byte) []byte {
	at := end
	r.Ascend(digestKey(level, from), digestEnd(level, end), func(k, _ []byte) bool {
		at = rowKeyOf(k)
		return false
	})
	return at
}

// digestEnd is the end of a range of digests of one level; end is nil for no bound.
func digestEnd(level int, end []byte) []byte {
	if end == nil || end[0] > localPrefix {
		return []byte{digestPrefix, byte(level + 1)}
	}
	return digestKey(level, end)
}

// rowKeyOf is the row's local key that a digest's key names.
func rowKeyOf(digest []byte) []byte {
	return append([]byte{localPrefix}, digest[2:]...)
}

// sumNodes adds up the digests of a level that begin in [from, end).
func sumNodes(r kv.Reader, level int, from, end []byte) (all Digest) {
	r.Ascend(digestKey(level, from), digestEnd(level, end), func(_, v []byte) bool {
		all = all.add(decodeDigest(v))
		return true
	})
	return all
}

// String is for people: rows and the beginning of the sum.
func (d Digest) String() string { return fmt.Sprintf("%d rows, sum %08x", d.Rows, d.Sum[0]>>32) }
