package quorum

import (
	"context"
	"errors"
	"time"

	"granary/core/rt"
)

// Limits of work that outlives its request.
const (
	// BackgroundMax is how many calls may go on after their writes were acknowledged; beyond that they are
	// cancelled and left to anti-entropy.
	BackgroundMax = 4096
	// BackgroundBytesMax bounds the bytes those calls carry.
	BackgroundBytesMax = 64 << 20
)

// ErrAllAnswered is returned by Round.Next when no call is outstanding.
var ErrAllAnswered = errors.New("quorum: every replica has answered")

// Engine runs rounds for one node.
type Engine struct {
	env   rt.Env
	lock  rt.Locker
	calls int
	bytes int64
	group *rt.Group
}

// New returns the engine of a node; its calls run in group.
func New(env rt.Env, group *rt.Group) *Engine {
	return &Engine{env: env, lock: env.NewLock(), group: group}
}

// InTime reports whether ctx's deadline is still to come: what changes something is acknowledged before it,
// or not at all, be the answers there or not. A replica whose store was lost waits for the longest deadline
// before it takes over what others have, so that what counted its lost answer is among them.
func InTime(env rt.Env, ctx context.Context) bool {
	left, ok := env.Remaining(ctx)
	return ctx.Err() == nil && (!ok || left > 0)
}

// Missed counts an operation, "read", "write" or "list", that failed because too few replicas answered.
func (e *Engine) Missed(op string) { e.env.Count("quorum_failures_total", 1, "op", op) }

// Background is the number of calls that go on after their writes were acknowledged.
func (e *Engine) Background() int {
	e.lock.Lock()
	defer e.lock.Unlock()
	return e.calls
}

// Reply is one replica's reply in a Round.
type Reply[R any] struct {
	Node  rt.NodeID
	Value R
	Err   error
}

// Round is one broadcast. It belongs to one task; Close or Detach ends it.
type Round[R any] struct {
	engine  *Engine
	ctx     context.Context
	cancel  context.CancelFunc
	call    func(context.Context, rt.NodeID) (R, error)
	nodes   []rt.NodeID
	started int
	taken   int
	replies *rt.Queue[Reply[R]]
	state   *roundState
}

// roundState is shared with the calls.
type roundState struct {
	lock     rt.Locker
	running  int
	detached bool
	bytes    int64 // per call, once detached
}

// Start begins a round over nodes, which are asked in that order: the first few at once (all if first is 0 or
// more than there are), the others by More. Calls run under ctx until Close; pass a context of the node's for
// calls that shall outlive the request.
func Start[R any](ctx context.Context, e *Engine, nodes []rt.NodeID, first int,
	call func(context.Context, rt.NodeID) (R, error)) *Round[R] {
	r := &Round[R]{engine: e, call: call, nodes: nodes,
		replies: rt.NewQueue[Reply[R]](e.env, max(len(nodes), 1)),
		state:   &roundState{lock: e.env.NewLock()}}
	r.ctx, r.cancel = e.env.WithCancel(ctx)
	if first <= 0 {
		first = len(nodes)
	}
	for r.started < min(first, len(nodes)) {
		r.More()
	}
	return r
}

// More asks the next node that was not asked yet, and reports whether there was one.
func (r *Round[R]) More() bool {
	if r.started == len(r.nodes) {
		return false
	}
	node := r.nodes[r.started]
	r.started++
	s := r.state
	s.lock.Lock()
	s.running++
	s.lock.Unlock()
	r.engine.group.Go("quorum call", func(context.Context) error {
		var v R
		err := rt.Guard(r.engine.env, "quorum call", func() (err error) {
			v, err = r.call(r.ctx, node)
			return err
		})
		r.replies.TryPut(Reply[R]{Node: node, Value: v, Err: err})
		r.finish()
		return nil
	})
	return true
}

func (r *Round[R]) finish() {
	s := r.state
	s.lock.Lock()
	s.running--
	last, detached, bytes := s.running == 0, s.detached, s.bytes
	s.lock.Unlock()
	if detached {
		r.engine.release(1, bytes)
		if last {
			r.cancel()
		}
	}
}

// Outstanding is the number of calls whose replies were not taken yet.
func (r *Round[R]) Outstanding() int { return r.started - r.taken }

// Left is the number of replies that may still come: from nodes whose replies were not taken, or that were
// not asked.
func (r *Round[R]) Left() int { return len(r.nodes) - r.taken }

// Next returns the next reply in order of arrival. wait bounds the wait (0: none but ctx): it returns
// rt.ErrTimeout when it is over, ErrAllAnswered when no call is outstanding, and ctx's error.
func (r *Round[R]) Next(ctx context.Context, wait time.Duration) (reply Reply[R], err error) {
	if r.Outstanding() == 0 {
		return reply, ErrAllAnswered
	}
	if wait > 0 {
		reply, err = r.replies.GetFor(ctx, wait)
	} else {
		reply, err = r.replies.Get(ctx)
	}
	if err == nil {
		r.taken++
	}
	return reply, err
}

// NextOf is Next for a round in which not all nodes were asked: it asks another when nothing is outstanding,
// and whenever nothing came for patience.
func (r *Round[R]) NextOf(ctx context.Context, patience time.Duration) (Reply[R], error) {
	if r.Outstanding() == 0 {
		r.More()
	}
	for {
		if r.started == len(r.nodes) {
			patience = 0
		}
		reply, err := r.Next(ctx, patience)
		if !errors.Is(err, rt.ErrTimeout) {
			return reply, err
		}
		r.More()
	}
}

// Close cancels what is outstanding.
func (r *Round[R]) Close() { r.cancel() }

// Drain gives the values of replies that were not taken, and of calls that still end well, to f; the calls
// should have been cancelled. It returns at once.
func (r *Round[R]) Drain(f func(R)) {
	if r.Outstanding() == 0 {
		return
	}
	r.engine.group.Go("quorum drain", func(context.Context) error {
		for r.Outstanding() > 0 {
			reply, err := r.Next(rt.Forever, 0)
			if err != nil {
				return err
			}
			if reply.Err == nil {
				f(reply.Value)
			}
		}
		return nil
	})
}

// Detach lets the outstanding calls go on in the background, each carrying about bytes, unless that would
// exceed the engine's limits; then they are cancelled.
func (r *Round[R]) Detach(bytes int64) {
	s := r.state
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.running == 0 || !r.engine.reserve(s.running, int64(s.running)*bytes) {
		r.cancel()
		return
	}
	s.detached, s.bytes = true, bytes
}

func (e *Engine) reserve(calls int, bytes int64) bool {
	e.lock.Lock()
	defer e.lock.Unlock()
	if e.calls+calls > BackgroundMax || e.bytes+bytes > BackgroundBytesMax {
		e.env.Count("quorum_background_dropped_total", float64(calls))
		return false
	}
	e.calls += calls
	e.bytes += bytes
	return true
}

func (e *Engine) release(calls int, bytes int64) {
	e.lock.Lock()
	defer e.lock.Unlock()
	e.calls -= calls
	e.bytes -= bytes
}
