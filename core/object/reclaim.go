package object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"granary/core/bucket"
	"granary/core/job"
	"granary/core/layout"
	"granary/core/rt"
	"granary/core/table"
)

// ReclaimJob is what the job that frees the space of what was replaced, deleted or given up is called.
const ReclaimJob = "reclaim"

// Reclaim says when space is freed. Start from DefaultReclaim.
type Reclaim struct {
	Every time.Duration // mean time between two passes
	// Delay is how long what was replaced stays once it could go: longer than ReadMax, so that who reads it
	// comes to the end. It is measured by a node's monotonic clock and begins anew when the node restarts.
	Delay   time.Duration
	ReadMax time.Duration // longest that one read of an object may take
	// Abandoned is how long nothing is heard of an upload before it counts as abandoned, Refresh how often
	// one in progress lets hear of itself.
	Abandoned, Refresh time.Duration
	// Takeover is how long each replica leaves to the one before it what it could free itself.
	Takeover time.Duration
	// AuditEvery is the mean time between two audits of references, AuditAge how old one must be to be looked
	// at.
	AuditEvery, AuditAge time.Duration
}

// DefaultReclaim returns what nodes use.
func DefaultReclaim() Reclaim {
	return Reclaim{Every: time.Hour, Delay: 24 * time.Hour, ReadMax: 12 * time.Hour,
		Abandoned: 12 * time.Hour, Refresh: time.Hour, Takeover: 30 * time.Hour,
		AuditEvery: 24 * time.Hour, AuditAge: 24 * time.Hour}
}

// ReclaimAfter returns what nodes use whose operators chose these times: of the other times, those that
// depend on them follow.
func ReclaimAfter(delay, readMax, abandoned time.Duration) Reclaim {
	r := DefaultReclaim()
	r.Delay, r.ReadMax, r.Abandoned = delay, readMax, abandoned
	r.Every, r.Refresh = min(r.Every, delay/4), min(r.Refresh, abandoned/4)
	r.Takeover, r.AuditAge = delay+delay/4, max(r.AuditAge, abandoned)
	return r
}

// Validate reports everything that is wrong with r.
func (r Reclaim) Validate() error {
	var all []error
	bad := func(cond bool, format string, args ...any) {
		if cond {
			all = append(all, fmt.Errorf("reclaim: "+format, args...))
		}
	}
	for _, t := range []struct {
		name string
		d    time.Duration
	}{{"Every", r.Every}, {"ReadMax", r.ReadMax}, {"Refresh", r.Refresh}, {"AuditEvery", r.AuditEvery}} {
		bad(t.d <= 0, "%s is %v, want more than 0", t.name, t.d)
	}
	bad(r.Delay <= r.ReadMax, "Delay is %v, want more than ReadMax, %v", r.Delay, r.ReadMax)
	bad(r.Abandoned < 2*r.Refresh, "Abandoned is %v, want twice Refresh, %v, at least", r.Abandoned,
		r.Refresh)
	bad(r.AuditAge < r.Abandoned, "AuditAge is %v, want Abandoned, %v, at least", r.AuditAge, r.Abandoned)
	bad(r.Takeover < 0, "Takeover is %v", r.Takeover)
	return errors.Join(all...)
}

// reclaimer frees space for what this node has noted in its garbage, page by page, for ever.
type reclaimer struct {
	s    *Store
	job  *job.Job
	life uint64 // tells this life of the node from others
}

func newReclaimer(s *Store, jobs *job.Book) *reclaimer {
	return &reclaimer{s: s, job: jobs.New(ReclaimJob, "versions and uploads looked at")}
}

// pageMax is how many rows of garbage are looked at together.
const pageMax = asksMax

// run makes one pass after another until the node stops.
func (c *reclaimer) run(ctx context.Context) error {
	env := c.s.env
	for {
		if pauseAround(ctx, env, c.s.reclaim.Every) != nil || c.job.Gate(ctx) != nil {
			return nil
		}
		err := rt.Guard(env, ReclaimJob, func() error { return c.pass(ctx) })
		if ctx.Err() != nil {
			return nil
		}
		c.job.Hinder(err)
	}
}

// pauseAround sleeps d in the mean.
func pauseAround(ctx context.Context, env rt.Env, d time.Duration) error {
	half := d / 2
	return env.Sleep(ctx, half+time.Duration(env.Rand("object/reclaim").Int64N(int64(2*half)+1)))
}

// pass looks at all garbage once. One error does not keep it from the rest.
func (c *reclaimer) pass(ctx context.Context) (failed error) {
	for c.life == 0 {
		c.life = c.s.env.Rand("object/reclaim").Uint64()
	}
	total, err := c.count()
	if err != nil {
		return err
	}
	c.job.Begin(total)
	for from, more := []byte(nil), true; more; {
		page, next, err := c.page(from)
		if err != nil {
			return err
		}
		for len(page) > 0 {
			n := 1
			for n < len(page) && page[n].bucket == page[0].bucket {
				n++
			}
			if err := c.handle(ctx, page[0].bucket, page[:n]); err != nil && failed == nil {
				failed = err
			}
			c.job.Add(int64(n))
			page = page[n:]
		}
		if err := c.job.Gate(ctx); err != nil {
			return err
		}
		from, more = next, next != nil
	}
	return failed
}

func (c *reclaimer) count() (n int64, err error) {
	for from, more := []byte(nil), true; more && err == nil; more = from != nil {
		from, err = table.Walk(c.s.tables, c.s.rows.garbage, from, 4*pageMax,
			func(table.Address, garbageRow) { n++ })
	}
	return n, err
}

// candidate is a row of garbage.
type candidate struct {
	bucket bucket.BucketID
	sort   []byte
	key    Key
	id     [16]byte
	row    garbageRow
	now    watch // how far it has come with this pass
}

func (c *reclaimer) page(from []byte) (page []*candidate, next []byte, err error) {
	next, err = table.Walk(c.s.tables, c.s.rows.garbage, from, pageMax, func(at table.Address, g garbageRow) {
		if k, id, ok := splitGarbage(at.Sort); ok {
			page = append(page, &candidate{bucket: bucket.BucketID(at.PK), sort: bytes.Clone(at.Sort), key: k,
				id: id, row: g})
		}
	})
	return page, next, err
}

// ask is what to ask the replicas about it.
func (d *candidate) ask() ask {
	a := ask{Kind: askMark, Key: []byte(d.key), ID: d.id}
	switch {
	case d.row.Version.exists():
		a.Kind, a.Upload = askVersion, d.row.Version.Upload
	case d.row.Ended:
		a.Kind = askUpload
	case d.row.loose():
		a.Kind = askLoose
	}
	return a
}

// stage is what is to be done with a candidate.
type stage uint8

const (
	stageWait  stage = iota
	stageTidy        // its space is free: what is kept here about it may go
	stageSeal        // ask every replica, and let the delay begin
	stageEmpty       // ask every replica, and free its space
)

// stageOf says what is to be done, and notes since when it waits. place is that of this node among the
// replicas.
func (c *reclaimer) stageOf(d *candidate, place int) stage {
	r, now := c.s.reclaim, c.s.env.Now()
	if d.now = d.row.Watch; d.now.Life != c.life {
		d.now = watch{Life: c.life, Since: now}
	}
	age, patience, next := now-d.now.Since, time.Duration(place)*r.Takeover, stageSeal
	switch {
	case d.now.Sealed:
		patience, next = r.Delay, stageEmpty
	case d.row.Version.exists():
	case d.row.Ended:
		next = stageEmpty // nobody can read what it does not need
	case d.row.loose() && c.s.env.Mutant("reclaim: what a rotten row knew stays"):
		return stageWait
	case d.row.loose():
		patience, next = patience+r.AuditAge, stageEmpty // as that of a reference of which nothing is known
	default:
		patience, next = patience+r.Abandoned, stageEmpty
	}
	if age < patience && !c.s.env.Mutant("reclaim: from local transition") {
		return stageWait
	}
	return next
}

// handle takes candidates of one bucket as far as they can go now.
func (c *reclaimer) handle(ctx context.Context, b bucket.BucketID, page []*candidate) error {
	set, ok, err := c.s.replicas(b)
	place := placeIn(set, c.s.env.Self(), b)
	if err != nil || !ok || place < 0 {
		return err
	}
	freed, err := c.freed(b, page)
	if err != nil {
		return err
	}
	var due, free []*candidate
	next := map[*candidate]stage{}
	for i, d := range page {
		switch next[d] = c.stageOf(d, place); {
		case freed[i]:
			free = append(free, d)
		case next[d] != stageWait:
			due = append(due, d)
		}
	}
	granted, failed := c.granted(ctx, set, b, due)
	var empty []*candidate
	for i, d := range due {
		switch {
		case !granted[i]:
		case next[d] == stageSeal:
			d.now = watch{Life: c.life, Since: c.s.env.Now(), Sealed: true}
		default:
			empty = append(empty, d)
		}
	}
	return errors.Join(failed, c.remember(ctx, b, page), c.empty(ctx, set, b, empty), c.tidy(ctx, b, free))
}

// granted asks the replicas which of the candidates may go.
func (c *reclaimer) granted(ctx context.Context, set layout.Set, b bucket.BucketID,
	due []*candidate) ([]bool, error) {
	if len(due) == 0 {
		return nil, nil
	}
	asks, heads := make([]ask, len(due)), make([]table.Head, len(due))
	for i, d := range due {
		asks[i], heads[i] = d.ask(), d.row.Version.head()
	}
	granted, err := c.s.inquire(ctx, set, b, asks, heads)
	if err != nil {
		granted = make([]bool, len(due))
	}
	if c.s.env.Mutant("reclaim: from local transition") {
		for i, d := range due {
			granted[i] = granted[i] || d.row.Version.exists()
		}
	}
	return granted, err
}

// placeIn is a node's place among the replicas of a bucket, in an order that differs from bucket to bucket;
// -1 if it is none of them.
func placeIn(set layout.Set, self rt.NodeID, b bucket.BucketID) int {
	i := slices.Index(set.Nodes, self)
	if i < 0 {
		return -1
	}
	return (i + int(layout.PrefixOf(b[:]))) % len(set.Nodes)
}

// freed reports which candidates' space is free already.
func (c *reclaimer) freed(b bucket.BucketID, page []*candidate) ([]bool, error) {
	freed := make([]bool, len(page))
	rows := c.s.rows
	err := c.s.tables.Local(b[:], func(r *table.Reader) error {
		for i, d := range page {
			if d.row.Ended {
				up, _, err := rows.uploads.Get(r, uploadSort(d.key, d.id))
				if freed[i] = up.State == uploadSpent; err != nil {
					return err
				}
				continue
			}
			grave, _, err := rows.graves.Get(r, d.sort)
			if freed[i] = grave.Emptied; err == nil && !freed[i] && d.row.loose() {
				var known kinship
				known, err = rows.known(r, d.key) // what it is of came later
				freed[i] = known.has(d.id)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return freed, err
}

// remember notes how far the candidates have come, unless something else has become of them meanwhile.
func (c *reclaimer) remember(ctx context.Context, b bucket.BucketID, page []*candidate) error {
	garbage := c.s.rows.garbage
	return c.s.tables.Change(ctx, func(rows func([]byte) *table.Tx) error {
		tx := rows(b[:])
		for _, d := range page {
			if d.now == d.row.Watch {
				continue
			}
			g, ok, err := garbage.Get(&tx.Reader, d.sort)
			if err != nil {
				return err
			}
			if !ok || g.Watch != d.row.Watch || g.Mark != d.row.Mark {
				continue
			}
			g.Watch = d.now
			garbage.Drop(tx, d.sort)
			if err := garbage.Merge(tx, d.sort, g); err != nil {
				return err
			}
		}
		return nil
	})
}
