package sched

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"granary/core/rt"
)

// Options shape a run. The zero value is a plain run: tasks in order of readiness, no yields, no Buggify.
type Options struct {
	Seed uint64
	// Shuffle draws the next task among the ready ones instead of taking the oldest.
	Shuffle bool
	// YieldPerMille is the probability, in thousandths, that an Unlock or a look at a clock yields.
	YieldPerMille int
	// Buggify turns env.Buggify on; each site is then enabled for about a quarter of the seeds.
	Buggify bool
	// Mutants are the names for which env.Mutant is true.
	Mutants []string
	// StepsMax is how many runtime calls a task may make without waiting; 0 means 10 million.
	StepsMax int
	// CPU is what computing costs on every node; zero means nothing.
	CPU CPU
	// Epoch is the wall time at virtual time 0; zero means 2026-01-01 00:00 UTC.
	Epoch time.Time
	// Log receives every log line if not nil.
	Log func(Line)
	// Window, if not empty, records the events numbered [Window[0], Window[1]) in full; see Sched.Events.
	Window [2]uint64
}

// Sched runs tasks in virtual time.
type Sched struct {
	opts      Options
	now       time.Duration
	timers    timerHeap
	timerSeq  uint64
	ready     readyQueue
	cur       *task
	outside   task // stands for the scheduler itself as holder of a lock
	taskSeq   uint64
	idle      []*coro
	envs      []*Env
	lives     map[string]int // incarnations so far, by name
	order     *rand.Rand
	yields    *rand.Rand
	trace     trace
	failure   error
	stopped   bool
	sometimes map[string]int
	sites     map[string]bool
	mutants   []string
	counters  map[string]float64
}

// New returns a scheduler at virtual time 0.
func New(opts Options) *Sched {
	if opts.StepsMax == 0 {
		opts.StepsMax = 10_000_000
	}
	if opts.Epoch.IsZero() {
		opts.Epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	s := &Sched{opts: opts, mutants: opts.Mutants, lives: map[string]int{},
		sometimes: map[string]int{}, sites: map[string]bool{},
		counters: map[string]float64{}}
	s.order = s.stream("sched/order")
	s.yields = s.stream("sched/yield")
	s.trace = trace{window: opts.Window}
	return s
}

// Now is the virtual time since the start of the run.
func (s *Sched) Now() time.Duration { return s.now }

// Seed is the run's seed.
func (s *Sched) Seed() uint64 { return s.opts.Seed }

// Rand returns a random stream of the run that belongs to no node.
func (s *Sched) Rand(name string) *rand.Rand { return s.stream("run/" + name) }

// stream derives an independent generator from the seed and a name.
func (s *Sched) stream(name string) *rand.Rand {
	h := mix(mix(14695981039346656037, s.opts.Seed), uint64(len(name)))
	for i := range len(name) {
		h = mix(h, uint64(name[i]))
	}
	return rand.New(rand.NewPCG(h, mix(h, 0x9e3779b97f4a7c15)))
}

// ErrStalled is returned by RunUntil when no task can ever run again although the condition does not hold.
var ErrStalled = errors.New("sched: every task waits and no timer is set")

// Run advances virtual time by d, running everything that falls due. It returns the first failure of the run:
// a panic in a task, a violated Always, or what Fail was given.
func (s *Sched) Run(d time.Duration) error {
	end := s.now + d
	for s.step(end) {
	}
	if s.failure == nil {
		s.now = max(s.now, end)
	}
	return s.failure
}

// RunUntil runs until done is true, checked between tasks. It fails with ErrStalled, listing what every task
// waits for, when nothing is left to run, and after limit of virtual time.
func (s *Sched) RunUntil(limit time.Duration, done func() bool) error {
	end := s.now + limit
	for !done() {
		if s.step(end) {
			continue
		}
		if s.failure != nil {
			return s.failure
		}
		if len(s.timers) == 0 {
			return fmt.Errorf("%w at %v\n%s", ErrStalled, s.now, s.Waiting())
		}
		return fmt.Errorf("sched: not done after %v of virtual time\n%s", limit, s.Waiting())
	}
	return s.failure
}

// step runs one ready task or fires one timer due by end. It reports whether there was anything to do.
func (s *Sched) step(end time.Duration) bool {
	if s.failure != nil || s.stopped {
		return false
	}
	if t := s.nextReady(); t != nil {
		s.resume(t)
		return true
	}
	if len(s.timers) == 0 || s.timers[0].at > end {
		return false
	}
	t := s.timers.pop()
	s.now = max(s.now, t.at)
	s.trace.fold(s, "timer", uint64(s.now), t.seq)
	t.fire()
	return true
}

func (s *Sched) nextReady() *task {
	n := s.ready.len()
	if n == 0 {
		return nil
	}
	if s.opts.Shuffle && n > 1 {
		return s.ready.take(s.order.IntN(n))
	}
	return s.ready.take(0)
}

// Fail ends the run with err; the first failure wins.
func (s *Sched) Fail(err error) {
	if s.failure == nil && err != nil {
		s.failure = fmt.Errorf("at %v: %w", s.now, err)
	}
}

// Failure is what ended the run, nil if nothing has.
func (s *Sched) Failure() error { return s.failure }

// Stop kills every node and frees all coroutines. The Sched cannot run again.
func (s *Sched) Stop() {
	for _, e := range s.envs {
		e.Kill()
	}
	s.stopped = true
	for _, c := range s.idle {
		c.end()
	}
	s.idle = nil
}

// Timer is a callback at a virtual time.
type Timer struct {
	s     *Sched
	at    time.Duration
	seq   uint64
	index int
	fire  func()
}

// After calls f at now+d between tasks; f must not wait. Stop prevents it.
func (s *Sched) After(d time.Duration, f func()) *Timer {
	t := &Timer{fire: f}
	s.arm(t, d)
	return t
}

func (s *Sched) arm(t *Timer, d time.Duration) {
	s.timerSeq++
	t.s, t.at, t.seq = s, s.now+max(d, 0), s.timerSeq
	s.timers.push(t)
}

// Stop removes the timer and reports whether it was still to fire.
func (t *Timer) Stop() bool {
	if t.s == nil || t.index <= 0 {
		return false
	}
	t.s.timers.remove(t)
	return true
}

// Sometimes returns how often each rare state was reached, by name.
func (s *Sched) Sometimes() map[string]int { return s.sometimes }

// Counter returns the sum of what all nodes counted under name, all labels together.
func (s *Sched) Counter(name string) float64 { return s.counters[name] }

// Waiting lists, one line each, every task that is parked and the place in the code where it waits.
func (s *Sched) Waiting() string {
	var b strings.Builder
	for _, e := range s.envs {
		for t := e.tasks.first; t != nil; t = t.next {
			state := "parked"
			if t.ready {
				state = "ready"
			}
			fmt.Fprintf(&b, "  %s/%s#%d %s since %v\n", e.name, t.name, t.id, state, t.since)
		}
	}
	return b.String()
}

// Hash is the trace hash so far.
func (s *Sched) Hash() uint64 { return s.trace.hash }

// Fold adds an event to the trace hash: a constant name and what happened.
func (s *Sched) Fold(kind string, values ...uint64) { s.trace.fold(s, kind, values...) }

// EventCount is the number of events folded so far.
func (s *Sched) EventCount() uint64 { return s.trace.count }

// Checkpoints are the hashes after every 1,024 events.
func (s *Sched) Checkpoints() []uint64 { return s.trace.checkpoints }

// Events are the events recorded in Options.Window.
func (s *Sched) Events() []string { return s.trace.events }

func (s *Sched) taskFailed(t *task, v any) {
	stack := string(debug.Stack())
	if err, ok := v.(error); ok {
		s.Fail(fmt.Errorf("task %s/%s: %w\n%s", t.env.name, t.name, err, stack))
		return
	}
	s.Fail(fmt.Errorf("task %s/%s panicked: %v\n%s", t.env.name, t.name, v, stack))
}

func (s *Sched) mutant(name string) bool { return slices.Contains(s.mutants, name) }

var _ rt.Env = (*Env)(nil)
