// Package crdttest checks the lattice laws of package crdt for any type. Every row type of the tree runs its
// generator through Laws.
package crdttest

import (
	"bytes"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"granary/core/codec"
	"granary/core/crdt"
)

// Laws checks that T is a lattice, on values drawn from gen: Join is commutative, associative, idempotent
// and monotone, the zero value is its bottom, operands stay as they are, and equal values have equal
// encodings that decode to equal values. Values are compared by their encoding, as replicas compare them.
// gen should often draw values that collide: equal keys, equal stamps; and nil for an empty slice, as
// decoding does.
func Laws[T crdt.Lattice[T]](t *testing.T, gen *rapid.Generator[T]) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		Check(t, gen.Draw(t, "a"), gen.Draw(t, "b"), gen.Draw(t, "c"))
	})
}

// Check checks the laws on three values. t is a testing.T or rapid.T, or a recorder of faults.
func Check[T crdt.Lattice[T]](t Reporter, a, b, c T) {
	t.Helper()
	l := law[T]{t}
	before := [][]byte{l.bytes(a), l.bytes(b), l.bytes(c)}
	ab := a.Join(b)
	l.equal("commutative: a⊔b, b⊔a", ab, b.Join(a))
	l.equal("associative: (a⊔b)⊔c, a⊔(b⊔c)", ab.Join(c), a.Join(b.Join(c)))
	l.equal("idempotent: a⊔a, a", a.Join(a), a)
	l.equal("upper bound: a⊔(a⊔b), a⊔b", a.Join(ab), ab)
	l.equal("upper bound: (a⊔b)⊔b, a⊔b", ab.Join(b), ab)
	l.equal("monotone: (a⊔c)⊔(a⊔b⊔c), a⊔b⊔c", a.Join(c).Join(ab.Join(c)), ab.Join(c))
	var zero T
	l.equal("bottom: 0⊔a, a", zero.Join(a), a)
	l.equal("bottom: a⊔0, a", a.Join(zero), a)
	for i, v := range []T{a, b, c} {
		if after := l.bytes(v); !bytes.Equal(before[i], after) {
			t.Errorf("Join changed operand %d: %x became %x", i, before[i], after)
		}
		l.decodes(v)
	}
	l.decodes(ab)
}

// Reporter is the part of testing.T that Check needs.
type Reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

type law[T any] struct{ t Reporter }

func (l law[T]) bytes(v T) []byte {
	l.t.Helper()
	b, err := codec.Marshal(v)
	if err != nil {
		l.t.Fatalf("encode %+v: %v", v, err)
	}
	return b
}

func (l law[T]) equal(what string, x, y T) {
	l.t.Helper()
	if bx, by := l.bytes(x), l.bytes(y); !bytes.Equal(bx, by) {
		l.t.Errorf("%s differ:\n%+v %x\n%+v %x", what, x, bx, y, by)
	}
}

func (l law[T]) decodes(v T) {
	l.t.Helper()
	var back T
	if err := codec.Unmarshal(l.bytes(v), &back); err != nil {
		l.t.Errorf("decode %+v: %v", v, err)
		return
	}
	if !reflect.DeepEqual(v, back) {
		l.t.Errorf("decoded %+v differs from %+v", back, v)
	}
}
