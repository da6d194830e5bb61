package k2v

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/zeebo/blake3"

	"granary/core/codec"
	"granary/core/crdt"
	"granary/core/kv"
	"granary/core/table"
)

// CheckRecord judges a record of this package in a store at rest. known is false if it is not one.
func CheckRecord(key, value []byte) (known bool, err error) {
	if bytes.Equal(key, keyClock) {
		return true, wantLen(value, 8)
	}
	if pk, ok := bytes.CutPrefix(key, prefixDirty); ok {
		return true, errors.Join(wantLen(pk, itemPKLen), wantLen(value, 8))
	}
	if pk, ok := bytes.CutPrefix(key, prefixCount); ok {
		_, err := codec.Load[localCount](value, kindCount)
		return true, errors.Join(wantLen(pk, itemPKLen), err)
	}
	return false, nil
}

func wantLen(b []byte, n int) error {
	if len(b) != n {
		return fmt.Errorf("%d bytes, want %d", len(b), n)
	}
	return nil
}

// Check counts the items of a store at rest anew, and calls fault where the node's own counts differ.
//
// Cost: a read of all items.
func (r *Rows) Check(kvr kv.Reader, fault func(format string, args ...any)) {
	var pk []byte
	var sum count
	counted := 0
	end := func() {
		if pk == nil {
			return
		}
		raw := kvr.Get(under(prefixCount, pk))
		local, err := codec.Load[localCount](raw, kindCount)
		switch {
		case raw == nil:
			fault("k2v partition key %x: its items were not counted", pk)
			return
		case err == nil && (local.Count.Known != sum.Known || local.Count.Counts != sum.Counts):
			fault("k2v partition key %x: counted %+v, there are %+v", pk, local.Count.Counts, sum.Counts)
		}
		counted++ // a record that cannot be read has been named
	}
	r.items.Each(kvr, func(at table.Address, v itemRow) bool {
		if !bytes.Equal(pk, at.PK) {
			end()
			pk, sum = bytes.Clone(at.PK), count{}
		}
		sum.Known = sum.Known.plus(v.State)
		sum.Counts = sum.Counts.plus(countsOf(v.State), 1)
		return true
	})
	end()
	records := 0
	counts := under(prefixCount[:len(prefixCount)-1], []byte{'/' + 1})
	kvr.Ascend(prefixCount, counts, func(_, raw []byte) bool {
		local, err := codec.Load[localCount](raw, kindCount)
		if err != nil || local.Count.Known != (knowledge{}) { // else its items rotted, and were nowhere else
			records++
		}
		return true
	})
	if records > counted {
		fault("k2v: %d counts of partition keys without items", records-counted)
	}
}

// verifyItem says what is wrong with an item at rest.
func verifyItem(_ *table.Reader, at table.Address, r itemRow) error {
	if sum := blake3.Sum256([]byte(r.PK)); !bytes.HasSuffix(at.PK, sum[:]) {
		return fmt.Errorf("its partition key %.80q is not the one it lies under", r.PK)
	}
	last := crdt.Dot{}
	for i, d := range r.State.Context() {
		if i > 0 && d.Node <= last.Node {
			return fmt.Errorf("node %x comes after node %x", d.Node, last.Node)
		}
		last = d
	}
	for node, v := range r.State.Dots {
		if v.Time > r.State.Context().At(node) {
			return fmt.Errorf("a value of node %x at %d, which wrote until %d", node, v.Time,
				r.State.Context().At(node))
		}
	}
	return nil
}
