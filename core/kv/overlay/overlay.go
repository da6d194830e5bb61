// Package overlay holds the writes of a commit that is being put together, on top of what is committed: a
// kv.Writer that reads its own writes and can take back those of one update.
package overlay

import (
	"bytes"
	"fmt"

	"github.com/tidwall/btree"

	"granary/core/kv"
)

// Write is one change. A nil Value deletes Key; an empty one is a present, empty value.
type Write struct{ Key, Value []byte }

// Overlay implements kv.Writer over a kv.Reader. Zero is not usable. Not safe for concurrent use.
type Overlay struct {
	base  kv.Reader
	tree  *btree.BTreeG[Write]
	undo  []undo
	bytes int64
	scans int // running Ascend and Descend calls, in which writing is forbidden
}

// undo restores one key of the tree to what it was.
type undo struct {
	key   []byte
	prev  Write
	found bool
}

// writeBytes is charged for each write beside its key and value.
const writeBytes = 32

func less(a, b Write) bool { return bytes.Compare(a.Key, b.Key) < 0 }

// New returns an overlay without writes. Reset gives it a base.
func New() *Overlay {
	return &Overlay{tree: btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})}
}

// Reset forgets all writes and goes on over base. Slices that Each gave out stay valid and unchanged.
func (o *Overlay) Reset(base kv.Reader) {
	o.base, o.bytes, o.scans = base, 0, 0
	o.tree.Clear()
	o.Begin()
}

// Begin starts an update: Rollback will take back what is written from here on.
func (o *Overlay) Begin() {
	clear(o.undo)
	o.undo, o.scans = o.undo[:0], 0
}

// Rollback takes back all writes since Begin.
func (o *Overlay) Rollback() {
	for i := len(o.undo) - 1; i >= 0; i-- {
		u := o.undo[i]
		if now, found := o.tree.Delete(Write{Key: u.key}); found {
			o.bytes -= size(now)
		}
		if u.found {
			o.tree.Set(u.prev)
			o.bytes += size(u.prev)
		}
	}
	o.Begin()
}

// Len is the number of keys written.
func (o *Overlay) Len() int { return o.tree.Len() }

// Bytes is the size of the writes, with a constant for each.
func (o *Overlay) Bytes() int64 { return o.bytes }

// Each calls f for every write in the order of the keys. f may keep the slices but not change them.
func (o *Overlay) Each(f func(Write)) {
	o.tree.Scan(func(w Write) bool {
		f(w)
		return true
	})
}

// Put implements kv.Writer.
func (o *Overlay) Put(key, value []byte) {
	if len(key) == 0 || len(key) > kv.KeyMax || len(value) > kv.ValueMax {
		panic(fmt.Sprintf("kv put: key of %d bytes (1 to %d), value of %d (0 to %d)",
			len(key), kv.KeyMax, len(value), kv.ValueMax))
	}
	buf := make([]byte, len(key)+len(value))
	n := copy(buf, key)
	copy(buf[n:], value)
	o.write(Write{Key: buf[:n:n], Value: buf[n:]})
}

// Delete implements kv.Writer.
func (o *Overlay) Delete(key []byte) {
	if len(key) == 0 || len(key) > kv.KeyMax {
		return // cannot be there
	}
	o.write(Write{Key: bytes.Clone(key)})
}

func (o *Overlay) write(w Write) {
	if o.scans > 0 {
		panic("kv write inside a scan of the same transaction")
	}
	prev, found := o.tree.Set(w)
	o.undo = append(o.undo, undo{key: w.Key, prev: prev, found: found})
	o.bytes += size(w)
	if found {
		o.bytes -= size(prev)
	}
}

func size(w Write) int64 { return int64(len(w.Key) + len(w.Value) + writeBytes) }

// Get implements kv.Reader.
func (o *Overlay) Get(key []byte) []byte {
	if w, found := o.tree.Get(Write{Key: key}); found {
		return w.Value
	}
	return o.base.Get(key)
}
