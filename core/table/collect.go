package table

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"granary/core/hlc"
	"granary/core/job"
	"granary/core/kv"
	"granary/core/layout"
	"granary/core/rt"
)

// TombstoneJob is what the job is called that removes deletion markers which nobody needs any more.
const TombstoneJob = "tombstones"

// Tombstones says when deletion markers go.
type Tombstones struct {
	// Keep is how old one must be at least; 0: they stay. A node whose clock is slow by more writes in two
	// rounds.
	Keep time.Duration
	// Every is the mean time between two looks for them.
	Every time.Duration
}

// TombstonesAfter returns what nodes use whose operators chose the age.
func TombstonesAfter(keep time.Duration) Tombstones {
	return Tombstones{Keep: keep, Every: min(keep/4, time.Hour)}
}

const (
	// collectPage is how many rows are looked at, or dropped, in one transaction, and collectPause the rest
	// between two.
	collectPage  = 256
	collectPause = 10 * time.Millisecond
	// collectDelays bounds the doublings of the time between two looks while no epoch comes to its end.
	collectDelays = 3
)

// collector removes spent rows of this node that are below the floor, and begins the epochs that raise it.
type collector struct {
	t    *Tables
	job  *job.Job
	bell rt.Waiter
	lock rt.Locker
	// below are prefixes whose floor was raised, in order.
	below []layout.Prefix
	fails int // epochs in a row that did not come to their end
}

func newCollector(t *Tables, jobs *job.Book) *collector {
	return &collector{t: t, job: jobs.New(TombstoneJob, "hash prefixes with deletion markers"),
		bell: t.env.NewWaiter(), lock: t.env.NewLock()}
}

// drop has the spent rows below the floor dropped soon.
func (c *collector) drop(prefixes []layout.Prefix) {
	c.lock.Lock()
	c.below = append(c.below, prefixes...)
	slices.Sort(c.below)
	c.below = slices.Compact(c.below)
	c.lock.Unlock()
	c.bell.Unpark()
}

// run looks for what may go, until the node stops.
func (c *collector) run(ctx context.Context) error {
	env := c.t.env
	for {
		half := c.t.tombstones.Every / 2 << min(c.fails, collectDelays)
		until := env.Now() + half + time.Duration(env.Rand("table/tombstones").Int64N(int64(2*half)+1))
		for env.Now() < until {
			err := c.bell.ParkFor(ctx, until-env.Now())
			if err != nil && !errors.Is(err, rt.ErrTimeout) {
				return nil
			}
			if err := rt.Guard(env, TombstoneJob, func() error { return c.dropBelow(ctx) }); err != nil {
				c.job.Hinder(err)
			}
		}
		if c.job.Gate(ctx) != nil {
			return nil
		}
		err := rt.Guard(env, TombstoneJob, func() error { return c.pass(ctx) })
		if ctx.Err() != nil {
			return nil
		}
		if c.job.Hinder(err); err == nil {
			c.fails = 0
		} else {
			c.fails++
		}
	}
}

// dropBelow drops what is below floors that were raised.
func (c *collector) dropBelow(ctx context.Context) error {
	c.lock.Lock()
	below := c.below
	c.below = nil
	c.lock.Unlock()
	for _, p := range below {
		if err := c.dropIn(ctx, p); err != nil {
			return err // a pass finds the rest
		}
	}
	return nil
}

// pass looks at all rows that age, drops what is below the floor, and begins an epoch for what is not.
func (c *collector) pass(ctx context.Context) error {
	at := c.t.clock.Wall().Add(-c.t.tombstones.Keep)
	spent, err := c.find(ctx, at)
	if err != nil {
		return err
	}
	var due []layout.Prefix
	for _, p := range spent.order {
		if spent.below[p] {
			if err := c.dropIn(ctx, p); err != nil {
				return err
			}
		}
		if oldest, ok := spent.oldest[p]; ok && c.due(p, oldest, at) {
			due = append(due, p)
		}
	}
	c.job.Begin(int64(len(due)))
	var fails []error
	for len(due) > 0 {
		n := min(len(due), epochPrefixes)
		if err := c.epoch(ctx, c.teams(due[:n]), at); err != nil {
			fails = append(fails, err)
		}
		if err := c.job.Gate(ctx); err != nil {
			return err
		}
		due = due[n:]
	}
	return errors.Join(append(fails, c.dropBelow(ctx))...)
}

// due reports whether this node is to begin an epoch for a prefix with a spent row of this age: one replica
// leaves the others time to do it first.
func (c *collector) due(p layout.Prefix, oldest, at hlc.Stamp) bool {
	view, err := c.t.topology.View(p)
	if err != nil || len(view.Live) != 1 {
		return false
	}
	set := view.Live[0]
	place := slices.Index(set.Nodes, c.t.env.Self())
	if place < 0 {
		return false
	}
	place = (place + int(p)) % len(set.Nodes)
	return oldest <= at.Add(-time.Duration(place)*c.t.tombstones.Keep/4)
}

// teams groups prefixes by their replica sets.
func (c *collector) teams(prefixes []layout.Prefix) (all []team) {
	for _, p := range prefixes {
		view, err := c.t.topology.View(p)
		if err != nil || len(view.Live) != 1 {
			continue
		}
		set := view.Live[0]
		i := slices.IndexFunc(all, func(m team) bool {
			return m.set.Version == set.Version && slices.Equal(m.set.Nodes, set.Nodes)
		})
		if i < 0 {
			i, all = len(all), append(all, team{set: set})
		}
		all[i].prefixes = append(all[i].prefixes, p)
	}
	return all
}

// spentRows says under which prefixes rows are spent.
type spentRows struct {
	order  []layout.Prefix
	below  map[layout.Prefix]bool      // with rows below the floor
	oldest map[layout.Prefix]hlc.Stamp // of the rows that are old enough and not below it
}

// find walks all rows that age, up to a stamp.
func (c *collector) find(ctx context.Context, at hlc.Stamp) (spentRows, error) {
	s := spentRows{below: map[layout.Prefix]bool{}, oldest: map[layout.Prefix]hlc.Stamp{}}
	for _, tab := range c.t.registry.tables {
		if tab == nil || !tab.ages() {
			continue
		}
		id, _, _ := tab.describe()
		for from := []byte{localPrefix, 0, 0, byte(id)}; from != nil; {
			var err error
			if from, err = c.look(&s, tab, from, at); err != nil {
				return s, err
			}
			if err := c.t.env.Sleep(ctx, collectPause); err != nil {
				return s, err
			}
			if err := c.job.Gate(ctx); err != nil {
				return s, err
			}
		}
	}
	err := c.t.store.View(func(r kv.Reader) error { s.noteHoles(r); return nil })
	slices.Sort(s.order)
	s.order = slices.Compact(s.order)
	return s, err
}

// noteHoles takes in where rows were removed that others bring: an epoch finds that they have.
func (s *spentRows) noteHoles(r kv.Reader) {
	for from := bytes.Clone(keyHole); from != nil; {
		at := from
		from = nil
		r.Ascend(at, successor(keyHole), func(k, _ []byte) bool {
			key := k[len(keyHole):]
			p := layout.Prefix(key[1])<<8 | layout.Prefix(key[2])
			s.order, s.oldest[p] = append(s.order, p), 0
			from = append(bytes.Clone(keyHole), successor(key[:localHeadLen-1])...)
			return false
		})
	}
}

// look looks at a page of rows of a table, and returns where the next one begins, nil at the end.
func (c *collector) look(s *spentRows, tab schema, from []byte, at hlc.Stamp) (next []byte, err error) {
	id, _, _ := tab.describe()
	rows, key := 0, from
	err = c.t.store.View(func(r kv.Reader) (failed error) {
		for seeks := 0; key != nil && seeks < walkSeeks && rows < collectPage; seeks++ {
			lo := key
			key = nil
			r.Ascend(lo, []byte{localPrefix + 1}, func(k, stored []byte) bool {
				switch {
				case k[localHeadLen-1] != byte(id):
					key = groupAfter(k, byte(id), nil)
					return false
				case rows == collectPage:
					key = bytes.Clone(k)
					return false
				}
				rows++
				failed = s.note(r, tab, k, stored, at)
				return failed == nil
			})
			if failed != nil {
				return failed
			}
		}
		return nil
	})
	return key, err
}

// note takes a row in.
func (s *spentRows) note(r kv.Reader, tab schema, key, stored []byte, at hlc.Stamp) error {
	row, err := tab.unseal(stored)
	if err != nil {
		return atKey(key, err)
	}
	newest, spent, err := tab.age(row)
	if err != nil || !spent || newest > at {
		return err
	}
	p := layout.Prefix(key[1])<<8 | layout.Prefix(key[2])
	f, err := readFloor(r, p)
	if err != nil {
		return err
	}
	if n := len(s.order); n == 0 || s.order[n-1] != p { // rows come in order
		s.order = append(s.order, p)
	}
	if newest <= f.Floor {
		s.below[p] = true
	} else if oldest, ok := s.oldest[p]; !ok || newest < oldest {
		s.oldest[p] = newest
	}
	return nil
}

// dropIn drops the spent rows below the floor of a prefix, in small transactions with rests between them.
func (c *collector) dropIn(ctx context.Context, p layout.Prefix) error {
	for _, tab := range c.t.registry.tables {
		if tab == nil || !tab.ages() {
			continue
		}
		at := groupSpan(p, tab)
		for at.Lo != nil {
			if err := c.job.Gate(ctx); err != nil {
				return err
			}
			var err error
			if at.Lo, err = c.dropPage(ctx, tab, p, at); err != nil {
				return err
			}
			if err := c.t.env.Sleep(ctx, collectPause); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropPage drops what is below the floor of a page of rows, and returns where the next one begins, nil at the
// end.
func (c *collector) dropPage(ctx context.Context, tab schema, p layout.Prefix, at Span) (next []byte,
	err error) {
	t, dropped := c.t, 0
	_, _, n := tab.describe()
	var after []func()
	err = t.store.Update(ctx, func(w kv.Writer) error {
		next, dropped = nil, 0
		f, err := readFloor(w, p)
		if err != nil {
			return err
		}
		keys, rest, err := tab.below(w, at, f.Floor)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if err := tab.yield(t.txOn(w, key[localHeadLen:localHeadLen+n], &after), key); err != nil {
				return err
			}
		}
		next, dropped = rest, len(keys)
		return nil
	})
	t.env.Sometimes("deletion markers went", dropped > 0 && err == nil)
	t.env.Count("table_tombstones_total", float64(dropped))
	return next, finish(after, err)
}

// below implements schema: the local keys of the spent rows of a page that are no newer than a floor, and
// where the next page begins.
func (t *Table[T]) below(r kv.Reader, at Span, floor hlc.Stamp) (keys [][]byte, next []byte, failed error) {
	rows := 0
	r.Ascend(at.Lo, at.Hi, func(k, stored []byte) bool {
		if rows == collectPage {
			next = bytes.Clone(k)
			return false
		}
		rows++
		v, err := t.open(stored)
		if failed = atKey(k, err); err != nil {
			return false
		}
		if t.def.Spent(v) && t.def.Newest(v) <= floor {
			keys = append(keys, bytes.Clone(k))
		}
		return true
	})
	return keys, next, failed
}
