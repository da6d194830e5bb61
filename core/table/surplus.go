package table

import (
	"bytes"
	"context"
	"fmt"

	"granary/core/cluster"
	"granary/core/kv"
	"granary/core/layout"
)

// DropSurplus removes, without a trace, up to most rows with prefixes from first to last, which belong to
// other nodes since a version of the layout, and returns how many that were: fewer than most when none is
// left. Full-copy tables stay. It does nothing once a newer version is known here.
//
// Errors: those of the store and of Dropped hooks.
func (t *Tables) DropSurplus(ctx context.Context, first, last layout.Prefix, version uint64, most int) (n int,
	err error) {
	var after []func()
	err = t.store.Update(ctx, func(w kv.Writer) error {
		if g, ok := cluster.ReadGuard(w); !ok || g.Newest != version {
			return nil
		}
		forgetFloors(w, first, last) // what follows is no deletion
		var failed error
		n, failed = t.dropSome(w, SpanOf(first, last), most, &after)
		return failed
	})
	return n, finish(after, err)
}

func (t *Tables) dropSome(w kv.Writer, at Span, most int, after *[]func()) (n int, err error) {
	var keys [][]byte
	w.Ascend(at.Lo, at.Hi, func(k, _ []byte) bool {
		if s, err := t.registry.schema(ID(k[localHeadLen-1])); err == nil && !s.fullCopy() {
			keys = append(keys, bytes.Clone(k))
		}
		return len(keys) < most
	})
	for _, key := range keys {
		s, err := t.registry.schema(ID(key[localHeadLen-1]))
		if err != nil {
			return n, err
		}
		_, name, pkLen := s.describe()
		if len(key) < localHeadLen+pkLen {
			return n, fmt.Errorf("table %s: local key %x: %w", name, key, ErrMalformedRow)
		}
		tx := t.txOn(w, key[localHeadLen:localHeadLen+pkLen], after)
		if err := s.drop(tx, key, w.Get(key)); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// drop removes a row, and follows it in the digests.
func (t *Table[T]) drop(tx *Tx, key, stored []byte) error {
	row, err := t.unseal(stored)
	was := t.digestOf(key, stored)
	if err != nil {
		was = t.unreadableDigest(tx, key, stored)
	}
	tx.w.Delete(key)
	if !t.def.Derived {
		tracker{tx.w}.change(t, key, was, Digest{})
	}
	if t.def.Dropped == nil {
		return nil
	}
	var old T
	if err == nil {
		if v, err := t.Decode(row); err == nil {
			old = v
		}
	}
	return t.def.Dropped(tx, Address{tx.pk, key[localHeadLen+t.def.PKLen:]}, old)
}
