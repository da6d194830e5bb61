package table

import (
	"bytes"
	"context"
	"errors"
	"time"

	"granary/core/codec"
	"granary/core/job"
	"granary/core/kv"
	"granary/core/rt"
)

// ScrubJob is what the job is called that reads all rows of a node, so that one which cannot be read is found
// though nobody asks for it.
const ScrubJob = "row-scrub"

const (
	// scrubSpeed bounds the bytes per second that a scrub reads, unless another speed is set.
	scrubSpeed = 16 << 20
	// scrubEvery is the time from the beginning of one scrub to that of the next.
	scrubEvery = 14 * 24 * time.Hour
	// scrubLook is how often the wall clock is asked whether it is time.
	scrubLook = time.Hour
	// scrubPage is how many bytes of rows one transaction reads, give or take a row.
	scrubPage = 1 << 20
	// scrubRetry is the rest after an error, and while no more rows can be queued for repair.
	scrubRetry = 10 * time.Second
	// prefixes is how many prefixes of keys there are: what the job counts.
	prefixes = 1 << 16
)

var (
	keyScrub  = []byte("\x02table/scrub")
	kindScrub = codec.Register(0x21, 1, "row scrub state")
)

// scrubState is durable.
type scrubState struct {
	// Began is when the pass began that goes on or was the last; wall time in ms since 1970.
	Began int64 `cbor:"1,keyasint"`
	// Next is the local key from which on the pass goes on; empty if it is over.
	Next []byte `cbor:"2,keyasint,omitempty"`
}

// scrub reads all rows, page by page, in passes.
type scrub struct {
	t     *Tables
	job   *job.Job
	bell  rt.Waiter
	lock  rt.Locker
	asked bool // for a pass that does not wait for its time
	shown bool // whether the job knows of the pass; of the worker alone
}

func newScrub(t *Tables, jobs *job.Book) *scrub {
	j := jobs.New(ScrubJob, "65,536ths of the keys whose rows were read")
	j.SetSpeed(scrubSpeed)
	return &scrub{t: t, job: j, bell: t.env.NewWaiter(), lock: t.env.NewLock()}
}

// StartScrub begins to read all rows of this node now, from the first on.
func (t *Tables) StartScrub() {
	t.scrub.lock.Lock()
	t.scrub.asked = true
	t.scrub.lock.Unlock()
	t.scrub.bell.Unpark()
}

// run works until the node stops.
func (c *scrub) run(ctx context.Context) error {
	for {
		if c.job.Gate(ctx) != nil {
			return nil
		}
		rest, err := c.turn(ctx)
		c.job.Hinder(err)
		if err != nil {
			rest = scrubRetry
		}
		if rest > 0 {
			if err := c.bell.ParkFor(ctx, rest); err != nil && !errors.Is(err, rt.ErrTimeout) {
				return nil
			}
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// turn reads the next page, or says how long there is nothing to do.
func (c *scrub) turn(ctx context.Context) (rest time.Duration, err error) {
	state, err := c.load()
	if err != nil {
		return 0, err
	}
	now := c.t.env.Wall().UnixMilli()
	due := time.Duration(state.Began+scrubEvery.Milliseconds()-now) * time.Millisecond
	switch asked := c.take(); {
	case asked || state.Began != 0 && len(state.Next) == 0 && due <= 0:
		c.shown = false
		return 0, c.save(ctx, scrubState{Began: now, Next: []byte{localPrefix}})
	case state.Began == 0: // the first start: there is nothing yet
		return 0, c.save(ctx, scrubState{Began: now})
	case len(state.Next) == 0:
		return min(due, scrubLook), nil
	}
	if !c.shown {
		c.job.Begin(prefixes)
		c.job.Add(prefixesBefore(state.Next))
		c.shown = true
	}
	return c.page(ctx, state)
}

// take reports whether a pass was asked for, once.
func (c *scrub) take() bool {
	c.lock.Lock()
	defer c.lock.Unlock()
	asked := c.asked
	c.asked = false
	return asked
}

// page reads the next rows of a pass, and has those repaired that cannot be read.
func (c *scrub) page(ctx context.Context, state scrubState) (rest time.Duration, err error) {
	if c.t.mender.full() {
		return scrubRetry, nil
	}
	next, size, bad, err := c.read(state.Next)
	if err != nil {
		return 0, err
	}
	for _, key := range bad {
		c.t.env.Sometimes("scrub found an unreadable row", true)
		c.t.mender.found(key)
	}
	if err := c.job.Pace(ctx, size); err != nil {
		return 0, err
	}
	before := prefixesBefore(state.Next)
	if state.Next = next; next == nil {
		c.job.Add(prefixes - before)
	} else {
		c.job.Add(prefixesBefore(next) - before)
	}
	return 0, c.save(ctx, state)
}

// read looks at a page of rows. next is nil behind the last; bad are the keys of those that fail their
// checksum.
func (c *scrub) read(from []byte) (next []byte, size int64, bad [][]byte, err error) {
	err = c.t.store.View(func(r kv.Reader) error {
		r.Ascend(from, []byte{localPrefix + 1}, func(key, stored []byte) bool {
			if size >= scrubPage {
				next = bytes.Clone(key)
				return false
			}
			size += int64(len(key) + len(stored))
			if c.unreadable(key, stored) {
				bad = append(bad, bytes.Clone(key))
			}
			return true
		})
		return nil
	})
	return next, size, bad, err
}

// unreadable reports whether a row fails its checksum. What is no row of a known table is Check's to name.
func (c *scrub) unreadable(key, stored []byte) bool {
	if len(key) < localHeadLen {
		return false
	}
	s, err := c.t.registry.schema(ID(key[localHeadLen-1]))
	if err != nil {
		return false
	}
	if _, _, n := s.describe(); len(key) < localHeadLen+n {
		return false
	}
	_, err = s.unseal(stored)
	return errors.Is(err, codec.ErrCorrupt)
}

// prefixesBefore is how many prefixes lie before a local key.
func prefixesBefore(key []byte) int64 {
	var at [2]byte
	copy(at[:], key[1:])
	return int64(at[0])<<8 | int64(at[1])
}

func (c *scrub) load() (state scrubState, err error) {
	err = c.t.store.View(func(r kv.Reader) (err error) {
		if raw := r.Get(keyScrub); raw != nil {
			state, err = codec.Load[scrubState](raw, kindScrub)
		}
		return err
	})
	return state, err
}

func (c *scrub) save(ctx context.Context, state scrubState) error {
	raw, err := codec.Seal(kindScrub, 1, state)
	if err != nil {
		return err
	}
	return c.t.store.Update(ctx, func(w kv.Writer) error { w.Put(keyScrub, raw); return nil })
}
