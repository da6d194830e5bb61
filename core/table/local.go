package table

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"time"

	"granary/core/codec"
	"granary/core/hlc"
	"granary/core/kv"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rt"
)

// localPrefix is the first byte of every replicated row's local key, so that rows and a node's own records,
// whose keys begin lower, share one key space.
const localPrefix = 0x80

// localHeadLen is the length of what precedes the partition key in a local key.
const localHeadLen = 4

// appendLocal appends the local key of a row:
//
//	0x80 | hash prefix, 2 bytes | table, 1 byte | partition key | sort key
func appendLocal(dst []byte, prefix layout.Prefix, id ID, at Address) []byte {
	dst = append(dst, localPrefix, byte(prefix>>8), byte(prefix), byte(id))
	dst = append(dst, at.PK...)
	return append(dst, at.Sort...)
}

// record is a row as stored: the replicated value, and this replica's own memory of its votes.
type record struct {
	Row   []byte     `cbor:"1,keyasint"`
	Votes []headVote `cbor:"2,keyasint,omitempty"`
	// Forgot is the newest stamp among the votes that were dropped from Votes: below it this replica cannot
	// tell how it voted.
	Forgot hlc.Stamp `cbor:"3,keyasint,omitempty"`
	// Lacks says that parts of the row were missing here when it was last merged.
	Lacks bool `cbor:"4,keyasint,omitempty"`
}

// headVote is a head that this replica once held clean and that something newer has replaced.
type headVote struct {
	Stamp hlc.Stamp `cbor:"1,keyasint"`
	ID    [16]byte  `cbor:"2,keyasint"`
}

const (
	// votesMax bounds the votes remembered per row.
	votesMax = 32
	// voteAge is how long a vote is remembered: several times the longest deadline of a write.
	voteAge = 2 * time.Minute
)

// ballot is what apply says of one row.
type ballot struct {
	vote quorum.Vote
	head hlc.Stamp
}

// Reader reads the local rows of one partition key.
type Reader struct {
	kv     kv.Reader
	pk     []byte
	prefix layout.Prefix
	key    []byte
}

func newReader(r kv.Reader, pk []byte) *Reader {
	return &Reader{kv: r, pk: pk, prefix: layout.PrefixOf(pk)}
}

// Of reads the local rows of another partition key in the same transaction.
func (r *Reader) Of(pk []byte) *Reader { return newReader(r.kv, pk) }

// PK is the partition key.
func (r *Reader) PK() []byte { return r.pk }

// Records reads the node's own records, which are no rows, in the same transaction.
func (r *Reader) Records() kv.Reader { return r.kv }

func (r *Reader) stored(id ID, sort []byte) []byte {
	r.key = appendLocal(r.key[:0], r.prefix, id, Address{r.pk, sort})
	return r.kv.Get(r.key)
}

// Tx changes the local rows of one partition key in a transaction.
type Tx struct {
	Reader
	w        kv.Writer
	registry *Registry
	// stampMax is the newest stamp that a coordinator may have made by now; zero means that the write is not
	// a coordinator's.
	stampMax hlc.Stamp
	room     func() error // as in Config
	// back says that a reader found the rows at replicas in sync.
	back bool
	// late bounds, at a replica that is not in sync, what a coordinator may bring; see lateUnsynced.
	late hlc.Stamp
	// trusted says that the rows are taken over from a replica in sync, which knows what is gone.
	trusted bool
	// floors are those of the node; nil: nothing is too old.
	floors *floors
	// after is what waits for the transaction to be durable; nil for a caller's own.
	after *[]func()
}

// Get returns the local row at sort. A row that fails its checksum is an error, never absent.
func (t *Table[T]) Get(r *Reader, sort []byte) (v T, ok bool, err error) {
	stored := r.stored(t.def.ID, sort)
	if stored == nil {
		return v, false, nil
	}
	row, err := t.unseal(stored)
	if err != nil {
		return v, false, atKey(r.key, err)
	}
	v, err = t.Decode(row)
	return v, err == nil, err
}

// GetRow is Get without decoding, for sending the row on; ok is false if there is none. Its value is a part
// of the store, valid until the transaction ends.
func (t *Table[T]) GetRow(r *Reader, sort []byte) (row Row, ok bool, err error) {
	stored := r.stored(t.def.ID, sort)
	if stored == nil {
		return row, false, nil
	}
	value, err := t.unseal(stored)
	return Row{Table: t.def.ID, Sort: sort, Value: value}, err == nil, atKey(r.key, err)
}

// Scan calls f for the local rows of the partition key with sort in [start, end), ascending, until f returns
// false. A nil end means no upper bound.
func (t *Table[T]) Scan(r *Reader, start, end []byte, f func(sort []byte, v T) bool) error {
	var failed error
	err := t.ScanRows(r, start, end, func(row Row) bool {
		v, err := t.Decode(row.Value)
		if err != nil {
			failed = err
			return false
		}
		return f(row.Sort, v)
	})
	return errors.Join(err, failed)
}

// ScanRows is Scan without decoding, for sending the rows on; they are valid until the transaction ends.
func (t *Table[T]) ScanRows(r *Reader, start, end []byte, f func(Row) bool) error {
	lo, hi := r.bounds(t.def.ID, start, end)
	var failed error
	r.kv.Ascend(lo, hi, func(k, stored []byte) bool {
		row, err := t.unseal(stored)
		if err != nil {
			failed = atKey(k, err)
			return false
		}
		return f(Row{Table: t.def.ID, Sort: k[localHeadLen+t.def.PKLen:], Value: row})
	})
	return failed
}

// ScanReadable is Scan over the rows that can be read.
func (t *Table[T]) ScanReadable(r *Reader, start, end []byte, f func(sort []byte, v T) bool) error {
	lo, hi := r.bounds(t.def.ID, start, end)
	var failed error
	r.kv.Ascend(lo, hi, func(k, stored []byte) bool {
		row, err := t.unseal(stored)
		if err != nil {
			return true
		}
		var v T
		if v, failed = t.Decode(row); failed != nil {
			return false
		}
		return f(k[localHeadLen+t.def.PKLen:], v)
	})
	return failed
}

// Sorts returns the sort keys in [start, end) of the local rows of the partition key, ascending, those of
// rows that cannot be read among them. A nil end means no upper bound.
func (t *Table[T]) Sorts(r *Reader, start, end []byte) (sorts [][]byte) {
	lo, hi := r.bounds(t.def.ID, start, end)
	r.kv.Ascend(lo, hi, func(k, _ []byte) bool {
		sorts = append(sorts, bytes.Clone(k[localHeadLen+t.def.PKLen:]))
		return true
	})
	return sorts
}

// bounds returns the local key range of the sort keys [start, end) of one table.
func (r *Reader) bounds(id ID, start, end []byte) (lo, hi []byte) {
	lo = appendLocal(nil, r.prefix, id, Address{r.pk, start})
	if end != nil {
		return lo, appendLocal(nil, r.prefix, id, Address{r.pk, end})
	}
	return lo, successor(appendLocal(nil, r.prefix, id, Address{PK: r.pk}))
}

// successor returns the first key after every key with prefix p, nil if there is none.
func successor(p []byte) []byte {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] < math.MaxUint8 {
			s := append([]byte(nil), p[:i+1]...)
			s[i]++
			return s
		}
	}
	return nil
}

// Merge joins v into the local row at sort, inside a transaction: how one table's rows follow another's.
func (t *Table[T]) Merge(tx *Tx, sort []byte, v T) error {
	value, err := codec.Marshal(v)
	if err != nil {
		return err
	}
	quiet := *tx
	quiet.stampMax = 0
	_, err = t.apply(&quiet, Address{tx.pk, sort}, value)
	return err
}

// Drop removes the local row at sort without a trace: only for rows of a Derived table, for a row that says
// why.
func (t *Table[T]) Drop(tx *Tx, sort []byte) {
	if !t.def.Derived {
		rt.Break("table %s: drop of a row that other replicas would bring back", t.def.Name)
	}
	tx.key = appendLocal(tx.key[:0], tx.prefix, t.def.ID, Address{tx.pk, sort})
	tx.w.Delete(tx.key)
}

// Remove removes the local row at sort, of a table that is compared with other replicas, and follows it in
// the digests: only for rows that Sift would not let in again.
func (t *Table[T]) Remove(tx *Tx, sort []byte) {
	if t.def.Sift == nil || t.def.Derived {
		rt.Break("table %s: removal of a row that other replicas would bring back", t.def.Name)
	}
	key := appendLocal(nil, tx.prefix, t.def.ID, Address{tx.pk, sort})
	stored := tx.w.Get(key)
	if stored == nil {
		return
	}
	was := t.digestOf(key, stored)
	if _, err := t.unseal(stored); err != nil {
		was = t.unreadableDigest(tx, key, stored)
	}
	tx.w.Delete(key)
	tracker{tx.w}.change(t, key, was, Digest{})
	if t.def.Newest != nil {
		putHole(tx.w, key)
	}
}

// unseal returns the row in a stored record, a part of it.
func (t *Table[T]) unseal(stored []byte) ([]byte, error) {
	_, payload, err := codec.Open(stored, t.def.Kind)
	if err == nil {
		if row, ok := rowOf(payload); ok {
			return row, nil
		}
	}
	rec, err := codec.Load[record](stored, t.def.Kind)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", t.def.Name, err)
	}
	return rec.Row, nil
}

// apply merges in into the local row and, for a coordinator's write, says how this replica votes on it.
func (t *Table[T]) apply(tx *Tx, at Address, in []byte) (ballot, error) {
	incoming, err := t.Decode(in)
	if err != nil {
		return ballot{}, err
	}
	if tx.room != nil && t.def.Data != nil && t.def.Data(incoming) {
		if err := tx.room(); err != nil {
			return ballot{}, err
		}
	}
	var rec record
	var old *T
	if stored := tx.stored(t.def.ID, at.Sort); stored != nil {
		if rec, err = codec.Load[record](stored, t.def.Kind); err != nil {
			return ballot{}, atKey(tx.key, fmt.Errorf("table %s: %w", t.def.Name, err))
		}
		v, err := t.Decode(rec.Row)
		if err != nil {
			return ballot{}, err
		}
		old = &v
	}
	if tx.stampMax != 0 {
		if err := t.admit(tx, at, old, incoming); err != nil {
			return ballot{}, err
		}
	}
	left := SiftedAll
	if t.def.Sift != nil {
		switch left, err = t.def.Sift(tx, at, &incoming); {
		case err != nil || left == SiftedNone:
			return ballot{vote: quorum.Stored}, err
		case left == SiftedSome:
			if in, err = codec.Marshal(incoming); err != nil {
				return ballot{}, err
			}
		}
	}
	if incoming, in, err = t.passOver(tx, at, rec.Row, incoming, in, left != SiftedAll); err != nil {
		return ballot{}, err
	}
	return t.merge(tx, at, rec, old, incoming, in)
}

// admit checks what only a coordinator's write must fulfil: a stamp that is not too far ahead, and the
// table's own rule.
func (t *Table[T]) admit(tx *Tx, at Address, old *T, incoming T) error {
	if t.def.Head != nil {
		if s := t.def.Head(incoming).Stamp; s > tx.stampMax {
			return fmt.Errorf("table %s: stamp %v, at most %v here: %w; check the clocks of both nodes",
				t.def.Name, s,
				tx.stampMax, hlc.ErrAhead)
		}
	}
	if t.def.Admit != nil {
		return t.def.Admit(tx, at, old, incoming)
	}
	return nil
}

func (t *Table[T]) merge(tx *Tx, at Address, rec record, old *T, incoming T, in []byte) (ballot, error) {
	key := appendLocal(nil, tx.prefix, t.def.ID, at)
	var was Digest
	if old != nil {
		was = rowDigest(key, rec.Row, rec.Lacks)
	}
	vote := t.vote(&rec, old, incoming)
	joined, row := incoming, in
	if old != nil {
		before := *old
		joined = t.def.Join(before, incoming)
		var err error
		if row, err = codec.Marshal(joined); err != nil {
			return ballot{}, err
		}
	}
	rec.Row = row
	if t.def.Parts != nil {
		whole, err := t.def.Parts(&tx.Reader, at, joined, func(Row) {})
		if err != nil {
			return ballot{}, err
		}
		rec.Lacks = !whole
	}
	stored, err := codec.Seal(t.def.Kind, t.def.Version, rec)
	if err != nil {
		return ballot{}, err
	}
	tx.w.Put(key, stored)
	if !t.def.Derived {
		tracker{tx.w}.change(t, key, was, rowDigest(key, row, rec.Lacks))
	}
	if t.def.Applied != nil {
		if err := t.def.Applied(tx, at, old, incoming, joined); err != nil {
			return ballot{}, err
		}
	}
	return vote, nil
}

// vote answers for a head once and for ever: clean if it was the newest when it was first merged here, by
// whatever path; else behind; and Stored if the memory of it is gone.
func (t *Table[T]) vote(rec *record, old *T, incoming T) ballot {
	if t.def.Head == nil {
		return ballot{vote: quorum.Stored}
	}
	in := t.def.Head(incoming)
	if in == (Head{}) {
		return ballot{vote: quorum.Stored}
	}
	if old == nil {
		return ballot{vote: quorum.Clean}
	}
	head := t.def.Head(*old)
	switch order := in.Compare(head); {
	case order == 0:
		return ballot{vote: quorum.Clean}
	case order > 0:
		if head != (Head{}) {
			rec.remember(head, in.Stamp)
		}
		return ballot{vote: quorum.Clean}
	}
	for _, v := range rec.Votes {
		if v.Stamp == in.Stamp && v.ID == in.ID {
			return ballot{vote: quorum.Clean}
		}
	}
	if in.Stamp <= rec.Forgot {
		return ballot{vote: quorum.Stored}
	}
	return ballot{vote: quorum.Behind, head: head.Stamp}
}

// remember keeps a clean head that in is about to replace, and forgets those that no write can ask about any
// more.
func (r *record) remember(head Head, in hlc.Stamp) {
	r.Votes = append(r.Votes, headVote(head))
	drop := 0
	for drop < len(r.Votes) && (len(r.Votes)-drop > votesMax || r.Votes[drop].Stamp.Add(voteAge) < in) {
		r.Forgot = max(r.Forgot, r.Votes[drop].Stamp)
		drop++
	}
	r.Votes = r.Votes[drop:]
}
