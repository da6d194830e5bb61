package crdt

import (
	"bytes"
	"cmp"
	"slices"
)

// Dot names one write: the writer's Time'th moment. A writer's times increase strictly over all it writes.
type Dot struct {
	_    struct{} `cbor:",toarray"`
	Node uint64
	Time uint64
}

// Context is what somebody has seen: for each node, all its writes up to a time. Ordered by node, none twice;
// nil has seen nothing.
type Context []Dot

func (c Context) find(node uint64) (int, bool) {
	return slices.BinarySearchFunc(c, node, func(d Dot, n uint64) int { return cmp.Compare(d.Node, n) })
}

// At returns the time up to which c has seen node; 0 for never.
func (c Context) At(node uint64) uint64 {
	if i, ok := c.find(node); ok {
		return c[i].Time
	}
	return 0
}

// Newer reports whether c has seen something that o has not.
func (c Context) Newer(o Context) bool {
	return slices.ContainsFunc(c, func(d Dot) bool { return d.Time > o.At(d.Node) })
}

// With returns c that has also seen d.
func (c Context) With(d Dot) Context {
	i, ok := c.find(d.Node)
	switch {
	case d.Time == 0 || ok && c[i].Time >= d.Time:
		return c
	case ok:
		out := slices.Clone(c)
		out[i] = d
		return out
	}
	out := make(Context, 0, len(c)+1)
	return append(append(append(out, c[:i]...), d), c[i:]...)
}

// Join returns what c or o has seen.
func (c Context) Join(o Context) Context {
	for _, d := range o {
		c = c.With(d)
	}
	return c
}

// WriteID names an attempt to write across its retries. It is drawn at random.
type WriteID [16]byte

// DVVSValue is one value of a DVVS.
type DVVSValue struct {
	Time    uint64  `cbor:"1,keyasint"`
	ID      WriteID `cbor:"2,keyasint"`
	Deleted bool    `cbor:"3,keyasint,omitempty"`
	Bytes   []byte  `cbor:"4,keyasint,omitempty"` // nil if Deleted or empty
}

// dvvsEntry is what one node wrote: its values with Time above Discard that nobody superseded, by time.
type dvvsEntry struct {
	Node    uint64      `cbor:"1,keyasint"`
	Discard uint64      `cbor:"2,keyasint,omitempty"` // values up to it are superseded
	Last    uint64      `cbor:"3,keyasint"`           // newest time ever seen of the node, at least Discard
	Values  []DVVSValue `cbor:"4,keyasint,omitempty"`
}

// spentID is the id of a superseded value, and the newest time at which a value carried it.
type spentID struct {
	ID   WriteID `cbor:"1,keyasint"`
	Time uint64  `cbor:"2,keyasint"`
}

// SpentMax is how many ids of superseded values a DVVS remembers, the newest ones. While no more are spent,
// Join is a lattice. Beyond that a copy of a superseded value that was cut off for so many writes, and was
// written by a retry besides, comes back as one more concurrent value; nothing is lost by that.
const SpentMax = 256

// DVVS is a set of concurrent values: a dotted version vector set. Who writes with the context of what they
// read replaces just that; values of others stay beside the new one. Zero has no values.
//
// Values with equal ids are one value, written again by a retry: when one of them is superseded, all are.
// Source: core/k2v/DESIGN.md, "The item".
type DVVS struct {
	Entries []dvvsEntry `cbor:"1,keyasint,omitempty"` // ordered by Node
	Spent   []spentID   `cbor:"2,keyasint,omitempty"` // ordered by ID
}

// Context is what d has seen.
func (d DVVS) Context() Context {
	var c Context
	for _, e := range d.Entries {
		c = append(c, Dot{Node: e.Node, Time: e.Last})
	}
	return c
}

// Dots iterates over the values as they are stored, with the nodes that wrote them, in node and time order.
func (d DVVS) Dots(yield func(node uint64, v DVVSValue) bool) {
	for _, e := range d.Entries {
		for _, v := range e.Values {
			if !yield(e.Node, v) {
				return
			}
		}
	}
}

// Values returns the concurrent values: in node and time order, equal ids, equal bytes and deletions once.
func (d DVVS) Values() (values []DVVSValue) {
	ids, contents := map[WriteID]bool{}, map[string]bool{}
	for _, v := range d.Dots {
		content := string(v.Bytes)
		if content += "v"; v.Deleted {
			content = "d"
		}
		if !ids[v.ID] && !contents[content] {
			values = append(values, v)
		}
		ids[v.ID], contents[content] = true, true
	}
	return values
}

// Has reports whether the write of that id has arrived, be its value superseded or not.
func (d DVVS) Has(id WriteID) bool {
	if _, spent := findSpent(d.Spent, id); spent {
		return true
	}
	for _, v := range d.Dots {
		if v.ID == id {
			return true
		}
	}
	return false
}

// Join implements Lattice.
func (d DVVS) Join(o DVVS) DVVS {
	out := make([]dvvsEntry, 0, max(len(d.Entries), len(o.Entries)))
	a, b := d.Entries, o.Entries
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].Node < b[0].Node:
			out, a = append(out, a[0]), a[1:]
		case a[0].Node > b[0].Node:
			out, b = append(out, b[0]), b[1:]
		default:
			out = append(out, joinEntries(a[0], b[0]))
			a, b = a[1:], b[1:]
		}
	}
	out = append(append(out, a...), b...)
	return normal(out, joinSpent(d.Spent, o.Spent))
}

// joinEntries unites the values of two entries of one node. A value that one of them lacks, but has seen, was
// superseded there: by its Discard, or by a spent id, which normal applies.
func joinEntries(a, b dvvsEntry) dvvsEntry {
	e := dvvsEntry{Node: a.Node, Discard: max(a.Discard, b.Discard), Last: max(a.Last, b.Last)}
	x, y := a.Values, b.Values
	for len(x) > 0 || len(y) > 0 {
		switch {
		case len(y) == 0 || len(x) > 0 && x[0].Time < y[0].Time:
			e.Values, x = append(e.Values, x[0]), x[1:]
		case len(x) == 0 || y[0].Time < x[0].Time:
			e.Values, y = append(e.Values, y[0]), y[1:]
		default:
			e.Values, x, y = append(e.Values, x[0]), x[1:], y[1:]
		}
	}
	return e
}

// normal drops superseded values, keeping their ids, and makes equal states equal.
func normal(entries []dvvsEntry, spent []spentID) DVVS {
	for i := range entries {
		e := &entries[i]
		for _, v := range e.Values {
			if v.Time <= e.Discard {
				spent = joinSpent(spent, []spentID{{v.ID, v.Time}})
			}
		}
	}
	for i := range entries {
		e := &entries[i]
		var live []DVVSValue
		for _, v := range e.Values {
			_, again := findSpent(spent, v.ID)
			switch {
			case again:
				spent = joinSpent(spent, []spentID{{v.ID, v.Time}})
			case v.Time > e.Discard:
				live = append(live, v)
			}
		}
		e.Values = live
	}
	if len(entries) == 0 {
		entries = nil
	}
	return DVVS{Entries: entries, Spent: newestSpent(spent)}
}

func findSpent(spent []spentID, id WriteID) (int, bool) {
	return slices.BinarySearchFunc(spent, id, func(s spentID, id WriteID) int {
		return bytes.Compare(s.ID[:], id[:])
	})
}

// joinSpent changes neither operand.
func joinSpent(a, b []spentID) []spentID {
	switch {
	case len(b) == 0:
		return a
	case len(a) == 0:
		return b
	}
	out := make([]spentID, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch order := bytes.Compare(a[0].ID[:], b[0].ID[:]); {
		case order < 0:
			out, a = append(out, a[0]), a[1:]
		case order > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			out = append(out, spentID{a[0].ID, max(a[0].Time, b[0].Time)})
			a, b = a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// newestSpent keeps the SpentMax newest.
func newestSpent(spent []spentID) []spentID {
	if len(spent) <= SpentMax {
		return spent
	}
	byTime := slices.Clone(spent)
	slices.SortFunc(byTime, func(a, b spentID) int {
		return cmp.Or(cmp.Compare(b.Time, a.Time), bytes.Compare(a.ID[:], b.ID[:]))
	})
	byTime = byTime[:SpentMax]
	slices.SortFunc(byTime, func(a, b spentID) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return byTime
}

// Write returns d after a write of v at node: what seen covers is superseded, and v stands beside the rest.
// The time of v, which is returned, exceeds floor and all that d has seen of node.
func (d DVVS) Write(node, floor uint64, seen Context, v DVVSValue) (DVVS, uint64) {
	cover := DVVS{}
	for _, dot := range seen {
		cover.Entries = append(cover.Entries, dvvsEntry{Node: dot.Node, Discard: dot.Time, Last: dot.Time})
	}
	d = d.Join(cover)
	v.Time = max(d.Context().At(node), floor) + 1
	one := DVVS{Entries: []dvvsEntry{{Node: node, Last: v.Time, Values: []DVVSValue{v}}}}
	return d.Join(one), v.Time
}

// Own returns how many values of node d holds, and their length in bytes together.
func (d DVVS) Own(node uint64) (values, length int) {
	for n, v := range d.Dots {
		if n == node {
			values, length = values+1, length+len(v.Bytes)
		}
	}
	return values, length
}
