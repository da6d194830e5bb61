package rpctest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"granary/core/rpc"
	"granary/core/rt"
)

// text is the message of the tests, both ways.
type text struct {
	N    int    `cbor:"1,keyasint"`
	Data []byte `cbor:"2,keyasint"`
}

var (
	methodEcho    = rpc.NewMethod[text, text]("rpctest.echo", rpc.Meta)
	methodBulk    = rpc.NewMethod[text, text]("rpctest.bulk", rpc.Bulk)
	methodMissing = rpc.NewMethod[text, text]("rpctest.missing", rpc.Meta)
	methodFail    = rpc.NewMethod[text, text]("rpctest.fail", rpc.Meta)
	methodWait    = rpc.NewMethod[text, text]("rpctest.wait", rpc.Meta)
)

// errKnown is a registered error, errStranger is not.
var (
	errKnown    = rpc.RegisterError("rpctest.known", errors.New("a known error"))
	errStranger = errors.New("an error of nobody")
)

func echo(_ context.Context, _ rt.NodeID, req *text) (*text, error) { return req, nil }

func fail(_ context.Context, _ rt.NodeID, req *text) (*text, error) {
	switch req.N {
	case 0:
		return nil, nil
	case 1:
		return nil, fmt.Errorf("row 7: %w", errKnown)
	case 2:
		return nil, errStranger
	case 3:
		panic("the handler's own fault")
	}
	return &text{Data: make([]byte, rpc.MessageMax)}, nil
}

func callEcho(e *env) {
	from := rt.NewFuture[rt.NodeID](e.rt())
	p := e.pair(func(p *pair) {
		rpc.Handle(p.b, methodEcho, func(ctx context.Context, id rt.NodeID, req *text) (*text, error) {
			from.Set(id, nil)
			return echo(ctx, id, req)
		})
	}, nil)
	resp, err := methodEcho.Call(e.ctx(), p.a, p.idb, &text{N: 5, Data: []byte("granary")})
	if err != nil || resp.N != 5 || string(resp.Data) != "granary" {
		e.Errorf("Call = %+v, %v", resp, err)
	}
	if id, err := from.Get(e.ctx()); err != nil || id != p.ida {
		e.Errorf("the handler saw %v, want %v", id, p.ida)
	}
	if !p.a.Connected(p.idb) || p.b.Connected(p.ida) {
		e.Errorf("connected: %t and %t, want true and false", p.a.Connected(p.idb), p.b.Connected(p.ida))
	}
	e.close(p)
}

func callMany(e *env) {
	p := e.pair(func(p *pair) {
		for _, ep := range []*rpc.Endpoint{p.a, p.b} {
			rpc.Handle(ep, methodEcho, echo)
			rpc.Handle(ep, methodBulk, echo)
		}
	}, nil)
	var fs []func()
	for i := range 120 {
		fs = append(fs, func() {
			ep, to := p.a, p.idb
			if i%2 == 1 {
				ep, to = p.b, p.ida
			}
			m := methodEcho
			if i%3 == 0 {
				m = methodBulk
			}
			data := pattern(i, i*i*i%300_000)
			if i == 60 {
				data = pattern(i, 3<<20)
			}
			resp, err := m.Call(e.ctx(), ep, to, &text{N: i, Data: data})
			if err != nil || resp.N != i || !bytes.Equal(resp.Data, data) {
				e.Errorf("call %d of %d bytes: %v", i, len(data), err)
			}
		})
	}
	e.together(fs...)
	e.close(p)
}

func callErrors(e *env) {
	p := e.pair(func(p *pair) { rpc.Handle(p.b, methodFail, fail) }, nil)
	call := func(n int) error {
		_, err := methodFail.Call(e.ctx(), p.a, p.idb, &text{N: n})
		return err
	}
	want := func(what string, err error, is ...error) {
		for _, kind := range is {
			if !errors.Is(err, kind) {
				e.Errorf("%s: %v, want it to be %q", what, err, kind)
			}
		}
		if err != nil && errors.Is(err, rpc.ErrUnsent) && errors.Is(err, rpc.ErrUnknown) {
			e.Errorf("%s: both sent and not sent: %v", what, err)
		}
	}
	if err := call(0); err != nil {
		e.Errorf("a nil answer: %v", err)
	}
	want("registered", call(1), rpc.ErrRemote, errKnown)
	if err := call(2); errors.Is(err, errStranger) || !errors.Is(err, rpc.ErrRemote) {
		e.Errorf("unregistered: %v", err)
	}
	want("panic", call(3), rpc.ErrRemote, rpc.ErrInternal)
	want("answer too large", call(4), rpc.ErrRemote, rpc.ErrTooLarge)
	_, err := methodMissing.Call(e.ctx(), p.a, p.idb, &text{})
	want("missing", err, rpc.ErrUnknownMethod, rpc.ErrUnsent)
	_, err = methodEcho.Call(e.ctx(), p.a, p.idb, &text{Data: make([]byte, rpc.MessageMax)})
	want("question too large", err, rpc.ErrTooLarge, rpc.ErrUnsent)
	_, err = methodEcho.Call(e.ctx(), p.a, rt.NodeID{9}, &text{})
	want("unknown peer", err, rpc.ErrUnknownPeer, rpc.ErrUnsent)
	p.permit.Store(false)
	want("refused", call(0), rpc.ErrRefused, rpc.ErrUnsent)
	p.permit.Store(true)
	if err := call(0); err != nil {
		e.Errorf("after all that: %v", err)
	}
	ctx, cancel := e.rt().WithCancel(e.ctx())
	cancel()
	_, err = methodFail.Call(ctx, p.a, p.idb, &text{})
	want("ended context", err, rpc.ErrUnsent, context.Canceled)
	e.close(p)
	_, err = methodFail.Call(e.ctx(), p.a, p.idb, &text{})
	want("closed endpoint", err, rpc.ErrUnsent, rpc.ErrClosed)
}

func callSelf(e *env) {
	for _, encode := range []bool{false, true} {
		w := e.w.Nodes[0]
		cfg := rpc.DefaultConfig()
		cfg.Clock, cfg.EncodeSelf = &clock{}, encode
		ep := rpc.New(w.Env, w.Transport, cfg)
		rpc.Handle(ep, methodFail, fail)
		rpc.HandleBody(ep, methodBulk,
			func(_ context.Context, _ rt.NodeID, req *text, r io.Reader) (*text, rpc.Body, error) {
				all, err := io.ReadAll(r)
				return req, rpc.Bytes(all), err
			})
		req := &text{N: 3}
		if _, err := methodFail.Call(e.ctx(), ep, ep.Self(), req); !errors.Is(err, rpc.ErrInternal) {
			e.Errorf("encode %t: panic: %v", encode, err)
		}
		if _, err := methodFail.Call(e.ctx(), ep, ep.Self(), &text{N: 1}); !errors.Is(err, errKnown) {
			e.Errorf("encode %t: error: %v", encode, err)
		}
		if _, err := methodMissing.Call(e.ctx(), ep, ep.Self(), req); !errors.Is(err, rpc.ErrUnknownMethod) {
			e.Errorf("encode %t: missing: %v", encode, err)
		}
		resp, r, err := methodBulk.CallBody(e.ctx(), ep, ep.Self(), req, rpc.Bytes(pattern(1, 1000)))
		if err != nil {
			e.Errorf("encode %t: %v", encode, err)
			return
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || !bytes.Equal(got, pattern(1, 1000)) {
			e.Errorf("encode %t: body of %d bytes, %v", encode, len(got), err)
		}
		if (resp == req) == encode {
			e.Errorf("encode %t: the handler's message is shared: %t", encode, resp == req)
		}
		if rtt, ok := ep.RTT(ep.Self()); !ok || rtt.Mean != 0 {
			e.Errorf("round trip to itself: %v, %t", rtt, ok)
		}
	}
}

func callEnvelope(e *env) {
	p := e.pair(func(p *pair) { rpc.Handle(p.b, methodEcho, echo) }, nil)
	p.clocks[0].last.Store(5000)
	if _, err := methodEcho.Call(e.ctx(), p.a, p.idb, &text{}); err != nil {
		e.Errorf("Call: %v", err)
	}
	if got := p.clocks[1].Last(); got != 5000 {
		e.Errorf("the callee's clock is at %d, want 5000", got)
	}
	p.clocks[1].last.Store(9000)
	if _, err := methodEcho.Call(e.ctx(), p.a, p.idb, &text{}); err != nil {
		e.Errorf("Call: %v", err)
	}
	if got := p.clocks[0].Last(); got != 9000 {
		e.Errorf("the caller's clock is at %d, want 9000", got)
	}
	if level, ok := p.a.Feature(p.idb); level != 11 || !ok {
		e.Errorf("feature level of the peer: %d, %t, want 11", level, ok)
	}
	if a, b := p.seen[0].Load(), p.seen[1].Load(); a != 8 || b != 7 {
		e.Errorf("layouts seen: %d and %d, want 8 and 7", a, b)
	}
	e.close(p)
}

func callOverload(e *env) {
	gate := rt.NewFuture[int](e.rt())
	entered := rt.NewQueue[int](e.rt(), 10)
	p := e.pair(func(p *pair) {
		rpc.Handle(p.b, methodEcho, echo)
		rpc.Handle(p.b, methodWait, func(ctx context.Context, _ rt.NodeID, req *text) (*text, error) {
			entered.TryPut(req.N)
			_, err := gate.Get(ctx)
			return req, err
		})
	}, func(c *rpc.Config) { c.RequestsMax = 3 })
	wait := func() {
		if _, err := methodWait.Call(e.ctx(), p.a, p.idb, &text{}); err != nil {
			e.Errorf("a waiting call: %v", err)
		}
	}
	e.together(wait, wait, wait, func() {
		for range 3 {
			entered.Get(e.ctx())
		}
		_, err := methodEcho.Call(e.ctx(), p.a, p.idb, &text{Data: pattern(1, 100_000)})
		if !errors.Is(err, rpc.ErrOverloaded) || !errors.Is(err, rpc.ErrUnsent) {
			e.Errorf("a fourth request: %v, want ErrOverloaded", err)
		}
		gate.Set(1, nil)
	})
	if _, err := methodEcho.Call(e.ctx(), p.a, p.idb, &text{}); err != nil {
		e.Errorf("afterwards: %v", err)
	}
	e.close(p)
}

// waiting is a pair whose node 1 waits in methodWait until its context ends, and then says why.
func (e *env) waiting() (p *pair, entered *rt.Future[time.Duration], left *rt.Future[error]) {
	entered, left = rt.NewFuture[time.Duration](e.rt()), rt.NewFuture[error](e.rt())
	b := e.w.Nodes[1].Env
	p = e.pair(func(p *pair) {
		rpc.Handle(p.b, methodEcho, echo)
		rpc.Handle(p.b, methodWait, func(ctx context.Context, _ rt.NodeID, _ *text) (*text, error) {
			d, _ := b.Remaining(ctx)
			entered.Set(d, nil)
			err := b.NewWaiter().Park(ctx)
			left.Set(err, nil)
			return nil, err
		})
	}, nil)
	return p, entered, left
}

func callDeadline(e *env) {
	p, entered, left := e.waiting()
	const limit = 400 * time.Millisecond
	if _, err := methodEcho.Call(e.ctx(), p.a, p.idb, &text{}); err != nil {
		e.Errorf("echo: %v", err)
	}
	ctx, cancel := e.rt().WithTimeout(e.ctx(), limit)
	defer cancel()
	_, err := methodWait.Call(ctx, p.a, p.idb, &text{})
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, rpc.ErrUnsent) {
		e.Errorf("Call = %v, want it sent, and its deadline exceeded", err)
	}
	if d, err := entered.Get(e.ctx()); err != nil || d <= 0 || d > limit {
		e.Errorf("the handler had %v left, want at most %v", d, limit)
	}
	if why, _ := left.Get(e.ctx()); why == nil {
		e.Errorf("the handler's context did not end")
	}
	e.close(p)
}

func callCancel(e *env) {
	p, entered, left := e.waiting()
	ctx, cancel := e.rt().WithCancel(e.ctx())
	e.together(
		func() {
			_, err := methodWait.Call(ctx, p.a, p.idb, &text{})
			if !errors.Is(err, rpc.ErrUnknown) || !errors.Is(err, context.Canceled) {
				e.Errorf("Call = %v, want ErrUnknown and Canceled", err)
			}
		},
		func() {
			entered.Get(e.ctx())
			cancel()
		},
	)
	if why, _ := left.Get(e.ctx()); !errors.Is(why, context.Canceled) {
		e.Errorf("the handler's context: %v, want Canceled", why)
	}
	if _, err := methodEcho.Call(e.ctx(), p.a, p.idb, &text{}); err != nil {
		e.Errorf("the connection after it: %v", err)
	}
	e.close(p)
}
