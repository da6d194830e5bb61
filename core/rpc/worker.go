package rpc

import (
	"context"
	"slices"

	"granary/core/rt"
)

// workersIdleMax bounds the tasks that an endpoint keeps for the next requests.
const workersIdleMax = 64

// workers are the tasks that serve requests. A task that has done so is kept for the next request, since
// its stack has grown to what handlers need; that is about a sixth of the cost of a small call.
type workers struct {
	lock rt.Locker
	idle []*worker // the latest one last
}

type worker struct {
	waiter rt.Waiter
	next   *stream // given to an idle worker; under the lock
}

// start gives st, whose message is complete, to a worker.
func (ep *Endpoint) start(st *stream) {
	ws := &ep.workers
	ws.lock.Lock()
	if n := len(ws.idle); n > 0 {
		w := ws.idle[n-1]
		ws.idle = ws.idle[:n-1]
		w.next = st
		ws.lock.Unlock()
		w.waiter.Unpark()
		return
	}
	ws.lock.Unlock()
	ep.group.Go("rpc.serve", func(ctx context.Context) error {
		ep.work(ctx, &worker{waiter: ep.env.NewWaiter(), next: st})
		return nil
	})
}

// work serves requests until there are enough idle workers, or the endpoint closes.
func (ep *Endpoint) work(ctx context.Context, w *worker) {
	for st := w.next; st != nil; st = ep.workers.wait(ctx, w) {
		st.c.serve(st)
	}
}

// wait returns the next request for w, or nil when there is none to wait for any more.
func (ws *workers) wait(ctx context.Context, w *worker) *stream {
	ws.lock.Lock()
	defer ws.lock.Unlock()
	if len(ws.idle) == workersIdleMax {
		return nil
	}
	w.next = nil
	ws.idle = append(ws.idle, w)
	for {
		ws.lock.Unlock()
		err := w.waiter.Park(ctx)
		ws.lock.Lock()
		switch {
		case w.next != nil:
			return w.next
		case err != nil:
			i := slices.Index(ws.idle, w)
			ws.idle = slices.Delete(ws.idle, i, i+1)
			return nil
		}
	}
}
