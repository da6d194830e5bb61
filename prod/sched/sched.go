// Package sched is the production runtime: it implements [rt.Env] with goroutines, real clocks and the
// operating system's randomness, at close to no cost over writing them by hand.
package sched

import (
	"context"
	crand "crypto/rand"
	"math/rand/v2"
	"sync"
	"time"

	"granary/core/rt"
)

// Options say where a node's log lines and measurements go. Zero fields discard.
type Options struct {
	Logger rt.Logger
	Meter  rt.Meter
	// Fatal is called once a task panics with rt.Broken. It should end the process; if it is nil, or
	// returns, the panic goes on and ends the process anyway.
	Fatal func(rt.Broken)
}

// Env implements rt.Env.
type Env struct {
	rt.Logger
	rt.Meter
	self   rt.NodeID
	start  time.Time
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	fatal  func(rt.Broken)

	mu      sync.Mutex
	streams map[string]*rand.Rand
}

var _ rt.Env = (*Env)(nil)

// New returns the runtime of a node.
func New(self rt.NodeID, opts Options) *Env {
	e := &Env{Logger: opts.Logger, Meter: opts.Meter, self: self, start: time.Now(), fatal: opts.Fatal,
		streams: map[string]*rand.Rand{}}
	if e.Logger == nil {
		e.Logger = discard{}
	}
	if e.Meter == nil {
		e.Meter = discard{}
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e
}

// Stop ends the background context and waits until every task has ended, or for d. It reports whether all
// ended.
func (e *Env) Stop(d time.Duration) bool {
	e.cancel()
	done := make(chan struct{})
	go func() {
		e.tasks.Wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(d):
		return false
	}
}

// Self implements rt.Env.
func (e *Env) Self() rt.NodeID { return e.self }

// Now implements rt.Env.
func (e *Env) Now() time.Duration { return time.Since(e.start) }

// Wall implements rt.Env.
func (e *Env) Wall() time.Time { return time.Now().UTC() }

// Rand implements rt.Env.
func (e *Env) Rand(stream string) *rand.Rand {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.streams[stream]
	if r == nil {
		var seed [32]byte
		crand.Read(seed[:])
		r = rand.New(&lockedSource{src: rand.NewChaCha8(seed)})
		e.streams[stream] = r
	}
	return r
}

// lockedSource makes a generator safe for concurrent use.
type lockedSource struct {
	mu  sync.Mutex
	src rand.Source
}

func (l *lockedSource) Uint64() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.src.Uint64()
}

// Secret implements rt.Env.
func (e *Env) Secret(n int) []byte {
	b := make([]byte, n)
	crand.Read(b)
	return b
}

// Sleep implements rt.Env.
func (e *Env) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Background implements rt.Env.
func (e *Env) Background() context.Context { return e.ctx }

// WithCancel implements rt.Env.
func (e *Env) WithCancel(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}

// WithTimeout implements rt.Env.
func (e *Env) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}

// Remaining implements rt.Env.
func (e *Env) Remaining(ctx context.Context) (time.Duration, bool) {
	end, ok := ctx.Deadline()
	if !ok {
		return 0, false
	}
	return max(time.Until(end), 0), true
}

// Charge implements rt.Env.
func (e *Env) Charge(rt.Work, int) {}

// Spawn implements rt.Env.
func (e *Env) Spawn(_ string, f func()) {
	e.tasks.Add(1)
	go func() {
		defer e.tasks.Done()
		defer e.Watch()
		f()
	}()
}

// Watch, deferred, tells Options.Fatal of a Broken panic and passes every panic on. The HTTP edge, whose
// goroutines are not tasks, uses it too.
func (e *Env) Watch() {
	v := recover()
	if v == nil {
		return
	}
	if b, ok := v.(rt.Broken); ok && e.fatal != nil {
		e.fatal(b)
	}
	panic(v)
}

// NewLock implements rt.Env.
func (e *Env) NewLock() rt.Locker { return new(sync.Mutex) }

// NewWaiter implements rt.Env.
func (e *Env) NewWaiter() rt.Waiter { return &waiter{ch: make(chan struct{}, 1)} }

// Buggify implements rt.Env.
func (e *Env) Buggify(string, float64) bool { return false }

// Sometimes implements rt.Env.
func (e *Env) Sometimes(string, bool) {}

// Always implements rt.Env.
func (e *Env) Always(cond bool, what string) {
	if !cond {
		e.Count("always_violated_total", 1, "what", what)
		e.Error("a property that must always hold was violated; please report it", "what", what)
	}
}

// Mutant implements rt.Env.
func (e *Env) Mutant(string) bool { return false }

type waiter struct{ ch chan struct{} }

func (w *waiter) Park(ctx context.Context) error {
	if ctx == nil {
		<-w.ch
		return nil
	}
	select {
	case <-w.ch:
		return nil
	default:
	}
	select {
	case <-w.ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *waiter) ParkFor(ctx context.Context, d time.Duration) error {
	select {
	case <-w.ch:
		return nil
	default:
	}
	var ended <-chan struct{}
	if ctx != nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		ended = ctx.Done()
	}
	if d <= 0 {
		return rt.ErrTimeout
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-w.ch:
		return nil
	case <-ended:
		return ctx.Err()
	case <-t.C:
		return rt.ErrTimeout
	}
}

func (w *waiter) Unpark() {
	select {
	case w.ch <- struct{}{}:
	default:
	}
}

type discard struct{}

func (discard) Debug(string, ...any)               {}
func (discard) Info(string, ...any)                {}
func (discard) Warn(string, ...any)                {}
func (discard) Error(string, ...any)               {}
func (discard) Count(string, float64, ...string)   {}
func (discard) Gauge(string, float64, ...string)   {}
func (discard) Observe(string, float64, ...string) {}
