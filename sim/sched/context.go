package sched

import (
	"context"
	"time"
)

type ctxKey struct{}

// simCtx is a context whose end is an event in virtual time. Children and waiting tasks hang on it in
// intrusive lists, in order of creation, and end in that order.
type simCtx struct {
	context.Context // parent, for values
	env             *Env
	up              *simCtx // nearest simCtx above, nil for a root
	err             error
	done            signal        // for libraries
	deadline        time.Duration // of the run
	limited         bool
	timer           Timer
	firstChild      *simCtx
	lastChild       *simCtx
	prev, next      *simCtx // siblings
	firstWaiter     *waiter
	lastWaiter      *waiter
}

// Value finds the nearest simCtx by its private key, and other values in the parents.
func (c *simCtx) Value(key any) any {
	if key == (ctxKey{}) {
		return c
	}
	if c.Context == nil {
		return nil
	}
	return c.Context.Value(key)
}

// Deadline reports the deadline as an instant of the run's epoch.
func (c *simCtx) Deadline() (time.Time, bool) {
	if !c.limited {
		return time.Time{}, false
	}
	return c.env.s.opts.Epoch.Add(c.deadline), true
}

// Err is nil while the context lives.
func (c *simCtx) Err() error { return c.err }

// Done returns a channel for libraries that select on it; no core code does.
func (c *simCtx) Done() signalChan { return c.done.channel(c.err != nil) }

// find returns the simCtx that governs ctx, nil if none does.
func find(ctx context.Context) *simCtx {
	if ctx == nil {
		return nil
	}
	c, _ := ctx.Value(ctxKey{}).(*simCtx)
	return c
}

func (e *Env) newCtx(parent context.Context) *simCtx {
	c := &simCtx{Context: parent, env: e, up: find(parent)}
	up := c.up
	if up == nil {
		return c
	}
	if up.err != nil {
		c.err = up.err
		return c
	}
	c.deadline, c.limited = up.deadline, up.limited
	c.prev = up.lastChild
	if up.lastChild == nil {
		up.firstChild = c
	} else {
		up.lastChild.next = c
	}
	up.lastChild = c
	return c
}

// finish ends c and everything below it.
func (c *simCtx) finish(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	c.timer.Stop()
	c.done.raise()
	if up := c.up; up != nil && up.err == nil {
		c.unlink(up)
	}
	for c.firstWaiter != nil {
		c.firstWaiter.wake(err)
	}
	for child := c.firstChild; child != nil; child = child.next {
		child.finish(err)
	}
	c.firstChild, c.lastChild = nil, nil
}

func (c *simCtx) unlink(up *simCtx) {
	if c.prev == nil {
		up.firstChild = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		up.lastChild = c.prev
	} else {
		c.next.prev = c.prev
	}
}
