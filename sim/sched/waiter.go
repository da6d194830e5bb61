package sched

import (
	"context"
	"time"

	"granary/core/rt"
)

// waiter implements rt.Waiter.
type waiter struct {
	env        *Env
	token      bool
	task       *task // parked here, nil if none
	result     error
	timer      Timer
	ctx        *simCtx
	prev, next *waiter // among the waiters of ctx
}

// Park implements rt.Waiter.
func (w *waiter) Park(ctx context.Context) error { return w.park(ctx, -1) }

// ParkFor implements rt.Waiter.
func (w *waiter) ParkFor(ctx context.Context, d time.Duration) error { return w.park(ctx, max(d, 0)) }

func (w *waiter) park(ctx context.Context, d time.Duration) error {
	t := w.env.enter()
	if t.locks > 0 {
		rt.Break("task %s/%s waits while it holds a lock", t.env.name, t.name)
	}
	if w.task != nil {
		rt.Break("tasks %s and %s wait on one waiter", w.task.name, t.name)
	}
	if w.token {
		w.token = false
		return nil
	}
	c := find(ctx)
	if c != nil && c.err != nil {
		return c.err
	}
	if d == 0 {
		return rt.ErrTimeout
	}
	w.task, w.result = t, nil
	if c != nil {
		w.link(c)
	}
	if d > 0 {
		w.timer.fire = func() { w.wake(rt.ErrTimeout) }
		w.env.s.arm(&w.timer, d)
	}
	w.env.s.park(t)
	return w.result
}

// Unpark implements rt.Waiter.
func (w *waiter) Unpark() {
	if w.env.dead {
		return
	}
	w.env.enterAny()
	if w.task == nil {
		w.token = true
		return
	}
	w.wake(nil)
}

// wake makes the parked task ready with the result of its Park.
func (w *waiter) wake(err error) {
	t := w.task
	if t == nil || w.env.dead {
		if w.ctx != nil {
			w.unlink()
		}
		return
	}
	w.task, w.result = nil, err
	w.timer.Stop()
	if w.ctx != nil {
		w.unlink()
	}
	w.env.s.makeReady(t)
}

func (w *waiter) link(c *simCtx) {
	w.ctx, w.prev, w.next = c, c.lastWaiter, nil
	if c.lastWaiter == nil {
		c.firstWaiter = w
	} else {
		c.lastWaiter.next = w
	}
	c.lastWaiter = w
}

func (w *waiter) unlink() {
	c := w.ctx
	if w.prev == nil {
		c.firstWaiter = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		c.lastWaiter = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.ctx, w.prev, w.next = nil, nil, nil
}

// locker implements rt.Locker.
type locker struct {
	env    *Env
	holder *task
}

// Lock implements rt.Locker. A lock can only be found held if its holder waits, which park forbids.
func (l *locker) Lock() {
	t := l.env.enterAny()
	if l.holder != nil {
		rt.Break("lock taken twice: by %s, held by %s", nameOf(t), l.holder.name)
	}
	if t == nil {
		t = &l.env.s.outside
	}
	l.holder = t
	t.locks++
}

// Unlock implements rt.Locker. It may yield, so that what follows is not silently atomic with what went
// before.
func (l *locker) Unlock() {
	if l.env.dead && l.holder == nil {
		return
	}
	if l.holder == nil {
		rt.Break("unlock of an unlocked lock")
	}
	l.holder.locks--
	l.holder = nil
	l.env.maybeYield()
}

func nameOf(t *task) string {
	if t == nil {
		return "the scheduler"
	}
	return t.name
}
