package table

import (
	"bytes"

	"granary/core/hlc"
)

// Limits of a listing's coordinator.
const (
	// listRoundsMax is how many rounds a page takes before it ends at its first unresolved group, if it has
	// an item before that.
	listRoundsMax = 6
	// askLiveFirst is how many live rows of an unresolved group are asked for when it is asked about again
	// (the page itself had one), askLiveGrowth how many times more each time, askLiveMax at most.
	askLiveFirst  = 8
	askLiveGrowth = 8
	askLiveMax    = 512
	// divergedMax bounds the rows that are named as different at different replicas.
	divergedMax = 256
)

// listSchema is what a listing needs to know of a table.
type listSchema interface {
	// join merges two projected rows.
	join(a, b []byte) ([]byte, error)
	// shown reports whether a listing shows a projected row.
	shown(row []byte) (bool, error)
	// foldable is the length of the part of a sort key in which delimiters are looked for.
	foldable(sort []byte) int
	// above leaves out of a projected row what is no newer than a floor.
	above(row []byte, floor hlc.Stamp) (above []byte, left bool, err error)
}

// listing merges the pages of replicas into one page. It is a state machine without a network: asks says what
// to ask every replica, take is given what R of them answered, until asks returns nil.
//
// It upholds, for a group (the rows that share a prefix up to the delimiter) as for any row:
//
//  1. No row is used beyond the least end of the answers, nor, in a group, beyond m: the least of the
//     replicas' first live rows in it, or ends if they stopped inside it. Up to there answers are complete.
//  2. A prefix is shown if a row of its group up to m is live in the join. It is dropped only when every
//     answer covers the whole group; else it is asked about again, from m on.
//  3. Items come in order, and nothing behind an unresolved group is given out before it.
//  4. A page that is not the last has an item.
type listing struct {
	schema listSchema
	lo, hi []byte // range of sort keys [lo, hi), hi nil for no bound
	base   int    // length of the prefix
	delim  []byte
	all    bool
	max    int

	dead   int // limit of the next ask
	rounds int
	items  []listed
	asked  []int  // the items that the last asks were about; nil: they were about the range
	next   Resume // behind items
	more   bool   // there may be rows behind items
	done   bool
	// witnessed breaks rule 2: a group whose rows up to m are dead counts as empty.
	witnessed bool
	// diverged are sort keys of rows that not all answers had alike.
	diverged [][]byte
}

// listed is an item of a page: a row, a group that is shown, or one that is unresolved.
type listed struct {
	sort   []byte // of the row, or the prefix of the group
	row    []byte // joined; nil for a group
	group  bool
	open   bool   // unresolved behind m
	m      []byte // every row of the group up to m is dead; only if open
	live   int    // what to ask for next
	absent bool   // resolved: the group is empty
}

// begin prepares the listing of the rows behind from.
func (l *listing) begin(from Resume) {
	l.dead = clamp(l.dead, pageDeadLimit)
	start, ok := from.start()
	if bytes.Compare(start, l.lo) > 0 {
		l.lo = start
	}
	if !ok || l.hi != nil && bytes.Compare(l.lo, l.hi) >= 0 {
		l.more, l.done = false, true
	}
}

// asks returns what to ask every replica next, nil if the page is finished.
func (l *listing) asks() []pageAsk {
	if l.done {
		return nil
	}
	l.asked = l.asked[:0]
	for i := range l.items {
		if l.items[i].open && len(l.asked) < pageAsksMax {
			l.asked = append(l.asked, i)
		}
	}
	if len(l.asked) == 0 {
		return []pageAsk{{Start: l.lo, End: l.hi, Base: l.base, Delimiter: l.delim,
			Live: l.max + 1, Dead: l.dead}}
	}
	asks := make([]pageAsk, len(l.asked))
	for n, i := range l.asked {
		it := &l.items[i]
		start, _ := AfterKey(it.m).start()
		asks[n] = pageAsk{Start: start, End: l.endOf(it.sort), Live: it.live, Dead: l.dead}
	}
	return asks
}

// endOf is the end of a group, inside the range of the listing.
func (l *listing) endOf(group []byte) []byte {
	end := appendSuccessor(nil, group)
	if end == nil || l.hi != nil && bytes.Compare(l.hi, end) < 0 {
		return l.hi
	}
	return end
}

// take merges the answers to asks: answers[i][j] is replica i's to the j-th.
func (l *listing) take(answers [][]answer) error {
	l.rounds++
	heads := make([]cursor, len(answers))
	turn := func(j int) []cursor {
		for i := range answers {
			heads[i] = cursor{answer: answers[i][j]}
		}
		return heads
	}
	if len(l.asked) == 0 {
		if err := l.merge(turn(0)); err != nil {
			return err
		}
	}
	for j, i := range l.asked {
		if err := l.resolve(&l.items[i], turn(j)); err != nil {
			return err
		}
	}
	l.settle()
	return nil
}

// merge turns the answers about the range into items.
func (l *listing) merge(heads []cursor) error {
	e := leastEnd(heads)
	certain := 0
	for certain <= l.max {
		k := least(heads, e)
		if k == nil {
			break
		}
		var it listed
		var err error
		if n := groupLen(l.schema, l.base, l.delim, k); n > 0 {
			it, err = l.group(k[:n], heads)
		} else {
			it, err = l.row(k, heads)
		}
		if err != nil {
			return err
		}
		if it.absent {
			continue
		}
		l.items = append(l.items, it)
		if !it.open {
			certain++
		}
	}
	l.more = certain > l.max || !e.none
	if !e.none {
		l.stopAt(e.key)
	}
	return nil
}

// stopAt sets the place where the answers about the range ended: behind e, or, if e is inside the last group,
// where that has to be taken up again.
func (l *listing) stopAt(e []byte) {
	l.next = AfterKey(e)
	n := len(l.items)
	if n == 0 || !l.items[n-1].group || !bytes.HasPrefix(e, l.items[n-1].sort) {
		return
	}
	if last := l.items[n-1]; last.open {
		l.next = AfterKey(last.m)
		l.items = l.items[:n-1]
	} else {
		l.next = AfterPrefix(last.sort)
	}
}

// row joins the row at k, which every answer covers.
func (l *listing) row(k []byte, heads []cursor) (listed, error) {
	row, live, err := l.joinAt(k, heads)
	return listed{sort: k, row: row, absent: !live}, err
}

// group joins the rows of a group, of which heads stand on the first.
func (l *listing) group(g []byte, heads []cursor) (listed, error) {
	m := bound{none: true}
	for i := range heads {
		h := &heads[i]
		h.stop = h.at
		for h.stop < len(h.rows) && bytes.HasPrefix(h.rows[h.stop].sort, g) {
			h.stop++
		}
		switch {
		case h.stop > h.at && h.rows[h.stop-1].live:
			m.lower(h.rows[h.stop-1].sort)
		case !h.whole && bytes.HasPrefix(h.end, g):
			m.lower(h.end)
		}
	}
	live, err := l.anyLive(heads, m)
	for i := range heads {
		heads[i].at = max(heads[i].at, heads[i].stop)
	}
	open, absent := !live && !m.none && !l.witnessed, !live && (m.none || l.witnessed)
	return listed{sort: g, group: true, open: open, m: m.key, live: askLiveFirst, absent: absent}, err
}

// resolve joins more rows of an unresolved group.
func (l *listing) resolve(it *listed, heads []cursor) error {
	m := bound{none: true}
	for i := range heads {
		h := &heads[i]
		h.stop = len(h.rows)
		switch {
		case h.whole:
		case h.end == nil:
			m.lower(it.m)
		default:
			m.lower(h.end)
		}
	}
	live, err := l.anyLive(heads, m)
	it.open, it.absent = !live && !m.none, !live && m.none
	it.m, it.live = m.key, min(it.live*askLiveGrowth, askLiveMax)
	return err
}

// anyLive reports whether a row up to m is live in the join.
func (l *listing) anyLive(heads []cursor, m bound) (live bool, err error) {
	for !live && err == nil {
		k := least(heads, m)
		if k == nil || !within(heads) {
			return false, nil
		}
		_, live, err = l.joinAt(k, heads)
	}
	return live, err
}

// joinAt joins the rows at k and moves the heads past it.
func (l *listing) joinAt(k []byte, heads []cursor) (row []byte, live bool, err error) {
	have, differ := 0, false
	floor := absentFloor(k, heads)
	for i := range heads {
		h := &heads[i]
		if h.at == len(h.rows) || !bytes.Equal(h.rows[h.at].sort, k) {
			continue
		}
		r := &h.rows[h.at]
		h.at++
		have++
		if have == 1 {
			row, live = r.row, r.live
		} else if !bytes.Equal(row, r.row) {
			differ = true
			if row, err = l.schema.join(row, r.row); err != nil {
				return nil, false, err
			}
		}
	}
	if floor > 0 {
		left := false
		if row, left, err = l.schema.above(row, floor); !left || err != nil {
			return nil, false, err
		}
		differ = true
	}
	if differ && !l.all {
		live, err = l.schema.shown(row)
	}
	if (differ || have < len(heads)) && len(l.diverged) < divergedMax {
		l.diverged = append(l.diverged, k)
	}
	return row, live, err
}

// absentFloor is up to which age a row at k is gone for a head that does not stand on it.
func absentFloor(k []byte, heads []cursor) (floor hlc.Stamp) {
	for i := range heads {
		h := &heads[i]
		if h.absent.Floor > floor && (h.at == len(h.rows) || !bytes.Equal(h.rows[h.at].sort, k)) {
			floor = max(floor, h.absent.floor(h.table, k))
		}
	}
	return floor
}

// settle decides whether the page is finished, and cuts it where it ends.
func (l *listing) settle() {
	l.asked = l.asked[:0]
	kept, certain, open := l.items[:0], 0, -1
	for _, it := range l.items {
		if it.absent {
			continue
		}
		kept = append(kept, it)
		if it.open && open < 0 {
			open = len(kept) - 1
		}
		if !it.open {
			certain++
		}
		if certain > l.max {
			break
		}
	}
	l.items = kept
	switch {
	case open > 0 && (open >= l.max || l.rounds >= listRoundsMax):
		l.next, l.more, l.items, open = AfterKey(l.items[open].m), true, l.items[:open], -1
	case open >= 0:
		l.grow()
		return
	}
	if len(l.items) > l.max {
		l.items, l.more = l.items[:l.max], true
		l.next = l.items[l.max-1].behind()
	}
	if len(l.items) > 0 || !l.more {
		l.done = true
		return
	}
	l.grow()
	l.begin(l.next)
}

// grow lets the next answers cover more dead rows, since the last gave no item.
func (l *listing) grow() { l.dead = min(4*l.dead, pageDeadLimit) }

// behind is the place after an item.
func (it *listed) behind() Resume {
	if it.group {
		return AfterPrefix(it.sort)
	}
	return AfterKey(it.sort)
}

// cursor stands on a row of an answer.
type cursor struct {
	answer
	at   int
	stop int // of the group at hand
}

// bound is a sort key, inclusive, or none.
type bound struct {
	key  []byte
	none bool
}

func (b *bound) lower(k []byte) {
	if b.none || bytes.Compare(k, b.key) < 0 {
		b.key, b.none = k, false
	}
}

// leastEnd is how far every answer goes.
func leastEnd(heads []cursor) bound {
	e := bound{none: true}
	for i := range heads {
		if !heads[i].whole {
			e.lower(heads[i].end)
		}
	}
	return e
}

// least is the least sort key that a head stands on, nil if there is none up to b.
func least(heads []cursor, b bound) (k []byte) {
	for i := range heads {
		h := &heads[i]
		if h.at < len(h.rows) && (k == nil || bytes.Compare(h.rows[h.at].sort, k) < 0) {
			k = h.rows[h.at].sort
		}
	}
	if k != nil && !b.none && bytes.Compare(k, b.key) > 0 {
		return nil
	}
	return k
}

// within reports whether a head still stands inside the group at hand.
func within(heads []cursor) bool {
	for i := range heads {
		if heads[i].at < heads[i].stop {
			return true
		}
	}
	return false
}
