package rpctest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"granary/core/rpc"
	"granary/core/rt"
)

func failReconnect(e *env) {
	p, entered, left := e.waiting()
	e.together(
		func() {
			_, err := methodWait.Call(e.ctx(), p.a, p.idb, &text{})
			if !errors.Is(err, rpc.ErrUnknown) || !errors.Is(err, rpc.ErrConnLost) {
				e.Errorf("a call whose connection was closed: %v, want ErrUnknown and ErrConnLost", err)
			}
		},
		func() {
			entered.Get(e.ctx())
			p.b.Disconnect(p.ida)
		},
	)
	if why, _ := left.Get(e.ctx()); !errors.Is(why, context.Canceled) {
		e.Errorf("the handler's context: %v, want Canceled", why)
	}
	for range 3 {
		if _, err := methodEcho.Call(e.ctx(), p.a, p.idb, &text{}); err != nil {
			e.Errorf("a call after it: %v", err)
		}
		p.a.Disconnect(p.idb)
	}
	e.close(p)
}

// failRotate has connections replaced after every third call; no call may notice.
func failRotate(e *env) {
	p := e.pair(func(p *pair) {
		rpc.Handle(p.b, methodEcho, echo)
		rpc.HandleBody(p.b, methodBulk, mirror)
	}, func(c *rpc.Config) { c.CallsPerConn = 3 })
	var fs []func()
	for i := range 4 {
		fs = append(fs, func() {
			for n := range 10 {
				e.rotating(p, pattern(n, 10_000*i))
			}
		})
	}
	e.together(fs...)
	e.close(p)
}

func (e *env) rotating(p *pair, data []byte) {
	if _, err := methodEcho.Call(e.ctx(), p.a, p.idb, &text{Data: data}); err != nil {
		e.Errorf("call: %v", err)
	}
	_, r, err := methodBulk.CallBody(e.ctx(), p.a, p.idb, &text{}, rpc.Bytes(data))
	if err != nil {
		e.Errorf("body: %v", err)
		return
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
		e.Errorf("body: %d bytes, %v", len(got), err)
	}
}

func failDead(e *env) {
	p, entered, _ := e.waiting()
	e.together(
		func() {
			_, err := methodWait.Call(e.ctx(), p.a, p.idb, &text{})
			if err == nil || errors.Is(err, rpc.ErrUnsent) {
				e.Errorf("a call whose peer died: %v", err)
			}
		},
		func() {
			entered.Get(e.ctx())
			p.b.Close()
		},
	)
	p.a.Disconnect(p.idb) // it may not have noticed
	for range 3 {
		if _, err := methodEcho.Call(e.ctx(), p.a, p.idb, &text{}); !errors.Is(err, rpc.ErrUnsent) {
			e.Errorf("a call of a dead peer: %v, want ErrUnsent", err)
		}
	}
	e.close(p)
}

func failSilence(e *env) {
	p, entered, left := e.waiting()
	var failed time.Duration
	var start time.Duration
	e.together(
		func() {
			_, err := methodWait.Call(e.ctx(), p.a, p.idb, &text{})
			failed = e.rt().Now()
			if !errors.Is(err, rpc.ErrUnknown) || !errors.Is(err, rpc.ErrSilent) {
				e.Errorf("a call over a dead line: %v, want ErrUnknown and ErrSilent", err)
			}
		},
		func() {
			entered.Get(e.ctx())
			start = e.rt().Now()
			e.w.Cut(true)
		},
	)
	if d := failed - start; d < 2*time.Second || d > 4*time.Second {
		e.Errorf("silence was noticed after %v, want about 3s", d)
	}
	if why, _ := left.Get(e.ctx()); !errors.Is(why, context.Canceled) {
		e.Errorf("the handler's context: %v, want Canceled", why)
	}
	e.w.Cut(false)
	ctx, cancel := e.rt().WithTimeout(e.ctx(), time.Minute)
	defer cancel()
	if _, err := methodEcho.Call(ctx, p.a, p.idb, &text{}); err != nil {
		e.Errorf("a call after healing: %v", err)
	}
	if err := e.rt().Sleep(e.ctx(), 3*time.Second); err != nil {
		e.Errorf("Sleep: %v", err)
	}
	if rtt, ok := p.a.RTT(p.idb); !ok || rtt.Mean <= 0 || rtt.Mean > time.Second {
		e.Errorf("round trip: %v, %t", rtt, ok)
	}
	e.close(p)
}

// storm makes calls of every kind in both directions while contexts end and connections break. What
// succeeds must be right, and in the end nothing may be left in hand.
func storm(e *env) {
	p := e.pair(func(p *pair) {
		for i, ep := range []*rpc.Endpoint{p.a, p.b} {
			env := e.w.Nodes[i].Env
			rpc.Handle(ep, methodEcho, echo)
			rpc.HandleBody(ep, methodBulk, mirror)
			rpc.Handle(ep, methodWait, func(ctx context.Context, _ rt.NodeID, _ *text) (*text, error) {
				return nil, env.NewWaiter().Park(ctx)
			})
		}
	}, func(c *rpc.Config) {
		c.QueueMaxBytes, c.MetaWindowBytes, c.BulkWindowBytes = 128<<10, 10_000, 100_000
		c.BackoffMin, c.BackoffMax = time.Millisecond, 2*time.Millisecond
		c.CallsPerConn = 20
	})
	var fs []func()
	for i := range 16 {
		fs = append(fs, func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for n := range 25 {
				e.stormCall(p, r, i*100+n)
			}
		})
	}
	e.together(fs...)
	if p.done.Load() == 0 {
		e.Errorf("not one call of the storm succeeded")
	}
	e.close(p)
}

func (e *env) stormCall(p *pair, r *rand.Rand, n int) {
	ep, to := p.a, p.idb
	if r.IntN(2) == 0 {
		ep, to = p.b, p.ida
	}
	limit := []int{5_000, 80_000, 500_000}[r.IntN(3)]
	ctx, cancel := e.rt().WithTimeout(e.ctx(), time.Duration(r.IntN(limit))*time.Microsecond)
	defer cancel()
	data := pattern(n, r.IntN(1<<r.IntN(20)))
	var err error
	switch n := r.IntN(80); {
	case n == 0:
		ep.Disconnect(to)
	case n < 4:
		if _, err = methodWait.Call(ctx, ep, to, &text{}); err == nil {
			e.Errorf("a call that waits for ever succeeded")
		}
	case n < 44:
		err = e.stormBody(ctx, ep, to, r, data)
	default:
		var resp *text
		resp, err = methodEcho.Call(ctx, ep, to, &text{Data: data})
		if err == nil && !bytes.Equal(resp.Data, data) {
			e.Errorf("call %d: the answer differs", n)
		}
	}
	if err == nil {
		p.done.Add(1)
	}
	if k := (*rpc.Error)(nil); err != nil && !errors.As(err, &k) {
		e.Errorf("call %d: an error of another type: %v", n, err)
	}
}

func (e *env) stormBody(
	ctx context.Context, ep *rpc.Endpoint, to rt.NodeID, r *rand.Rand, data []byte,
) error {
	b := rpc.Bytes(data)
	if r.IntN(2) == 0 {
		b = rpc.Stream(&source{data: data})
	}
	_, body, err := methodBulk.CallBody(ctx, ep, to, &text{Data: data[:len(data)/3]}, b)
	if err != nil {
		return err
	}
	defer body.Close()
	if r.IntN(4) == 0 {
		_, _ = io.ReadFull(body, make([]byte, len(data)/2))
		return nil
	}
	got, err := io.ReadAll(body)
	if err == nil && !bytes.Equal(got, data) {
		e.Errorf("a body of %d bytes came back as %d", len(data), len(got))
	}
	return nil
}
