package rpc

import (
	"context"

	"granary/core/codec"
	"granary/core/rt"
)

// CallWide makes the calls of reqs at one peer side by side, each on a lane of its own as far as there are
// free ones, and hands every answer to take as it comes, in any order, until all are there or take has
// enough. The calls that are open then are forgotten, not cancelled: their handlers had better be about to
// end, with ErrUnanswered for example. It does not wait for lanes to be opened.
//
// Errors: the first, an *Error or that of take; ErrUnsent if there is no lane, or if a message is too long
// for one. All other calls are cancelled then.
func (m Method[Req, Resp]) CallWide(ctx context.Context, ep *Endpoint, to rt.NodeID, reqs []*Req,
	take func(i int, resp *Resp) (enough bool, err error)) error {
	start := ep.env.Now()
	w := &wideCall{ep: ep, info: m.info, waiter: ep.env.NewWaiter(), streams: make([]*stream, len(reqs))}
	err := w.open(ctx, to, func(i int) ([]byte, error) { return codec.Marshal(reqs[i]) })
	if err == nil {
		err = w.gather(ctx, func(i int, msg []byte) (bool, error) {
			resp := new(Resp)
			if err := codec.Unmarshal(msg, resp); err != nil {
				return false, &Error{Method: m.info.name, Peer: to, Kind: ErrUnknown, Cause: err}
			}
			return take(i, resp)
		})
	}
	if err != nil {
		w.abandon()
	} else {
		w.forget()
	}
	ep.tally.called(ep, m.info, start, err)
	return err
}

// wideCall is the calls of a CallWide. One task waits for them all.
type wideCall struct {
	ep      *Endpoint
	info    *methodInfo
	peer    *peer
	waiter  rt.Waiter // of every stream
	streams []*stream // by call; nil: not sent, or its answer is here
	left    int       // that are not nil
	acted   bool      // an answer has come
}

// open sends every call; msg encodes one.
func (w *wideCall) open(ctx context.Context, to rt.NodeID, msg func(i int) ([]byte, error)) error {
	var lanes []*conn
	if w.peer, lanes = w.ep.freest(to); len(lanes) == 0 {
		return w.failed(errNoLane)
	}
	for i := range w.streams {
		m, err := msg(i)
		if err == nil && len(m) > laneMessageMax {
			err = ErrTooLarge
		}
		if err != nil {
			return w.failed(err)
		}
		st := lanes[i%len(lanes)].newStream()
		st.sendW = w.waiter
		if _, err := st.c.open(ctx, st, outgoing{info: w.info, msg: m}); err != nil {
			return w.failed(err)
		}
		w.streams[i] = st
		w.left++
	}
	return nil
}

// gather takes answers until all are there or take has enough. A lane that dies fails the whole at once.
func (w *wideCall) gather(ctx context.Context, take func(i int, msg []byte) (bool, error)) error {
	for w.left > 0 {
		before := w.left
		for i, st := range w.streams {
			if st == nil {
				continue
			}
			over, err := st.outcome()
			switch {
			case err != nil:
				return w.failed(err)
			case !over:
				continue
			}
			w.streams[i], w.acted = nil, true
			w.left--
			if err := w.ep.verdict(w.info, w.peer, st); err != nil {
				return err
			}
			if enough, err := take(i, st.msg); enough || err != nil {
				return err
			}
		}
		if w.left == before {
			if err := w.waiter.Park(ctx); err != nil {
				return w.failed(err)
			}
		}
	}
	return nil
}

// outcome reports whether the answer's message is complete, or why it will never be.
func (st *stream) outcome() (answered bool, err error) {
	st.c.lock.Lock()
	defer st.c.lock.Unlock()
	if st.answered {
		return true, nil
	}
	return false, st.noRecv
}

// failed ends the calls and returns their error.
func (w *wideCall) failed(cause error) error { return w.ep.failed(w.info, w.peer, w.abandon(), cause) }

// abandon gives up the calls that have no answer, and returns what is known of all of them together.
func (w *wideCall) abandon() (kind error) {
	kind = ErrUnsent
	if w.acted {
		kind = ErrUnknown
	}
	for i, st := range w.streams {
		if st != nil {
			if st.c.abandon(st) == ErrUnknown {
				kind = ErrUnknown
			}
			w.streams[i] = nil
		}
	}
	w.left = 0
	return kind
}

// forget stops waiting for the calls that have no answer, without a word to the peer. An answer that comes
// after all is dropped.
func (w *wideCall) forget() {
	for i, st := range w.streams {
		if st == nil {
			continue
		}
		st.c.lock.Lock()
		done := st.c.dead == nil && st.c.forget(st)
		st.c.lock.Unlock()
		st.c.settle(nil, done)
		w.streams[i] = nil
	}
	w.left = 0
}
