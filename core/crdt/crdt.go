package crdt

import (
	"bytes"

	"granary/core/codec"
	"granary/core/hlc"
	"granary/core/rt"
)

// Lattice is a type that replicas can join; the package documentation has its laws.
type Lattice[T any] interface {
	// Join returns the least value that is at least the receiver and o.
	Join(o T) T
}

// Ordered are the types that Max takes: those whose zero value is the least.
type Ordered interface {
	~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~string
}

// Max is the greatest value seen.
type Max[T Ordered] struct {
	Value T `cbor:"1,keyasint,omitempty"`
}

// Join returns the greater of m and o.
func (m Max[T]) Join(o Max[T]) Max[T] { return Max[T]{max(m.Value, o.Value)} }

// LWW is a register whose last writer wins: the greater stamp; at equal stamps the greater encoding of the
// value, so that replicas agree even then. Zero is a register never written.
// Cost: Join encodes both values only when the stamps are equal and not zero.
type LWW[T any] struct {
	Stamp hlc.Stamp `cbor:"1,keyasint,omitempty"`
	Value T         `cbor:"2,keyasint,omitzero"`
}

// Join returns the later of r and o. A value without an encoding panics with rt.Broken.
func (r LWW[T]) Join(o LWW[T]) LWW[T] {
	switch {
	case r.Stamp > o.Stamp:
		return r
	case r.Stamp < o.Stamp:
		return o
	}
	if bytes.Compare(encoded(r), encoded(o)) < 0 {
		return o
	}
	return r
}

// Set returns r written at stamp, which should exceed r.Stamp: otherwise the write loses.
func (r LWW[T]) Set(stamp hlc.Stamp, value T) LWW[T] {
	return r.Join(LWW[T]{Stamp: stamp, Value: value})
}

func encoded(v any) []byte {
	b, err := codec.Marshal(v)
	if err != nil {
		rt.Break("crdt: a register's value cannot be encoded: %v", err)
	}
	return b
}

// Deletable is a value that can be deleted, for good: no later join brings it back. Zero is present, with a
// zero value.
type Deletable[T Lattice[T]] struct {
	Deleted bool `cbor:"1,keyasint,omitempty"`
	// Value is zero once Deleted.
	Value T `cbor:"2,keyasint,omitzero"`
}

// Deleted returns the deleted value.
func Deleted[T Lattice[T]]() Deletable[T] { return Deletable[T]{Deleted: true} }

// Join returns the deleted value if either operand is deleted, else the join of the values.
func (d Deletable[T]) Join(o Deletable[T]) Deletable[T] {
	if d.Deleted || o.Deleted {
		return Deleted[T]()
	}
	return Deletable[T]{Value: d.Value.Join(o.Value)}
}
