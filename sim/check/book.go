package check

import (
	"cmp"
	"slices"
	"strings"
)

// effect says which writes a read accepts.
type effect uint8

const (
	absence  effect = iota + 1 // nothing was there
	content                    // the value
	anything                   // some value was there
)

// write is one possible content of a key over time.
type write struct {
	op        int // index in the history, -1 for the deletion that every key begins with
	call, ret int64
	effect    effect // absence or content; anything for a copy of which nothing is known but its source
	value     ValueID
	etag      string
	from      string // of a copy
}

// sighting is what one read says about one key. Content is told by its value, or by its ETag if that is zero.
type sighting struct {
	op        int
	call, ret int64
	effect    effect
	value     ValueID
	etag      string
	list      bool
	level     Level
}

// register is the history of one key.
type register struct {
	key    string
	writes []write // ordered by call
	seen   []sighting
	failed map[ValueID]int // values of the puts that failed for certain, with their index
	index  *index
}

// book is a history sorted by keys.
type book struct {
	h      *History
	keys   []string // sorted; those that anybody wrote or saw
	of     map[string]*register
	byETag map[string][]ValueID // small values may share one
	origin map[ValueID]int      // the put that wrote the value first
}

// newBook sorts a history, but for its listings.
func newBook(h *History) *book {
	b := &book{h: h, of: map[string]*register{}, byETag: map[string][]ValueID{}, origin: map[ValueID]int{}}
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Kind != Put || op.Value == 0 {
			continue
		}
		if _, known := b.origin[op.Value]; !known {
			b.origin[op.Value] = i
			if op.ETag != "" {
				b.byETag[op.ETag] = append(b.byETag[op.ETag], op.Value)
			}
		}
	}
	for i := range h.Ops {
		op := &h.Ops[i]
		switch {
		case op.Kind.writes():
			b.addWrite(i, op)
		case op.Kind.reads() && op.Outcome == OK:
			b.addRead(i, op)
		}
	}
	for _, key := range b.keys {
		r := b.of[key]
		slices.SortFunc(r.writes, func(x, y write) int { return cmp.Compare(x.call, y.call) })
	}
	slices.Sort(b.keys)
	return b
}

// at returns the register of a key, a new one if need be.
func (b *book) at(key string) *register {
	r := b.of[key]
	if r == nil {
		r = &register{key: key, failed: map[ValueID]int{}}
		r.writes = []write{{op: -1, effect: absence}}
		b.of[key] = r
		b.keys = append(b.keys, key)
	}
	return r
}

func (b *book) addWrite(i int, op *Op) {
	r := b.at(op.Key)
	if op.Outcome == Failed {
		if op.Value != 0 {
			r.failed[op.Value] = i
		}
		return
	}
	w := write{op: i, call: op.Call, ret: op.Return, effect: content, value: op.Value, etag: op.ETag,
		from: op.From}
	if op.Outcome == Unknown {
		w.ret = Forever
	}
	switch {
	case op.Kind == Delete:
		w.effect = absence
	case op.Value == 0 && (op.Outcome != OK || len(b.byETag[op.ETag]) == 0):
		w.effect = anything
	}
	r.writes = append(r.writes, w)
}

func (b *book) addRead(i int, op *Op) {
	s := sighting{op: i, call: op.Call, ret: op.Return, effect: content, value: op.Value, etag: op.ETag,
		level: op.Level}
	if op.Absent {
		s.effect = absence
	} else if op.Value != 0 {
		s.etag = b.etagOf(op.Value)
	}
	r := b.at(op.Key)
	r.seen = append(r.seen, s)
}

// etagOf returns the ETag of a value, empty if it has none.
func (b *book) etagOf(v ValueID) string {
	if first, known := b.origin[v]; known {
		return b.h.Ops[first].ETag
	}
	return ""
}

// values returns what a sighting of content may have seen.
func (b *book) values(s *sighting) []ValueID {
	if s.value != 0 {
		return []ValueID{s.value}
	}
	return b.byETag[s.etag]
}

// wrote reports whether w can have the effect that s saw.
func (b *book) wrote(w *write, s *sighting) bool {
	switch {
	case s.effect == absence || w.effect == absence:
		return s.effect == w.effect
	case s.effect == anything:
		return true
	case w.effect == content && w.value != 0 && s.value != 0:
		return w.value == s.value
	case w.effect == content:
		return w.etag != "" && w.etag == s.etag
	}
	return slices.ContainsFunc(b.values(s), func(v ValueID) bool {
		first, known := b.origin[v]
		return known && (w.from == "" || b.h.Ops[first].Key == w.from)
	})
}

// asks reports whether a key lies in what the listing asks for.
func (l *Listing) asks(key string) bool { return strings.HasPrefix(key, l.Prefix) && key > l.After }

// group returns the common prefix that shows a key, or the key itself.
func (l *Listing) group(key string) (name string, common bool) {
	if l.Delimiter == "" {
		return key, false
	}
	rest := key[len(l.Prefix):]
	if i := strings.Index(rest, l.Delimiter); i >= 0 {
		return key[:len(l.Prefix)+i+len(l.Delimiter)], true
	}
	return key, false
}
