package memkv

import (
	"bytes"
	"math"

	"granary/core/rt"
)

// reader implements kv.Reader on an unchanging tree.
type reader struct {
	tree     *tree
	ended    bool
	scribble bool
	lent     [][]byte // copies handed out, to be overwritten at the end
}

// Get implements kv.Reader.
func (r *reader) Get(key []byte) []byte {
	r.check()
	p, found := r.tree.Get(&pair{key: key})
	if !found {
		return nil
	}
	return r.lend(p.value)
}

// Ascend implements kv.Reader.
func (r *reader) Ascend(start, end []byte, f func(key, value []byte) bool) {
	r.check()
	r.tree.Ascend(&pair{key: start}, func(p *pair) bool {
		return (end == nil || bytes.Compare(p.key, end) < 0) && f(r.lend(p.key), r.lend(p.value))
	})
}

// Descend implements kv.Reader.
func (r *reader) Descend(start, end []byte, f func(key, value []byte) bool) {
	r.check()
	visit := func(p *pair) bool {
		return bytes.Compare(p.key, start) >= 0 && f(r.lend(p.key), r.lend(p.value))
	}
	if end == nil {
		r.tree.Reverse(visit)
		return
	}
	r.tree.Descend(&pair{key: end}, func(p *pair) bool {
		return bytes.Equal(p.key, end) || visit(p)
	})
}

func (r *reader) check() {
	if r.ended {
		rt.Break("kv reader used after its transaction")
	}
}

// lend returns what the caller may see of b until the transaction ends.
func (r *reader) lend(b []byte) []byte {
	if !r.scribble {
		return b
	}
	c := append(make([]byte, 0, len(b)), b...)
	r.lent = append(r.lent, c)
	return c
}

// end makes later use of the reader, and of what it lent, visible.
func (r *reader) end() {
	r.ended = true
	for _, b := range r.lent {
		for i := range b {
			b[i] = math.MaxUint8 - b[i]
		}
	}
}
