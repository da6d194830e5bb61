package tcp

import (
	"bytes"
	"context"
	"io"
	"sync/atomic"
	"testing"

	"granary/core/hlc"
	"granary/core/rpc"
	"granary/core/rt"
)

type message struct {
	Key   []byte `cbor:"1,keyasint"`
	Value []byte `cbor:"2,keyasint"`
}

var (
	benchCall = rpc.NewMethod[message, message]("bench.call", rpc.Meta)
	benchPut  = rpc.NewMethod[message, message]("bench.put", rpc.Bulk)
	benchGet  = rpc.NewMethod[message, message]("bench.get", rpc.Bulk)
)

type stoppedClock struct{}

func (stoppedClock) Last() hlc.Stamp { return 1 }
func (stoppedClock) Merge(hlc.Stamp) {}

var block = bytes.Repeat([]byte("granary!"), 1<<17)

// benchPair returns two endpoints over loopback; the second one answers.
func benchPair(b *testing.B) (a *rpc.Endpoint, to rt.NodeID) {
	nodes := [...]byte{30, 40}
	var eps [2]*rpc.Endpoint
	for i, n := range nodes {
		nd := node(b, n)
		nd.Transport.Admit(func(rt.NodeID) bool { return true })
		cfg := rpc.DefaultConfig()
		cfg.Clock = stoppedClock{}
		eps[i] = rpc.New(nd.Env, nd.Transport, cfg)
		b.Cleanup(func() { eps[i].Close() })
	}
	to = eps[1].Self()
	addr := eps[1].Addr()
	eps[0].SetHooks(allTo(addr))
	rpc.Handle(eps[1], benchCall, echo)
	rpc.HandleBody(eps[1], benchPut,
		func(_ context.Context, _ rt.NodeID, req *message, r io.Reader) (*message, rpc.Body, error) {
			buf := free.Load()
			_, err := io.ReadFull(r, *buf)
			return req, rpc.Body{}, err
		})
	rpc.HandleBody(eps[1], benchGet,
		func(_ context.Context, _ rt.NodeID, req *message, _ io.Reader) (*message, rpc.Body, error) {
			return req, rpc.Bytes(block), nil
		})
	eps[0].Start()
	eps[1].Start()
	return eps[0], to
}

// free is a buffer that all write to: what arrives does not matter here.
var free = func() (p atomic.Pointer[[]byte]) {
	buf := make([]byte, len(block))
	p.Store(&buf)
	return
}()

func echo(_ context.Context, _ rt.NodeID, req *message) (*message, error) { return req, nil }

// allTo are hooks that route every peer to one address.
func allTo(addr string) rpc.Hooks {
	return rpc.Hooks{Route: func(rt.NodeID) (rpc.Route, bool) { return rpc.Route{Addr: addr}, true }}
}

func small() *message { return &message{Key: make([]byte, 24), Value: make([]byte, 200)} }

func BenchmarkCall(b *testing.B) {
	ep, to := benchPair(b)
	ctx := context.Background()
	if _, err := benchCall.Call(ctx, ep, to, small()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		if _, err := benchCall.Call(ctx, ep, to, small()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCallParallel(b *testing.B) {
	ep, to := benchPair(b)
	b.SetParallelism(16)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for pb.Next() {
			if _, err := benchCall.Call(ctx, ep, to, small()); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkPut1MiB(b *testing.B) { benchBody(b, benchPut, true, false) }
func BenchmarkGet1MiB(b *testing.B) { benchBody(b, benchGet, false, true) }

func benchBody(b *testing.B, m rpc.Method[message, message], send, receive bool) {
	ep, to := benchPair(b)
	ctx := context.Background()
	buf := make([]byte, len(block))
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	for b.Loop() {
		var body rpc.Body
		if send {
			body = rpc.Bytes(block)
		}
		_, r, err := m.CallBody(ctx, ep, to, small(), body)
		if err != nil {
			b.Fatal(err)
		}
		if receive {
			if _, err := io.ReadFull(r, buf); err != nil {
				b.Fatal(err)
			}
		}
		r.Close()
	}
}

// BenchmarkPipe1MiB is the transport alone, for comparison.
func BenchmarkPipe1MiB(b *testing.B) {
	near, far := node(b, 50).Transport, node(b, 60).Transport
	far.Admit(func(rt.NodeID) bool { return true })
	done := make(chan error, 1)
	go func() {
		c, err := far.Accept(context.Background())
		if err == nil {
			_, err = io.CopyBuffer(onlyWriter{io.Discard}, c, make([]byte, 64<<10))
		}
		done <- err
	}()
	c, err := near.Dial(context.Background(), rpc.Target{Addr: far.Addr(), Peer: far.Self(), Class: rpc.Bulk})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		for i := 0; i < len(block); i += 64 << 10 {
			if _, err := c.Write(block[i : i+64<<10]); err != nil {
				b.Fatal(err)
			}
		}
	}
	c.Close()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

type onlyWriter struct{ io.Writer }
