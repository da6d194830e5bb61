package rt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// Group owns tasks: those of a request, joined before it returns, or those of a node. The zero value is not
// usable.
type Group struct {
	env    Env
	ctx    context.Context
	cancel context.CancelFunc
	lock   Locker
	live   int
	err    error
	wait   waitList
}

// NewGroup returns an empty group whose tasks' context is a child of ctx.
func NewGroup(env Env, ctx context.Context) *Group {
	g := &Group{env: env, lock: env.NewLock()}
	g.ctx, g.cancel = env.WithCancel(ctx)
	return g
}

// Go starts f as a task. A panic in f counts as its error, a PanicError; a Broken panic stops the node.
// The name appears in logs and traces.
func (g *Group) Go(name string, f func(ctx context.Context) error) {
	g.lock.Lock()
	g.live++
	g.lock.Unlock()
	g.env.Spawn(name, func() {
		finished := false
		var err error
		defer func() {
			if !finished {
				return // killed with its node, or Broken: nobody is left to be told
			}
			g.done(err)
		}()
		err = Guard(g.env, name, func() error { return f(g.ctx) })
		finished = true
	})
}

// The pauses before a worker runs again after a panic.
const (
	keepMin = 100 * time.Millisecond
	keepMax = time.Minute
)

// Keep starts f as a task, for work that goes on as long as the node. After a panic, which is logged and
// counted as with Go, f runs again, after a pause that doubles with every one, from keepMin up to keepMax. A
// Broken panic stops the node.
func (g *Group) Keep(name string, f func(ctx context.Context) error) {
	g.Go(name, func(ctx context.Context) error {
		for pause := keepMin; ; pause = min(2*pause, keepMax) {
			err := Guard(g.env, name, func() error { return f(ctx) })
			var panicked *PanicError
			if !errors.As(err, &panicked) {
				return err
			}
			if err := g.env.Sleep(ctx, pause); err != nil {
				return err
			}
			g.env.Count("worker_restarts_total", 1, "task", name)
		}
	})
}

func (g *Group) done(err error) {
	g.lock.Lock()
	defer g.lock.Unlock()
	g.live--
	if err != nil && g.err == nil {
		g.err = err
	}
	if g.live == 0 {
		g.wait.wakeAll()
	}
}

// Wait joins all tasks, those started meanwhile too, and returns the first error any of them returned.
// Only then does it end the group's context, so no task may be added afterwards.
func (g *Group) Wait() error {
	for {
		g.lock.Lock()
		if g.live == 0 {
			err := g.err
			g.lock.Unlock()
			g.cancel()
			return err
		}
		node := g.wait.push(g.env, 0)
		g.lock.Unlock()
		if err := g.wait.await(Forever, g.lock, node, func() {}); err != nil {
			return err
		}
	}
}

// Each calls f for 0 to n-1, by so many tasks at once, which take what comes next as they become free, and
// returns when all calls have ended. One that fails stops no other.
//
// Errors: f's for the lowest number; that of a panic.
func Each(ctx context.Context, env Env, name string, tasks, n int,
	f func(ctx context.Context, i int) error) error {
	errs, lock, next := make([]error, n), env.NewLock(), 0
	take := func() (i int) {
		lock.Lock()
		defer lock.Unlock()
		i, next = next, next+1
		return i
	}
	g := NewGroup(env, ctx)
	for range min(tasks, n) {
		g.Go(name, func(ctx context.Context) error {
			for i := take(); i < n; i = take() {
				errs[i] = f(ctx, i)
			}
			return nil
		})
	}
	return cmp.Or(g.Wait(), cmp.Or(errs...))
}

// Cancel ends the context of the tasks.
func (g *Group) Cancel() { g.cancel() }

// Live is the number of tasks that have not ended.
func (g *Group) Live() int {
	g.lock.Lock()
	defer g.lock.Unlock()
	return g.live
}

// PanicError is a recovered panic.
type PanicError struct {
	Task  string
	Value any
	Stack []byte
}

func (p *PanicError) Error() string { return fmt.Sprintf("panic in %s: %v", p.Task, p.Value) }

// Guard calls f and turns a panic in it into a PanicError, logged and counted. A Broken panic is passed on:
// the node must stop.
func Guard(env Env, name string, f func() error) (err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if b, ok := v.(Broken); ok {
			panic(b)
		}
		p := &PanicError{Task: name, Value: v, Stack: debug.Stack()}
		env.Count("panics_total", 1, "task", name)
		env.Error("panic", "task", name, "value", fmt.Sprint(v), "stack", string(p.Stack))
		err = p
	}()
	return f()
}
