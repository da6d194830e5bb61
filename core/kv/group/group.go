// Package group is group commit: one task that takes every queued update, runs each against the committed
// state plus the updates before it, and hands the engine the writes of all as one commit. The engines of
// package kv share it, so the order, the isolation of failing updates and the behaviour after a failed sync
// are simulated as they ship.
//
// There is no timer: while one commit is being made durable, the next group collects.
package group

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"granary/core/kv"
	"granary/core/kv/overlay"
	"granary/core/rt"
)

// Limits of one commit.
const (
	// UpdatesMax is the most updates in one commit.
	UpdatesMax = 4096
	// BytesMax is the size of a commit's writes beyond which no further update joins it.
	BytesMax = 4 << 20
)

// Engine is what differs between stores.
type Engine interface {
	// View runs f on what is committed. A non-nil error fails the store.
	View(f func(kv.Reader) error) error
	// Commit makes the writes durable, and then visible to View, all or none. ctx ends with the store's node.
	// A non-nil error fails the store.
	Commit(ctx context.Context, writes *overlay.Overlay) error
}

// Committer queues updates and commits them. Safe for concurrent use. The queue needs no bound of its own:
// each of its entries is a task that waits in Update.
type Committer struct {
	env    rt.Env
	engine Engine
	failed func(error)
	tasks  *rt.Group
	wake   rt.Waiter
	writes *overlay.Overlay // of the commit being made
	ahead  []*update        // taken from the queue, in order; the committer's own

	lock    rt.Locker
	queue   []*update
	backlog int       // updates in ahead that are not answered
	free    []*update // for reuse
	closed  bool
	err     error // sticky
	commits int64
	updates int64
}

// update is one call of Update.
type update struct {
	f     func(kv.Writer) error
	state atomic.Int32
	err   error // of f; set before answered
	done  rt.Waiter
}

// States of an update. Whoever moves it from queued owns its fate.
const (
	queued int32 = iota
	started
	answered
	abandoned
)

// New starts a committer over engine. failed, if not nil, is called once, on a task of the committer, when
// the store fails; the node must then stop.
func New(env rt.Env, engine Engine, failed func(error)) *Committer {
	c := &Committer{
		env: env, engine: engine, failed: failed,
		tasks: rt.NewGroup(env, env.Background()), wake: env.NewWaiter(), lock: env.NewLock(),
		writes: overlay.New(),
	}
	c.tasks.Go("kv commit", c.run)
	return c
}

// Update implements kv.Store.
func (c *Committer) Update(ctx context.Context, f func(kv.Writer) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	u, err := c.enqueue(f)
	if err != nil {
		return err
	}
	if err := u.done.Park(ctx); err != nil && u.state.Load() != answered {
		u.state.CompareAndSwap(queued, abandoned)
		return err
	} else if err != nil {
		return u.err // answered at the same moment
	}
	err = u.err
	c.lock.Lock()
	defer c.lock.Unlock()
	if u.f = nil; len(c.free) < UpdatesMax {
		c.free = append(c.free, u)
	}
	return err
}

func (c *Committer) enqueue(f func(kv.Writer) error) (*update, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if err := c.stopped(); err != nil {
		return nil, err
	}
	var u *update
	if n := len(c.free); n > 0 {
		u, c.free = c.free[n-1], c.free[:n-1]
		u.state.Store(queued)
		u.err = nil
	} else {
		u = &update{done: c.env.NewWaiter()}
	}
	u.f = f
	c.queue = append(c.queue, u)
	if len(c.queue) == 1 {
		c.wake.Unpark()
	}
	return u, nil
}

// Err is nil while the store works, else ErrClosed or the failure.
func (c *Committer) Err() error {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.stopped()
}

func (c *Committer) stopped() error {
	switch {
	case c.err != nil:
		return c.err
	case c.closed:
		return kv.ErrClosed
	}
	return nil
}

// Fail makes cause the sticky failure, for an engine that finds damage outside View and Commit. The first one
// counts.
func (c *Committer) Fail(cause error) {
	c.lock.Lock()
	first := c.err == nil
	if first {
		c.err = cause
		if !errors.Is(cause, kv.ErrFailed) && !errors.Is(cause, kv.ErrClosed) {
			c.err = fmt.Errorf("%w: %w", kv.ErrFailed, cause)
		}
	}
	err := c.err
	c.wake.Unpark()
	c.lock.Unlock()
	if first && errors.Is(err, kv.ErrFailed) {
		c.env.Error("store failed, the node must stop", "error", err)
		if c.failed != nil {
			c.failed(err)
		}
	}
}

// Close commits what is queued, then ends the committer. It returns the failure if there was one.
func (c *Committer) Close() error {
	c.lock.Lock()
	c.closed = true
	c.wake.Unpark()
	c.lock.Unlock()
	if err := c.tasks.Wait(); err != nil {
		return err
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	if errors.Is(c.err, kv.ErrFailed) {
		return c.err
	}
	return nil
}

// Stats fills in the counters.
func (c *Committer) Stats() kv.Stats {
	c.lock.Lock()
	defer c.lock.Unlock()
	return kv.Stats{Commits: c.commits, Updates: c.updates, Queued: len(c.queue) + c.backlog}
}
