package table

import (
	"bytes"
	"errors"
	"fmt"

	"granary/core/codec"
	"granary/core/hlc"
	"granary/core/kv"
	"granary/core/rpc"
)

// ID names a table in local keys and on the wire. Codes are given out in one place, below.
type ID uint8

// The tables of a node. A released code keeps its meaning.
const (
	Object   ID = 1
	Garbage  ID = 2
	Payload  ID = 3
	Version  ID = 4
	BlockRef ID = 5
	Upload   ID = 6
	Gate     ID = 7
	Counter  ID = 8
	K2VItem  ID = 9
	K2VIndex ID = 10
	Bucket   ID = 11
	Key      ID = 12
	Seal     ID = 13
	Grave    ID = 14
)

// Head orders the states of a voted row: by stamp, then by id. The zero Head is older than every other.
type Head struct {
	Stamp hlc.Stamp
	ID    [16]byte
}

// Compare returns -1, 0 or 1 as h is older than, the same as, or newer than o.
func (h Head) Compare(o Head) int {
	switch {
	case h.Stamp < o.Stamp:
		return -1
	case h.Stamp > o.Stamp:
		return 1
	}
	return bytes.Compare(h.ID[:], o.ID[:])
}

// Address names a row inside its table.
type Address struct {
	PK   []byte // partition key, of the table's fixed length
	Sort []byte
}

// Def describes a table whose rows are values of type T. Functions must be pure.
type Def[T any] struct {
	ID      ID
	Name    string
	Kind    codec.Kind
	Version uint8
	// PKLen is the length of the partition key in bytes.
	PKLen int
	// FullCopy says that every node holds every row; the partition key is then FullPK.
	FullCopy bool
	// Join is the least upper bound of two rows; it may reuse what it is given.
	Join func(a, b T) T
	// Head returns what a replica votes on; nil for a table without votes.
	Head func(T) Head
	// Live reports whether a listing shows the row; nil means always.
	Live func(T) bool
	// Project leaves out of a row what a listing does not show; nil keeps all. Replicas project before the
	// coordinator joins, so it must commute with Join as far as a listing can see: Live, and whatever the
	// listing shows, is the same of Join(Project(a), Project(b)) as of Join(a, b). So it keeps what Join and
	// Live decide by, stamps and ids above all.
	Project func(T) T
	// Glance does what Live and Project do, from the encoding of a row, and appends the encoding of the
	// projection to dst: for tables whose listings must be cheap; see Pick and PickUint. Its bytes are those
	// that Project would give. nil: decode, Live, Project, encode.
	Glance func(dst, row []byte) (projected []byte, live bool, err error)
	// Foldable is the length of the leading part of a sort key in which a listing looks for delimiters; nil:
	// all of it. If a prefix lies in the foldable part of one sort key, it does so in every one that begins
	// with it.
	Foldable func(sort []byte) int
	// Skip returns nil for a sort key whose row a listing may show, else a greater one, up to which listings
	// pass over all rows: how rows that are parts of another are kept out. It does not depend on values, so
	// all replicas skip the same. nil skips none.
	Skip func(sort []byte) []byte
	// Parts calls f for the rows that travel with a row, in one batch and before it, and says whether they
	// are all here: rows of Derived tables, of the same partition key. The digest of the row covers them.
	// nil: it has none.
	Parts func(r *Reader, at Address, v T, f func(Row)) (whole bool, err error)
	// Derived says that rows follow from others: parts of theirs, or what this replica noted when it merged
	// them. Replicas do not compare them by themselves.
	Derived bool
	// Newest is the newest stamp anywhere in a row, and Spent whether the row says nothing but that
	// something is gone, so that it may go itself once it is old enough. A join is never older than what it
	// joins. Oldest is the oldest of what a row says, and Above what it says that is newer than a stamp:
	// what is left of it, or of its projection, where a row that was spent, and no newer than the stamp, is
	// gone. nil, all: rows stay.
	Newest, Oldest func(T) hlc.Stamp
	Spent          func(T) bool
	Above          func(T, hlc.Stamp) (above T, left bool)
	// Yielded follows the removal of a row that other replicas know to be gone, inside the same transaction.
	// nil does nothing.
	Yielded func(tx *Tx, at Address, old T) error
	// Admit may refuse a coordinator's write inside the transaction, before it is merged; old is nil if there
	// is no row. Merges from other replicas are never refused. nil admits all.
	Admit func(tx *Tx, at Address, old *T, in T) error
	// Sift takes out of a row that is about to be merged, whatever the path, what another row here says is
	// dead, and says what is left. That row must outlive everything that could bring the dead back. The row's
	// parts, which came before it, are Sift's to drop. nil keeps all.
	Sift func(tx *Tx, at Address, in *T) (Sifted, error)
	// Applied follows every merge of in into old (nil if there was none) whose result is joined, inside the
	// same transaction and whatever the path. nil does nothing.
	Applied func(tx *Tx, at Address, old *T, in, joined T) error
	// Mended follows the repair of a row that could not be read, inside the same transaction: is has been put
	// in its place, nil if it went. What it had said, and what has followed from that here, is known to
	// nobody. An ErrUnreadable of another row is left to the repair of that. nil does nothing.
	Mended func(tx *Tx, at Address, is *T) error
	// PartOf names the row, of the same partition key, that needs the row at an address here as a part of its
	// own; needed is false if none does. nil: none ever does.
	PartOf func(r *Reader, at Address) (table ID, sort []byte, needed bool, err error)
	// Data reports whether a row brings content that takes space for good. Such rows are merged, whatever the
	// path, only while Config.Room says that there is room for them. nil: none do.
	Data func(T) bool
	// Dropped follows the removal of a row that belongs to other nodes now, inside the same transaction; was
	// is zero if the row could not be read. nil does nothing.
	Dropped func(tx *Tx, at Address, was T) error
	// Verify says what is wrong with a row at rest, for Check: what must hold of it that its encoding does
	// not say. nil demands nothing.
	Verify func(r *Reader, at Address, v T) error
}

// Sifted is what Def.Sift left of a row.
type Sifted uint8

// What is left.
const (
	SiftedAll  Sifted = iota // the row as it was
	SiftedSome               // less than it was
	SiftedNone               // nothing: it is not merged
)

// Table is a registered Def.
type Table[T any] struct{ def Def[T] }

// schema is a Table of any row type.
type schema interface {
	describe() (id ID, name string, pkLen int)
	apply(tx *Tx, at Address, in []byte) (ballot, error)
	drop(tx *Tx, key, stored []byte) error
	ages() bool
	age(row []byte) (newest hlc.Stamp, spent bool, err error)
	yield(tx *Tx, key []byte) error
	below(r kv.Reader, at Span, floor hlc.Stamp) (keys [][]byte, next []byte, err error)
	listSchema
	page(dst, stored []byte) (row []byte, live bool, err error)
	skip(sort []byte) []byte
	unseal(stored []byte) ([]byte, error)
	replace(tx *Tx, key, stored, value []byte) error
	partOf(r *Reader, at Address) (table ID, sort []byte, needed bool, err error)
	digestOf(key, stored []byte) Digest
	verify(r *Reader, at Address, stored []byte) error
	parts(r *Reader, at Address, row []byte, f func(Row)) (whole bool, err error)
	voted() bool
	head(row []byte) (Head, error)
	fullCopy() bool
	derived() bool
}

// Registry holds the tables of a node by ID. It is filled before the node starts and only read afterwards.
type Registry struct{ tables [256]schema }

// Register adds a table and returns it. A code used twice panics with rt.Broken.
func Register[T any](r *Registry, def Def[T]) *Table[T] {
	t := &Table[T]{def: def}
	if r.tables[def.ID] != nil {
		panic(fmt.Sprintf("table %d registered twice", def.ID))
	}
	r.tables[def.ID] = t
	return t
}

func (r *Registry) schema(id ID) (schema, error) {
	if s := r.tables[id]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("table %d: %w", id, ErrUnknownTable)
}

// Kinds of errors, for errors.Is.
var (
	ErrUnknownTable = errors.New("unknown table")
	ErrMalformedRow = errors.New("malformed row")
	// ErrFull means that a node has no room for more data; nothing was changed there.
	ErrFull = rpc.RegisterError("table.full", errors.New("disk full"))
)

// Row is a row on its way between nodes: Value is the codec encoding of the table's row type.
type Row struct {
	Table ID     `cbor:"1,keyasint"`
	Sort  []byte `cbor:"2,keyasint"`
	Value []byte `cbor:"3,keyasint"`
}

// Row makes a row to be written.
func (t *Table[T]) Row(sort []byte, v T) (Row, error) {
	value, err := codec.Marshal(v)
	if err != nil {
		return Row{}, fmt.Errorf("table %s: row %x: %w", t.def.Name, sort, err)
	}
	return Row{Table: t.def.ID, Sort: sort, Value: value}, nil
}

// Decode reads a row's value.
func (t *Table[T]) Decode(value []byte) (T, error) {
	var v T
	if err := codec.Unmarshal(value, &v); err != nil {
		return v, fmt.Errorf("table %s: %w: %w", t.def.Name, ErrMalformedRow, err)
	}
	return v, nil
}

// ID returns the table's code.
func (t *Table[T]) ID() ID { return t.def.ID }

func (t *Table[T]) describe() (ID, string, int) { return t.def.ID, t.def.Name, t.def.PKLen }

func (t *Table[T]) fullCopy() bool { return t.def.FullCopy }

func (t *Table[T]) voted() bool { return t.def.Head != nil }

func (t *Table[T]) ages() bool { return t.def.Newest != nil }

func (t *Table[T]) derived() bool { return t.def.Derived }

// head is what replicas vote on of an encoded row of a voted table.
func (t *Table[T]) head(row []byte) (Head, error) {
	v, err := t.Decode(row)
	if err != nil {
		return Head{}, err
	}
	return t.def.Head(v), nil
}

// parts calls f for the parts of an encoded row that are here.
func (t *Table[T]) parts(r *Reader, at Address, row []byte, f func(Row)) (whole bool, err error) {
	if t.def.Parts == nil {
		return true, nil
	}
	v, err := t.Decode(row)
	if err != nil {
		return false, err
	}
	return t.def.Parts(r, at, v, f)
}

func (t *Table[T]) join(a, b []byte) ([]byte, error) {
	if bytes.Equal(a, b) {
		return a, nil
	}
	x, err := t.Decode(a)
	if err != nil {
		return nil, err
	}
	y, err := t.Decode(b)
	if err != nil {
		return nil, err
	}
	return codec.Marshal(t.def.Join(x, y))
}
