package sched

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"granary/core/rt"
)

// Env is one incarnation of one node in the simulator: it ends with the node's crash, and a restart makes a
// new one.
type Env struct {
	s       *Sched
	id      rt.NodeID
	name    string
	index   uint64
	boot    time.Duration
	wall    time.Duration // offset of the node's wall clock from true time
	dead    bool
	paused  bool
	held    []*task // ready, but paused
	life    int     // incarnations of the name before this one
	root    *simCtx
	tasks   taskList
	cores   []time.Duration // when each will be free
	streams map[string]*rand.Rand
}

// NewEnv adds a node, or a new incarnation of one. The name appears in logs and names the random streams,
// together with the number of incarnations before: that one node restarts shifts no other's draws.
func (s *Sched) NewEnv(id rt.NodeID, name string) *Env {
	e := &Env{s: s, id: id, name: name, index: uint64(len(s.envs)), boot: s.now, life: s.lives[name],
		streams: map[string]*rand.Rand{}}
	s.lives[name]++
	e.root = &simCtx{env: e}
	s.envs = append(s.envs, e)
	return e
}

// Go starts f as a task of the node from outside: for tests and for the world, which own no Group.
func (e *Env) Go(name string, f func()) { e.Spawn(name, f) }

// Dead reports whether the node was killed.
func (e *Env) Dead() bool { return e.dead }

// Name is the name the node was given.
func (e *Env) Name() string { return e.name }

// SetWallOffset sets how far the node's wall clock is ahead of true time; it may jump either way.
func (e *Env) SetWallOffset(d time.Duration) { e.wall = d }

// Kill stops the node at once, as a power cut does: every task ends where it stands, nothing it holds is
// released to others. A task of the node itself that calls Kill does not return.
func (e *Env) Kill() {
	if e.dead {
		return
	}
	if cur := e.s.cur; cur != nil && cur.env == e && cur.running {
		e.s.After(0, e.Kill)
		for {
			e.s.park(cur)
		}
	}
	e.s.trace.fold(e.s, "kill", e.index)
	e.dead = true
	e.held = nil
	for e.tasks.first != nil {
		e.s.kill(e.tasks.first)
	}
	e.root.finish(context.Canceled)
}

// Pause stops the node where it stands, as SIGSTOP does: its tasks do not run, while timers go off, clocks go
// on and connections stay open. Not for the node's own tasks. Resume undoes it.
func (e *Env) Pause() {
	if e.dead || e.paused {
		return
	}
	e.s.trace.fold(e.s, "pause", e.index)
	e.paused = true
	e.held = e.s.ready.dropAll(e)
}

// Resume lets a paused node go on, with what became ready meanwhile.
func (e *Env) Resume() {
	if e.dead || !e.paused {
		return
	}
	e.s.trace.fold(e.s, "resume", e.index)
	e.paused = false
	for _, t := range e.held {
		e.s.ready.push(t)
	}
	e.held = nil
}

// Paused reports whether the node is paused.
func (e *Env) Paused() bool { return e.paused && !e.dead }

// enter is called first by everything a task asks for: it ends a task of a dead node and returns the current
// one.
func (e *Env) enter() *task {
	t := e.enterAny()
	if t == nil {
		rt.Break("node %s: a wait outside any task", e.name)
	}
	return t
}

// enterAny is enter for what may also be called from the scheduler, between tasks; the task is then nil.
func (e *Env) enterAny() *task {
	t := e.s.cur
	if t != nil && t.env.dead {
		exit()
	}
	if t == nil {
		return nil
	}
	if t.steps++; t.steps > e.s.opts.StepsMax {
		rt.Break("task %s/%s made %d runtime calls without waiting", t.env.name, t.name, t.steps)
	}
	return t
}

// maybeYield lets another ready task run first, now and then.
func (e *Env) maybeYield() {
	t := e.s.cur
	if e.s.opts.YieldPerMille == 0 || t == nil || t.locks > 0 || t.env.dead || !t.running ||
		e.s.ready.len() == 0 {
		return
	}
	if e.s.yields.IntN(1000) < e.s.opts.YieldPerMille {
		e.s.makeReady(t)
		e.s.park(t)
	}
}

// Self implements rt.Env.
func (e *Env) Self() rt.NodeID { return e.id }

// Now implements rt.Env.
func (e *Env) Now() time.Duration {
	e.enterAny()
	e.maybeYield()
	return e.s.now - e.boot
}

// Wall implements rt.Env.
func (e *Env) Wall() time.Time {
	e.enterAny()
	e.maybeYield()
	return e.s.opts.Epoch.Add(e.s.now + e.wall)
}

// Rand implements rt.Env.
func (e *Env) Rand(stream string) *rand.Rand {
	e.enterAny()
	e.maybeYield()
	r := e.streams[stream]
	if r == nil {
		r = e.s.stream(fmt.Sprintf("node/%s/%d/%s", e.name, e.life, stream))
		e.streams[stream] = r
	}
	return r
}

// Secret implements rt.Env.
func (e *Env) Secret(n int) []byte {
	r := e.Rand("secret")
	b := make([]byte, (n+7)/8*8)
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b[:n]
}

// Sleep implements rt.Env.
func (e *Env) Sleep(ctx context.Context, d time.Duration) error {
	w := waiter{env: e}
	if err := w.ParkFor(ctx, max(d, 1)); err != rt.ErrTimeout {
		return err
	}
	return nil
}

// Background implements rt.Env.
func (e *Env) Background() context.Context { return e.root }

// WithCancel implements rt.Env.
func (e *Env) WithCancel(ctx context.Context) (context.Context, context.CancelFunc) {
	e.enterAny()
	c := e.newCtx(ctx)
	return c, func() {
		if !e.dead {
			c.finish(context.Canceled)
		}
	}
}

// WithTimeout implements rt.Env.
func (e *Env) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	e.enterAny()
	c := e.newCtx(ctx)
	if end := e.s.now + max(d, 0); c.err == nil && (!c.limited || end < c.deadline) {
		c.deadline, c.limited = end, true
		c.timer.fire = func() { c.finish(context.DeadlineExceeded) }
		e.s.arm(&c.timer, d)
	}
	return c, func() {
		if !e.dead {
			c.finish(context.Canceled)
		}
	}
}

// Remaining implements rt.Env.
func (e *Env) Remaining(ctx context.Context) (time.Duration, bool) {
	c := find(ctx)
	if c == nil || !c.limited {
		return 0, false
	}
	return max(c.deadline-e.s.now, 0), true
}

// Charge implements rt.Env: the work waits for the processor that is free first. Outside any task it takes no
// time.
func (e *Env) Charge(w rt.Work, bytes int) {
	t := e.enterAny()
	if t == nil {
		return
	}
	if t.locks > 0 {
		rt.Break("task %s/%s computes for long while it holds a lock", t.env.name, t.name)
	}
	cpu := &e.s.opts.CPU
	d := cpu.span(w, bytes)
	if d == 0 {
		return
	}
	if e.cores == nil {
		e.cores = make([]time.Duration, max(cpu.Cores, 1))
	}
	first := 0
	for i, free := range e.cores {
		if free < e.cores[first] {
			first = i
		}
	}
	e.cores[first] = max(e.cores[first], e.s.now) + d
	wait := waiter{env: e}
	_ = wait.ParkFor(rt.Forever, e.cores[first]-e.s.now)
}

// Spawn implements rt.Env.
func (e *Env) Spawn(name string, f func()) {
	e.enterAny()
	if e.dead {
		return
	}
	e.s.spawn(e, name, f)
}

// NewLock implements rt.Env.
func (e *Env) NewLock() rt.Locker { return &locker{env: e} }

// NewWaiter implements rt.Env.
func (e *Env) NewWaiter() rt.Waiter { return &waiter{env: e} }

// Buggify implements rt.Env.
func (e *Env) Buggify(name string, p float64) bool {
	e.enterAny()
	if !e.s.opts.Buggify {
		return false
	}
	on, known := e.s.sites[name]
	if !known {
		on = e.s.stream("buggify/"+name).IntN(4) == 0
		e.s.sites[name] = on
	}
	return on && e.Rand("buggify/"+name).Float64() < p
}

// Sometimes implements rt.Env.
func (e *Env) Sometimes(name string, cond bool) {
	if cond && !e.dead {
		e.s.sometimes[name]++
	}
}

// Always implements rt.Env.
func (e *Env) Always(cond bool, what string) {
	if !cond && !e.dead {
		e.s.Fail(fmt.Errorf("node %s: always violated: %s", e.name, what))
	}
}

// Mutant implements rt.Env.
func (e *Env) Mutant(name string) bool { return e.s.mutant(name) }
