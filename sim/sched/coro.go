package sched

import (
	"iter"
	"runtime"
	"time"
)

// coro is a pooled coroutine. It runs one task after another and yields in between.
type coro struct {
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	task  *task
}

// task is one direct-style thread of control.
type task struct {
	id         uint64
	name       string
	env        *Env
	co         *coro
	f          func()
	ready      bool // in the ready queue
	running    bool
	done       bool
	locks      int // held
	steps      int // runtime calls since it last waited
	since      time.Duration
	prev, next *task // among the tasks of its Env
}

// taskList holds the living tasks of an Env, oldest first.
type taskList struct{ first, last *task }

func (l *taskList) add(t *task) {
	t.prev = l.last
	if l.last == nil {
		l.first = t
	} else {
		l.last.next = t
	}
	l.last = t
}

func (l *taskList) remove(t *task) {
	if t.prev == nil {
		l.first = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		l.last = t.prev
	} else {
		t.next.prev = t.prev
	}
}

func (s *Sched) spawn(e *Env, name string, f func()) {
	s.taskSeq++
	t := &task{id: s.taskSeq, name: name, env: e, f: f, since: s.now}
	e.tasks.add(t)
	s.trace.fold(s, "spawn", t.id, e.index)
	s.makeReady(t)
}

func (s *Sched) makeReady(t *task) {
	t.ready = true
	if t.env.paused {
		t.env.held = append(t.env.held, t)
		return
	}
	s.ready.push(t)
}

// resume runs t until it parks or ends.
func (s *Sched) resume(t *task) {
	if t.co == nil {
		t.co = s.coroutine()
		t.co.task = t
	}
	s.trace.fold(s, "run", uint64(s.now), t.id, t.env.index)
	t.ready, t.running, t.steps = false, true, 0
	s.cur = t
	t.co.next()
	s.cur = nil
	t.running = false
	if t.done {
		t.env.tasks.remove(t)
		t.co.task = nil
		s.idle = append(s.idle, t.co)
	}
}

func (s *Sched) coroutine() *coro {
	if n := len(s.idle); n > 0 {
		c := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return c
	}
	c := &coro{}
	c.next, c.stop = iter.Pull(func(yield func(struct{}) bool) {
		c.yield = yield
		for {
			s.runTask(c.task)
			if !yield(struct{}{}) {
				return
			}
		}
	})
	return c
}

func (s *Sched) runTask(t *task) {
	defer func() {
		if v := recover(); v != nil {
			t.done = true
			s.taskFailed(t, v)
		}
	}()
	t.f()
	t.done = true
}

// park gives control back to the scheduler. It returns when the task is resumed; a killed task never returns.
func (s *Sched) park(t *task) {
	t.since = s.now
	if !t.co.yield(struct{}{}) {
		runtime.Goexit()
	}
}

// kill ends t wherever it waits, running its deferred functions. The node is already dead, so they change
// nothing.
func (s *Sched) kill(t *task) {
	if t.ready {
		s.ready.drop(t)
	}
	t.env.tasks.remove(t)
	if t.co == nil {
		return
	}
	prev := s.cur
	s.cur = t
	t.co.end()
	s.cur = prev
}

// end stops the coroutine from a goroutine of its own: Goexit in a coroutine also ends the goroutine that
// stops it.
func (c *coro) end() {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.stop()
	}()
	<-ended
}

// exit ends the current task for good, running its deferred functions.
func exit() { runtime.Goexit() }

// signalChan is what context.Context.Done returns.
type signalChan = <-chan struct{}

// signal is a channel that is closed once, made only when somebody asks for it.
type signal struct{ ch chan struct{} }

func (s *signal) channel(raised bool) signalChan {
	if s.ch == nil {
		s.ch = make(chan struct{})
		if raised {
			close(s.ch)
		}
	}
	return s.ch
}

func (s *signal) raise() {
	if s.ch != nil {
		close(s.ch)
	}
}
