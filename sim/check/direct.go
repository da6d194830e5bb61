package check

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
)

// Direct judges a history by the rule of the package and returns every violation, ordered by operation.
// It judges reads, their bytes, and listings, but not whether reads succeed: that is [Durable]'s.
//
// Cost: O(n log n) for reads and writes, O(k log n) for each listing over k keys. About 1 µs an operation.
func Direct(h *History) []Violation {
	b := newBook(h)
	all := b.listings()
	for _, key := range b.keys {
		all = append(all, b.judge(b.of[key])...)
	}
	for i := range h.Ops {
		if op := &h.Ops[i]; op.Outcome == OK && !op.Absent {
			all = append(all, b.bytes(i, op)...)
		}
	}
	sortViolations(all)
	return all
}

// index answers in O(log n) which writes of a key a read may see.
type index struct {
	acked   []int // acknowledged writes, ordered by return
	latest  []int // of acked[:i+1], the one called last
	byValue map[ValueID][]int
	byETag  map[string][]int
	absent  prefixMax
	present prefixMax
	copies  []int // writes that do not tell their value
}

// prefixMax holds writes ordered by call and, for each prefix, the latest return among them.
type prefixMax struct{ calls, rets []int64 }

func (p *prefixMax) add(w *write) {
	ret := w.ret
	if n := len(p.rets); n > 0 {
		ret = max(ret, p.rets[n-1])
	}
	p.calls, p.rets = append(p.calls, w.call), append(p.rets, ret)
}

// before returns the latest return among the writes called before t, -1 if there is none.
func (p *prefixMax) before(t int64) int64 {
	n := sort.Search(len(p.calls), func(i int) bool { return p.calls[i] >= t })
	if n == 0 {
		return -1
	}
	return p.rets[n-1]
}

// lookup returns the index of a key, which is made once: all its writes are known.
func (r *register) lookup() *index {
	if r.index == nil {
		r.index = newIndex(r)
	}
	return r.index
}

func newIndex(r *register) *index {
	x := &index{byValue: map[ValueID][]int{}, byETag: map[string][]int{}}
	for i := range r.writes {
		w := &r.writes[i]
		if w.ret != Forever {
			x.acked = append(x.acked, i)
		}
		if w.effect == absence {
			x.absent.add(w)
			continue
		}
		x.present.add(w)
		if w.value == 0 {
			x.copies = append(x.copies, i)
			continue
		}
		x.byValue[w.value] = append(x.byValue[w.value], i)
		x.byETag[w.etag] = append(x.byETag[w.etag], i)
	}
	slices.SortFunc(x.acked, func(a, b int) int { return cmp.Compare(r.writes[a].ret, r.writes[b].ret) })
	for n, i := range x.acked {
		if n > 0 && r.writes[x.latest[n-1]].call > r.writes[i].call {
			i = x.latest[n-1]
		}
		x.latest = append(x.latest, i)
	}
	return x
}

// bar returns the write that was called last among those acknowledged before t. A write acknowledged before
// its call is superseded for reads called at t; none is for eventual reads. The deletion that every key
// begins with is always acknowledged.
func (x *index) bar(r *register, t int64, level Level) *write {
	if level == Eventual {
		return &r.writes[0]
	}
	n := sort.Search(len(x.acked), func(i int) bool { return r.writes[x.acked[i]].ret >= t })
	return &r.writes[x.latest[max(n, 1)-1]]
}

// best returns the latest return among the writes that s accepts and that were called in time, -1 if there is
// none.
func (x *index) best(b *book, r *register, s *sighting) int64 {
	switch s.effect {
	case absence:
		return x.absent.before(s.ret)
	case anything:
		return x.present.before(s.ret)
	}
	best, named := int64(-1), x.byValue[s.value]
	if s.value == 0 {
		named = x.byETag[s.etag]
	}
	for _, list := range [][]int{named, x.copies} {
		for _, i := range list {
			if w := &r.writes[i]; w.call < s.ret && b.wrote(w, s) {
				best = max(best, w.ret)
			}
		}
	}
	return best
}

// judge returns the sightings of a key that break the promise.
func (b *book) judge(r *register) []Violation {
	x := r.lookup()
	met := map[ValueID]bool{}
	for i := range r.seen {
		for _, v := range b.values(&r.seen[i]) {
			met[v] = true
		}
	}
	var all []Violation
	for i := range r.seen {
		s := &r.seen[i]
		bar := x.bar(r, s.call, s.level)
		best := x.best(b, r, s)
		if best >= bar.call {
			continue
		}
		v := Violation{Key: r.key, Op: s.op, By: -1}
		if best >= 0 {
			b.nameSuperseded(&v, s, bar, met)
		} else {
			b.nameUnfounded(&v, r, s)
		}
		if s.list {
			v.Fault = listFault(v.Fault, s)
		}
		all = append(all, v)
	}
	return all
}

// nameSuperseded describes a sighting of something that bar had superseded.
func (b *book) nameSuperseded(v *Violation, s *sighting, bar *write, met map[ValueID]bool) {
	v.By = bar.op
	switch {
	case bar.effect == absence:
		v.Fault = Resurrected
	case bar.value != 0 && !met[bar.value]:
		v.Fault = Lost
	default:
		v.Fault = Stale
	}
	v.Text = fmt.Sprintf("saw %s, which was superseded before #%d was called: %s", b.sawText(s), bar.op,
		b.h.Ops[bar.op])
}

// nameUnfounded describes a sighting that no write accounts for. Absence always has one: the key's beginning.
func (b *book) nameUnfounded(v *Violation, r *register, s *sighting) {
	v.Fault, v.Text = ThinAir, "saw "+b.sawText(s)+", which nobody had written"
	for _, value := range b.values(s) {
		first, known := b.origin[value]
		failed, isFailed := r.failed[value]
		switch {
		case isFailed:
			v.Fault, v.By = TakenBack, failed
			v.Text = fmt.Sprintf("saw %s of #%d, which failed: %s", value, failed, b.h.Ops[failed])
			return
		case known && b.h.Ops[first].Key == r.key:
			v.Fault, v.By = Future, first
			v.Text = fmt.Sprintf("saw %s of #%d before it was called", value, first)
			return
		case known:
			v.By = first
			v.Text = fmt.Sprintf("saw %s, which #%d wrote under %q", value, first, b.h.Ops[first].Key)
		}
	}
}

func (b *book) sawText(s *sighting) string {
	switch {
	case s.effect == absence:
		return "absence"
	case s.effect == anything:
		return "something"
	case s.value != 0:
		return s.value.String()
	}
	return fmt.Sprintf("etag %q", s.etag)
}

// listFault names a fault as it shows in a listing.
func listFault(f Fault, s *sighting) Fault {
	switch {
	case s.effect == absence:
		return ListMissing
	case f == Resurrected, f == ThinAir, f == Future, f == TakenBack:
		return ListGhost
	}
	return ListStale
}

// bytes compares what a read got with what the write wrote.
func (b *book) bytes(i int, op *Op) []Violation {
	wrong := func(format string, args ...any) []Violation {
		return []Violation{{Fault: WrongBytes, Key: op.Key, Op: i, By: -1, Text: fmt.Sprintf(format,
			args...)}}
	}
	first, known := b.origin[op.Value]
	if op.Fault != "" {
		return wrong("%s", op.Fault)
	} else if !known || !op.Kind.reads() {
		return nil
	}
	w := &b.h.Ops[first]
	switch {
	case op.Size >= 0 && w.Size >= 0 && op.Size != w.Size:
		return wrong("%s has %d bytes, %d were written", op.Value, op.Size, w.Size)
	case op.ETag != "" && w.ETag != "" && op.ETag != w.ETag:
		return wrong("%s has etag %q, it was written with %q", op.Value, op.ETag, w.ETag)
	}
	return nil
}
