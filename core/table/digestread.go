package table

import (
	"bytes"

	"granary/core/kv"
	"granary/core/layout"
)

// Span is a range of local row keys, [Lo, Hi), in the order in which rows are stored: by hash prefix, table,
// partition key and sort key.
type Span struct {
	Lo []byte `cbor:"1,keyasint"`
	Hi []byte `cbor:"2,keyasint"`
}

// SpanOf is that of all rows with hash prefixes from first to last.
func SpanOf(first, last layout.Prefix) Span {
	lo := []byte{localPrefix, byte(first >> 8), byte(first)}
	return Span{lo, successor([]byte{localPrefix, byte(last >> 8), byte(last)})}
}

// spanOfTable is that of the rows of a partition key of one table.
func spanOfTable(s schema, pk []byte) Span {
	id, _, _ := s.describe()
	lo := appendLocal(nil, layout.PrefixOf(pk), id, Address{PK: pk})
	return Span{lo, successor(lo)}
}

// scope reads digests, and the rows under them.
type scope struct {
	kv.Reader
	registry *Registry
	listMax  int64 // how many rows a span may have to be listed row by row
}

// cutOut is the part of a group inside a span.
type cutOut struct {
	Span
	end []byte // of the group
}

// Digest is the digest of a span.
//
// Cost: one record for every group in it, and at each edge inside a group a few hundred records.
func (c scope) Digest(at Span) (all Digest) {
	var edges []cutOut
	c.groups(at, func(g cutOut, d Digest) bool {
		if len(g.Lo) == localHeadLen && bytes.Equal(g.Hi, g.end) {
			all = all.add(d)
		} else {
			edges = append(edges, g)
		}
		return true
	})
	for _, g := range edges {
		all = all.add(c.inside(levelBroad, g.Lo, g.Hi, g.end))
	}
	return all
}

// groups calls f for the groups in a span, in order, each with its part inside it and with the digest of the
// whole group.
func (c scope) groups(at Span, f func(cutOut, Digest) bool) {
	lo := at.Lo[:min(len(at.Lo), localHeadLen)]
	c.Ascend(digestKey(levelGroup, lo), digestEnd(levelGroup, at.Hi), func(k, v []byte) bool {
		start := rowKeyOf(k)
		g := cutOut{Span{start, successor(start)}, successor(start)}
		if bytes.Compare(g.Lo, at.Lo) < 0 {
			g.Lo = at.Lo
		}
		if bytes.Compare(at.Hi, g.Hi) < 0 {
			g.Hi = at.Hi
		}
		return f(g, decodeDigest(v))
	})
}

// inside adds up the rows in [lo, hi) of a group that ends at end, by digests of a level and those below it.
func (c scope) inside(level int, lo, hi, end []byte) (all Digest) {
	if level == 0 {
		s, err := c.registry.schema(ID(lo[localHeadLen-1]))
		if err != nil {
			return all
		}
		c.Ascend(lo, hi, func(k, stored []byte) bool {
			all = all.add(s.digestOf(k, stored))
			return true
		})
		return all
	}
	first := boundary(c, level, lo, hi)
	all = c.inside(level-1, lo, first, end)
	var last []byte
	var d Digest
	c.Ascend(digestKey(level, first), digestEnd(level, hi), func(k, v []byte) bool {
		all = all.add(d)
		last, d = rowKeyOf(k), decodeDigest(v)
		return true
	})
	switch {
	case last == nil:
		return all
	case bytes.Equal(boundary(c, level, hi, end), hi):
		return all.add(d)
	}
	return all.add(c.inside(level-1, last, hi, end))
}

const (
	// splitMax is into how many parts a span is split at once.
	splitMax = 256
	// listMax is how many rows a span may have to be listed row by row, listMin that in some simulations.
	listMax = 256
	listMin = 4
	// listPageMax is how many rows are listed at once.
	listPageMax = 512
)

// split returns where the parts of a span begin, but for the first, which begins where it does; nil if it is
// better listed.
func (c scope) split(at Span, rows int64) [][]byte {
	if rows <= c.listMax {
		return nil
	}
	var only cutOut
	n := 0
	c.groups(at, func(g cutOut, _ Digest) bool {
		only = g
		n++
		return true
	})
	switch {
	case n == 0:
		return nil
	case n > 1:
		return c.starts(levelGroup, at.Lo, at.Hi, n)
	}
	level, n := levelSpan, c.count(levelSpan, only.Lo, only.Hi, splitMax+1)
	if n > splitMax {
		if broad := c.count(levelBroad, only.Lo, only.Hi, splitMax+1); broad > splitMax/32 {
			level = levelBroad
		}
		n = c.count(level, only.Lo, only.Hi, 0)
	}
	return c.starts(level, only.Lo, only.Hi, n)
}

// count counts the digests of a level that begin in [lo, hi), up to max unless that is 0.
func (c scope) count(level int, lo, hi []byte, max int) (n int) {
	c.Ascend(digestKey(level, lo), digestEnd(level, hi), func(_, _ []byte) bool {
		n++
		return n != max
	})
	return n
}

// starts returns where digests of a level begin in (lo, hi), at most splitMax of n, evenly.
func (c scope) starts(level int, lo, hi []byte, n int) (starts [][]byte) {
	stride, i := (n+splitMax-1)/splitMax, 0
	c.Ascend(digestKey(level, lo), digestEnd(level, hi), func(k, _ []byte) bool {
		if start := rowKeyOf(k); i%stride == 0 && bytes.Compare(start, lo) > 0 {
			starts = append(starts, start)
		}
		i++
		return true
	})
	return starts
}

// keySum is a row by its local key and the beginning of its digest.
type keySum struct {
	key []byte
	sum uint64
}

// list returns the rows of a span, in order, up to max; next is the key of the first one left out, nil if
// there is none.
func (c scope) list(at Span, max int) (rows []keySum, next []byte) {
	var groups []cutOut
	c.groups(at, func(g cutOut, _ Digest) bool {
		groups = append(groups, g)
		return len(groups) <= max
	})
	for _, g := range groups {
		s, err := c.registry.schema(ID(g.Lo[localHeadLen-1]))
		if err != nil {
			continue
		}
		c.Ascend(g.Lo, g.Hi, func(k, stored []byte) bool {
			if len(rows) == max {
				next = bytes.Clone(k)
				return false
			}
			rows = append(rows, keySum{bytes.Clone(k), s.digestOf(k, stored).Sum[0]})
			return true
		})
		if next != nil {
			break
		}
	}
	return rows, next
}

// sumOf is the beginning of the digest of a row, 0 if it is not here.
func (c scope) sumOf(key []byte) uint64 {
	if len(key) <= localHeadLen {
		return 0
	}
	s, err := c.registry.schema(ID(key[localHeadLen-1]))
	if err != nil {
		return 0
	}
	if stored := c.Get(key); stored != nil {
		return s.digestOf(key, stored).Sum[0]
	}
	return 0
}
