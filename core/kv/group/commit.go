package group

import (
	"context"
	"fmt"

	"granary/core/kv"
	"granary/core/rt"
)

// run is the committer's task: it ends when the store is closed and the queue empty, when the store fails,
// and with its node.
func (c *Committer) run(ctx context.Context) error {
	for {
		more, err := c.take()
		if err != nil {
			c.answerAll(err)
			return nil
		}
		if !more {
			if c.wake.Park(ctx) != nil {
				c.Fail(fmt.Errorf("%w: the node stops", kv.ErrClosed))
			}
			continue
		}
		if err := rt.Guard(c.env, "kv commit", func() error { return c.commit(ctx) }); err != nil {
			if ctx.Err() != nil {
				err = fmt.Errorf("%w: the node stops: %w", kv.ErrClosed, err)
			}
			c.Fail(err)
		}
	}
}

// take moves the queue into ahead and reports whether there is work. It fails once nothing is to be committed
// any more.
func (c *Committer) take() (more bool, err error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.ahead = append(c.ahead, c.queue...)
	clear(c.queue)
	c.queue = c.queue[:0]
	c.backlog = len(c.ahead)
	switch {
	case c.err != nil:
		return false, c.err
	case c.backlog == 0 && c.closed:
		return false, kv.ErrClosed
	}
	return c.backlog > 0, nil
}

// commit runs updates from the head of ahead up to the limits, commits them and answers. On an error nobody
// is answered. An update's own error waits for the commit too: it may tell of writes of the same group.
func (c *Committer) commit(ctx context.Context) error {
	n := 0
	err := c.engine.View(func(base kv.Reader) error {
		c.writes.Reset(base)
		for n < min(len(c.ahead), UpdatesMax) && c.writes.Bytes() < BytesMax {
			c.apply(c.ahead[n])
			n++
		}
		return nil
	})
	if c.env.Mutant("acknowledged before it is durable") {
		for _, u := range c.ahead[:n] {
			u.answer()
		}
	}
	if err == nil && c.writes.Len() > 0 {
		err = c.engine.Commit(ctx, c.writes)
	}
	if err != nil {
		return err
	}
	c.env.Sometimes("kv: several updates in one commit", n > 1)
	if err := c.count(n); err != nil {
		return err
	}
	for _, u := range c.ahead[:n] {
		u.answer()
	}
	rest := copy(c.ahead, c.ahead[n:])
	clear(c.ahead[rest:])
	c.ahead = c.ahead[:rest]
	return nil
}

// count adds a commit of n updates, unless the store failed meanwhile.
func (c *Committer) count(n int) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.err != nil {
		return c.err
	}
	c.commits++
	c.updates += int64(n)
	c.backlog -= n
	return nil
}

// apply runs one update against the writes of those before it.
func (c *Committer) apply(u *update) {
	if !u.state.CompareAndSwap(queued, started) {
		return // its caller has gone
	}
	c.writes.Begin()
	u.err = rt.Guard(c.env, "kv update", func() error { return u.f(c.writes) })
	if u.err != nil {
		c.writes.Rollback()
	}
}

// answer wakes the caller, who may reuse u at once.
func (u *update) answer() {
	if u.state.CompareAndSwap(started, answered) {
		u.done.Unpark()
	}
}

// answerAll fails everything that waits.
func (c *Committer) answerAll(err error) {
	for _, u := range c.ahead {
		if u.state.CompareAndSwap(queued, started) || u.state.Load() == started {
			u.err = err
			u.answer()
		}
	}
	clear(c.ahead)
	c.ahead = c.ahead[:0]
	c.lock.Lock()
	defer c.lock.Unlock()
	c.backlog = 0
}
