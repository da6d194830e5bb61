package overlay

import (
	"bytes"

	"github.com/tidwall/btree"
)

// Ascend implements kv.Reader: the keys of base and overlay merged, the overlay winning.
func (o *Overlay) Ascend(start, end []byte, f func(key, value []byte) bool) {
	o.scans++
	defer func() { o.scans-- }()
	if o.tree.Len() == 0 {
		o.base.Ascend(start, end, f)
		return
	}
	it := o.tree.Iter()
	m := merge{it: &it, step: it.Next, f: f}
	m.ok = it.Seek(Write{Key: start})
	m.inRange = func(key []byte) bool { return end == nil || bytes.Compare(key, end) < 0 }
	m.before = func(a, b []byte) int { return bytes.Compare(a, b) }
	m.run(func(visit func(key, value []byte) bool) { o.base.Ascend(start, end, visit) })
}

// Descend implements kv.Reader, as Ascend does.
func (o *Overlay) Descend(start, end []byte, f func(key, value []byte) bool) {
	o.scans++
	defer func() { o.scans-- }()
	if o.tree.Len() == 0 {
		o.base.Descend(start, end, f)
		return
	}
	it := o.tree.Iter()
	m := merge{it: &it, step: it.Prev, f: f}
	if end != nil && it.Seek(Write{Key: end}) {
		m.ok = it.Prev()
	} else {
		m.ok = it.Last()
	}
	m.inRange = func(key []byte) bool { return bytes.Compare(key, start) >= 0 }
	m.before = func(a, b []byte) int { return bytes.Compare(b, a) }
	m.run(func(visit func(key, value []byte) bool) { o.base.Descend(start, end, visit) })
}

// merge walks the overlay's iterator beside a scan of the base, both in the direction of the scan.
type merge struct {
	it      *btree.IterG[Write]
	ok      bool                   // it stands on a write
	step    func() bool            // moves it one write on
	inRange func(key []byte) bool  // key is not beyond the far bound
	before  func(a, b []byte) int  // negative if a comes before b in this direction
	f       func(k, v []byte) bool // the caller's
	stopped bool                   // f returned false
}

func (m *merge) run(scan func(visit func(key, value []byte) bool)) {
	scan(func(key, value []byte) bool {
		if m.emitBefore(key); m.stopped {
			return false
		}
		if m.ok && bytes.Equal(m.it.Item().Key, key) {
			return m.emitWrite()
		}
		m.stopped = !m.f(key, value)
		return !m.stopped
	})
	for !m.stopped && m.ok && m.inRange(m.it.Item().Key) {
		m.emitWrite()
	}
}

// emitBefore gives out the writes that come before key.
func (m *merge) emitBefore(key []byte) {
	for !m.stopped && m.ok && m.before(m.it.Item().Key, key) < 0 {
		m.emitWrite()
	}
}

// emitWrite gives out the write under the iterator, unless it is a deletion, and moves on. It reports whether
// the scan goes on.
func (m *merge) emitWrite() bool {
	w := m.it.Item()
	m.ok = m.step()
	if w.Value != nil {
		m.stopped = !m.f(w.Key, w.Value)
	}
	return !m.stopped
}
