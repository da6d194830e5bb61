package table

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"granary/core/kv"
)

// keyDigested says, by digestVersion, that the digests of the store are those of its rows.
var keyDigested = []byte{digestPrefix, 0}

// recounter computes the digests of rows that it is given in order.
type recounter struct {
	registry *Registry
	emit     func(key []byte, d Digest)
	group    []byte
	open     [levelGroup + 1]node // by level; a nil key for none
}

type node struct {
	key []byte // of the digest
	d   Digest
}

// row takes the next row. It returns where to go on: nil behind it, else the next key that may matter.
func (c *recounter) row(key, stored []byte) (skipTo []byte) {
	s, err := c.registry.schema(ID(key[localHeadLen-1]))
	if err != nil || s.derived() {
		return successor(groupOf(key))
	}
	if !bytes.Equal(c.group, groupOf(key)) {
		c.close()
		c.group = bytes.Clone(groupOf(key))
		c.open[levelGroup].key = digestKey(levelGroup, c.group)
	}
	d, rank := s.digestOf(key, stored), rankOf(key)
	for level := range c.open {
		if level >= levelSpan && level <= rank {
			c.end(level)
			c.open[level].key = digestKey(level, key)
		}
		c.open[level].d = c.open[level].d.add(d)
	}
	return nil
}

func (c *recounter) end(level int) {
	if n := c.open[level]; n.key != nil {
		c.emit(n.key, n.d)
	}
	c.open[level] = node{}
}

// close ends the last group.
func (c *recounter) close() {
	for level := range c.open {
		c.end(level)
	}
}

// feed gives up to max rows from a local key on to a recounter, and returns where to go on, nil at the end.
func (c *recounter) feed(r kv.Reader, from []byte, max int) []byte {
	for n := 0; from != nil; {
		var next []byte
		r.Ascend(from, []byte{localPrefix + 1}, func(k, stored []byte) bool {
			if n == max {
				next = bytes.Clone(k)
				return false
			}
			n++
			next = c.row(k, stored)
			return next == nil
		})
		if from = next; n == max {
			return from
		}
	}
	return nil
}

// digestFaultsMax bounds the faults that CheckDigests names.
const digestFaultsMax = 10

// CheckDigests recounts all rows of this node and compares the sums with the digests that are kept. nil means
// that every digest is what it should be, and that there is no other.
//
// Cost: a read of all rows, in one transaction.
func (t *Tables) CheckDigests() error {
	return t.store.View(func(r kv.Reader) error { return checkDigests(r, t.registry) })
}

func checkDigests(r kv.Reader, registry *Registry) error {
	var faults []string
	n := 0
	fault := func(format string, args ...any) {
		if n++; n <= digestFaultsMax {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	right := 0
	c := &recounter{registry: registry, emit: func(key []byte, want Digest) {
		raw := r.Get(key)
		if raw != nil {
			right++
		}
		if got := decodeDigest(raw); raw == nil || got != want {
			fault("digest %x is of %v, should be of %v", key, got, want)
		}
	}}
	c.feed(r, []byte{localPrefix}, -1)
	c.close()
	kept := 0
	r.Ascend([]byte{digestPrefix, levelSpan}, []byte{digestPrefix + 1}, func(_, _ []byte) bool {
		kept++
		return true
	})
	if kept != right {
		fault("%d digests of nothing", kept-right)
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d digests are not those of the rows: %s", n, strings.Join(faults, "; "))
}

// rebuildRows is how many rows or digests one transaction of a rebuild covers.
const rebuildRows = 4096

// Prepare makes the digests of a store that was written before there were any. It must be called before
// anything is written; a store that has them is left alone.
//
// Cost: a read of all rows, once.
func (t *Tables) Prepare(ctx context.Context) error {
	if err := t.floors.load(t.store); err != nil {
		return err
	}
	done := false
	err := t.store.View(func(r kv.Reader) error {
		done = bytes.Equal(r.Get(keyDigested), []byte{digestVersion})
		return nil
	})
	if err != nil || done {
		return err
	}
	if err := t.RebuildDigests(ctx); err != nil {
		return fmt.Errorf("build the digests of the rows: %w", err)
	}
	return nil
}

// RebuildDigests computes all digests anew, while nothing else is written. If it is cut short, Prepare begins
// it again.
func (t *Tables) RebuildDigests(ctx context.Context) error {
	if err := t.dropDigests(ctx); err != nil {
		return err
	}
	var nodes []node
	c := &recounter{registry: t.registry, emit: func(key []byte, d Digest) {
		nodes = append(nodes, node{key, d})
	}}
	for from := []byte{localPrefix}; from != nil; {
		err := t.store.View(func(r kv.Reader) error {
			from = c.feed(r, from, rebuildRows)
			return nil
		})
		if err != nil {
			return err
		}
		if from == nil {
			c.close()
		}
		err = t.store.Update(ctx, func(w kv.Writer) error {
			for _, n := range nodes {
				w.Put(n.key, n.d.encode())
			}
			if from == nil {
				w.Put(keyDigested, []byte{digestVersion})
			}
			return nil
		})
		if err != nil {
			return err
		}
		nodes = nodes[:0]
	}
	return nil
}

func (t *Tables) dropDigests(ctx context.Context) error {
	for more := true; more; {
		err := t.store.Update(ctx, func(w kv.Writer) error {
			var keys [][]byte
			w.Ascend([]byte{digestPrefix}, []byte{digestPrefix + 1}, func(k, _ []byte) bool {
				keys = append(keys, bytes.Clone(k))
				return len(keys) < rebuildRows
			})
			for _, k := range keys {
				w.Delete(k)
			}
			more = len(keys) == rebuildRows
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
