package hlc

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"granary/core/rt"
)

const (
	// SkewMax is how far ahead of the receiver's wall clock a coordinator's own stamp may be.
	SkewMax = 60 * time.Second
	// CeilingStep is how far ahead the durable ceiling is moved.
	CeilingStep = 10 * time.Second
	// RenewEvery is how often a node should call Clock.Renew, so that Now need not wait for the store.
	RenewEvery = CeilingStep / 4
)

var (
	// ErrAhead means that a stamp is too far in the future.
	ErrAhead = errors.New("stamp ahead of the clock")
	// ErrExhausted means that a stamp near the end of the range was merged; the clock issues none any more.
	ErrExhausted = errors.New("clock at the end of its range")
)

// Ceiling makes a ceiling durable: it returns nil only when a restart will pass it, or a higher one, to New.
// Calls do not overlap, and ceilings grow from call to call. It may wait.
type Ceiling func(ctx context.Context, ceiling Stamp) error

// Clock issues a node's stamps. Safe for concurrent use; make it with New.
type Clock struct {
	env     rt.Env
	persist Ceiling
	renew   *rt.Mutex // one persist at a time

	correction atomic.Int64 // added to the wall clock, in ns

	lock    rt.Locker
	last    Stamp // the highest stamp issued or merged
	ceiling Stamp // durable; every stamp issued is <= ceiling
}

// New returns a clock that issues stamps above stored, the ceiling that was made durable last; zero for a
// new node.
func New(env rt.Env, stored Stamp, persist Ceiling) *Clock {
	return &Clock{
		env: env, persist: persist, renew: rt.NewMutex(env),
		lock: env.NewLock(), last: stored, ceiling: stored,
	}
}

// Now issues a stamp, above all that this clock issued or merged before, and not below the wall clock.
// It waits for the store only if the ceiling is reached: in the first call after a start, after a jump of the
// wall clock, or when Renew falls behind.
//
// Errors: those of the Ceiling and of ctx; ErrExhausted. No stamp is issued then.
func (c *Clock) Now(ctx context.Context) (Stamp, error) {
	for {
		next, ok, err := c.issue()
		if ok || err != nil {
			return next, err
		}
		if err := c.raise(ctx, next, next); err != nil {
			return 0, err
		}
	}
}

// After is Now for a stamp that must also exceed head, which was accepted somewhere. If head is too far ahead
// to be heard, only this stamp is: what is issued afterwards goes on as before, since it would be refused.
// Such a stamp is not unique; rows order by (stamp, version id).
//
// Errors: those of Now; ErrExhausted if there is nothing above head.
func (c *Clock) After(ctx context.Context, head Stamp) (Stamp, error) {
	if head >= StampMax {
		return 0, fmt.Errorf("hlc: next after %v: %w; a member sent a forged stamp", head, ErrExhausted)
	}
	c.Hear(head)
	stamp, err := c.Now(ctx)
	return max(stamp, head+1), err
}

// Correct makes the clock count d on top of the wall clock: for a node that knows its wall clock to be wrong.
// Zero trusts the wall clock again. Stamps never go back, whatever it is set to.
func (c *Clock) Correct(d time.Duration) { c.correction.Store(int64(d)) }

// Wall returns the first stamp of the present millisecond, by the wall clock as corrected.
func (c *Clock) Wall() Stamp { return At(c.env.Wall().Add(time.Duration(c.correction.Load()))) }

// issue takes the next stamp if it is below the ceiling; else it returns it untaken, with ok false.
func (c *Clock) issue() (next Stamp, ok bool, err error) {
	wall := c.Wall()
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.last >= StampMax {
		return 0, false, fmt.Errorf("hlc: next after %v: %w; a member sent a forged stamp", c.last,
			ErrExhausted)
	}
	next = min(max(c.last+1, wall), StampMax)
	if c.env.Mutant("stamps of the wall clock") {
		next = wall
	}
	if next > c.ceiling {
		return next, false, nil
	}
	c.last = next
	return next, true, nil
}

// Renew moves the ceiling ahead when less than half a step is left of it. The node calls it every RenewEvery.
//
// Errors: those of the Ceiling and of ctx.
func (c *Clock) Renew(ctx context.Context) error {
	next := max(c.Last()+1, c.Wall())
	return c.raise(ctx, next, next.Add(CeilingStep/2))
}

// raise makes a ceiling one step above next durable, unless it is at least enough already.
func (c *Clock) raise(ctx context.Context, next, enough Stamp) error {
	if err := c.renew.Lock(ctx); err != nil {
		return err
	}
	defer c.renew.Unlock()
	if c.Ceiling() >= min(enough, StampMax) {
		return nil
	}
	ceiling := min(next.Add(CeilingStep), StampMax)
	if err := c.persist(ctx, ceiling); err != nil {
		return fmt.Errorf("hlc: store ceiling %v: %w", ceiling, err)
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	c.ceiling = ceiling
	return nil
}

// Merge makes every later stamp exceed s. It has no cap: it is for stamps that were accepted somewhere, as
// those of rows and of members' messages are. It never waits.
func (c *Clock) Merge(s Stamp) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.last = max(c.last, s)
}

// Hear is Merge for the stamp of a message that stands for nothing stored: it is not taken in when it is more
// than SkewMax ahead of this node's wall clock and of all that was merged before, so that one bad clock does
// not carry all others away. It never waits.
func (c *Clock) Hear(s Stamp) {
	c.lock.Lock()
	near := s <= c.last.Add(SkewMax)
	c.lock.Unlock()
	if near || s <= c.Wall().Add(SkewMax) {
		c.Merge(s)
	}
}

// Last returns the highest stamp issued or merged.
func (c *Clock) Last() Stamp {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.last
}

// Ceiling returns the durable ceiling.
func (c *Clock) Ceiling() Stamp {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.ceiling
}
