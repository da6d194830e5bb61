package check

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// item is one line of a listing: an entry or a common prefix.
type item struct {
	name   string
	common bool
	page   int
	entry  Entry
}

// listings turns every listing into sightings of the keys it covers, and returns what is wrong with its shape
// or with its common prefixes. The sightings are judged with the others.
func (b *book) listings() []Violation {
	var all []Violation
	universe := slices.Clone(b.keys)
	for i := range b.h.Ops {
		op := &b.h.Ops[i]
		if op.Kind != List || op.Listing == nil || len(op.Listing.Pages) == 0 {
			continue
		}
		items, bad := op.Listing.items()
		if bad != "" {
			all = append(all, Violation{Fault: ListShape, Op: i, By: -1, Text: bad})
			continue
		}
		all = append(all, b.entries(i, op.Listing, items)...)
		all = append(all, b.uncovered(i, op.Listing, items, universe)...)
	}
	slices.Sort(b.keys)
	return all
}

// items merges the lines of all pages and checks their shape.
func (l *Listing) items() (all []item, bad string) {
	for p := range l.Pages {
		page := &l.Pages[p]
		var lines []item
		for _, e := range page.Entries {
			lines = append(lines, item{name: e.Key, page: p, entry: e})
		}
		for _, c := range page.Prefixes {
			lines = append(lines, item{name: c, common: true, page: p})
		}
		if !sorted(len(page.Entries), func(i int) string { return page.Entries[i].Key }) ||
			!sorted(len(page.Prefixes), func(i int) string { return page.Prefixes[i] }) {
			return nil, fmt.Sprintf("page %d is not in ascending order", p+1)
		}
		if l.Max > 0 && len(lines) > l.Max || page.Truncated && len(lines) == 0 {
			return nil, fmt.Sprintf("page %d has %d lines, truncated %v, at most %d were asked for",
				p+1, len(lines), page.Truncated, l.Max)
		}
		if !page.Truncated && p < len(l.Pages)-1 {
			return nil, fmt.Sprintf("page %d follows the last one", p+2)
		}
		slices.SortFunc(lines, func(x, y item) int { return strings.Compare(x.name, y.name) })
		all = append(all, lines...)
	}
	for i := range all {
		if bad := l.misplaced(&all[i]); bad != "" {
			return nil, bad
		}
		if i > 0 && all[i-1].name >= all[i].name {
			return nil, fmt.Sprintf("%q of page %d follows %q of page %d",
				all[i].name, all[i].page+1, all[i-1].name, all[i-1].page+1)
		}
	}
	return all, ""
}

// sorted reports whether names ascend strictly.
func sorted(n int, name func(int) string) bool {
	for i := 1; i < n; i++ {
		if name(i-1) >= name(i) {
			return false
		}
	}
	return true
}

// misplaced says why a line is none that the listing asked for.
func (l *Listing) misplaced(it *item) string {
	if !strings.HasPrefix(it.name, l.Prefix) {
		return fmt.Sprintf("%q lacks the prefix %q", it.name, l.Prefix)
	}
	if it.name <= l.After && !(it.common && strings.HasPrefix(l.After, it.name)) {
		return fmt.Sprintf("%q is not after %q", it.name, l.After)
	}
	name, common := l.group(it.name)
	if common != it.common || name != it.name {
		return fmt.Sprintf("%q does not go with the delimiter %q: it should be %q", it.name, l.Delimiter,
			name)
	}
	return ""
}

// entries turns the entries into sightings.
func (b *book) entries(op int, l *Listing, items []item) []Violation {
	var all []Violation
	for i := range items {
		it := &items[i]
		if it.common {
			continue
		}
		p := &l.Pages[it.page]
		s := sighting{op: op, call: p.Call, ret: p.Return, effect: content, etag: it.entry.ETag, list: true,
			level: b.h.Ops[op].Level}
		if v := b.values(&s); len(v) > 0 && !slices.ContainsFunc(v, func(v ValueID) bool {
			size := b.h.Ops[b.origin[v]].Size
			return size < 0 || size == it.entry.Size
		}) {
			all = append(all, Violation{Fault: WrongBytes, Key: it.name, Op: op, By: b.origin[v[0]],
				Text: fmt.Sprintf("listed with %d bytes, that etag is of another size", it.entry.Size)})
		}
		r := b.at(it.name)
		r.seen = append(r.seen, s)
	}
	return all
}

// uncovered turns the keys that are not shown into sightings of absence, and checks that each common prefix
// can have a key.
func (b *book) uncovered(op int, l *Listing, items []item, universe []string) []Violation {
	alive := map[string]bool{}
	from, _ := slices.BinarySearch(universe, l.Prefix)
	for _, key := range universe[from:] {
		if !strings.HasPrefix(key, l.Prefix) {
			break
		}
		name, common := l.group(key)
		at := sort.Search(len(items), func(i int) bool { return items[i].name >= name })
		shown := at < len(items) && items[at].name == name
		switch {
		case key <= l.After:
		case shown && common:
			p := &l.Pages[items[at].page]
			alive[name] = alive[name] || b.mayLive(key, p.Call, p.Return, b.h.Ops[op].Level)
		case shown, common && strings.HasPrefix(l.After, name):
		default:
			if s, covered := l.gap(items, at); covered {
				s.op, s.level = op, b.h.Ops[op].Level
				r := b.of[key]
				r.seen = append(r.seen, s)
			}
		}
	}
	var all []Violation
	for _, it := range items {
		if it.common && !alive[it.name] {
			all = append(all, Violation{Fault: ListGhost, Op: op, By: -1,
				Text: fmt.Sprintf("no key under the common prefix %q can exist", it.name)})
		}
	}
	return all
}

// gap returns the sighting of absence before items[at]; covered is false behind the last line of a truncated
// listing.
func (l *Listing) gap(items []item, at int) (s sighting, covered bool) {
	first, last := 0, len(l.Pages)-1
	if at > 0 {
		first = items[at-1].page
	}
	if at < len(items) {
		last = items[at].page
	} else if l.Pages[last].Truncated {
		return s, false
	}
	return sighting{call: l.Pages[first].Call, ret: l.Pages[last].Return, effect: absence, list: true}, true
}

// mayLive reports whether a read of a key in the interval could find something.
func (b *book) mayLive(key string, call, ret int64, level Level) bool {
	r := b.of[key]
	x := r.lookup()
	return x.present.before(ret) >= x.bar(r, call, level).call
}
