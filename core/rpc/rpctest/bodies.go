package rpctest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"

	"granary/core/rpc"
	"granary/core/rt"
)

// source gives n bytes of the pattern, counts what was taken, and may end badly.
type source struct {
	data   []byte
	at     atomic.Int64
	err    error // instead of io.EOF
	closed *rt.Future[bool]
}

func (s *source) Read(p []byte) (int, error) {
	at := s.at.Load()
	if int(at) == len(s.data) {
		if s.err != nil {
			return 0, s.err
		}
		return 0, io.EOF
	}
	n := copy(p, s.data[at:])
	s.at.Add(int64(n))
	return n, nil
}

func (s *source) Close() error {
	if s.closed != nil {
		s.closed.Set(true, nil)
	}
	return nil
}

// mirror answers with the body it got.
func mirror(_ context.Context, _ rt.NodeID, req *text, r io.Reader) (*text, rpc.Body, error) {
	all, err := io.ReadAll(r)
	return req, rpc.Bytes(all), err
}

func bodyLarge(e *env) {
	p := e.pair(func(p *pair) { rpc.HandleBody(p.b, methodBulk, mirror) }, nil)
	var fs []func()
	for i, size := range []int{0, 1, 65_527, 65_528, 1 << 20, 5_000_001} {
		for _, stream := range []bool{false, true} {
			fs = append(fs, func() {
				data := pattern(i, size)
				b := rpc.Bytes(data)
				if stream {
					b = rpc.Stream(&source{data: data})
				}
				req := &text{N: i, Data: pattern(i, 100_000)}
				resp, r, err := methodBulk.CallBody(e.ctx(), p.a, p.idb, req, b)
				if err != nil {
					e.Errorf("body of %d bytes: %v", size, err)
					return
				}
				defer r.Close()
				got, err := io.ReadAll(r)
				if err != nil || !bytes.Equal(got, data) || resp.N != i {
					e.Errorf("body of %d bytes: %d came back, %v", size, len(got), err)
				}
			})
		}
	}
	e.together(fs...)
	e.close(p)
}

func bodySlow(e *env) {
	const size = 8 << 20
	src := &source{data: pattern(1, size)}
	p := e.pair(func(p *pair) {
		rpc.Handle(p.b, methodEcho, echo)
		rpc.HandleBody(p.b, methodBulk,
			func(_ context.Context, _ rt.NodeID, req *text, _ io.Reader) (*text, rpc.Body, error) {
				if req.N == 0 {
					return req, rpc.Body{}, nil
				}
				return req, rpc.Stream(src), nil
			})
	}, func(c *rpc.Config) { c.BulkConnsMax = 1 })
	_, r, err := methodBulk.CallBody(e.ctx(), p.a, p.idb, &text{N: 1}, rpc.Body{})
	if err != nil {
		e.Errorf("CallBody: %v", err)
		return
	}
	window := int64(rpc.DefaultConfig().BulkWindowBytes)
	for i := range 30 {
		if _, err := methodBulk.Call(e.ctx(), p.a, p.idb, &text{}); err != nil {
			e.Errorf("another call on the same connection: %v", err)
		}
		if _, err := methodEcho.Call(e.ctx(), p.a, p.idb, &text{}); err != nil {
			e.Errorf("another call: %v", err)
		}
		if n := src.at.Load(); n > window {
			e.Errorf("round %d: %d bytes were sent to a reader that does not read, window %d", i, n, window)
		}
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, src.data) {
		e.Errorf("%d bytes came, %v", len(got), err)
	}
	r.Close()
	e.close(p)
}

func bodyAnsweredEarly(e *env) {
	p := e.pair(func(p *pair) {
		rpc.HandleBody(p.b, methodBulk,
			func(_ context.Context, _ rt.NodeID, req *text, r io.Reader) (*text, rpc.Body, error) {
				_, err := io.ReadFull(r, make([]byte, req.N))
				return req, rpc.Body{}, err
			})
	}, nil)
	for _, n := range []int{0, 1000, 3 << 20} {
		src := &source{data: pattern(1, 16<<20), closed: rt.NewFuture[bool](e.rt())}
		_, r, err := methodBulk.CallBody(e.ctx(), p.a, p.idb, &text{N: n}, rpc.Stream(src))
		if err != nil {
			e.Errorf("CallBody: %v", err)
			continue
		}
		r.Close()
		if !src.closed.Done() {
			e.Errorf("the body was not closed")
		}
		if at, most := src.at.Load(), int64(n+2*rpc.DefaultConfig().BulkWindowBytes); at > most {
			e.Errorf("%d bytes were taken for %d, want at most %d", at, n, most)
		}
	}
	e.close(p)
}

func bodyBroken(e *env) {
	broken := errors.New("disk on fire")
	seen := rt.NewFuture[error](e.rt())
	p := e.pair(func(p *pair) {
		rpc.HandleBody(p.b, methodBulk,
			func(_ context.Context, _ rt.NodeID, req *text, r io.Reader) (*text, rpc.Body, error) {
				if req.N == 1 {
					_, err := io.Copy(io.Discard, r)
					seen.Set(err, nil)
					return req, rpc.Body{}, err
				}
				return req, rpc.Stream(&source{data: pattern(1, 700_000), err: errKnown}), nil
			})
	}, nil)
	src := &source{data: pattern(1, 500_000), err: broken}
	_, _, err := methodBulk.CallBody(e.ctx(), p.a, p.idb, &text{N: 1}, rpc.Stream(src))
	if !errors.Is(err, broken) || errors.Is(err, rpc.ErrUnsent) {
		e.Errorf("Call with a broken body: %v", err)
	}
	if err, _ := seen.Get(e.ctx()); err == nil {
		e.Errorf("the handler took a broken body for whole")
	}
	_, r, err := methodBulk.CallBody(e.ctx(), p.a, p.idb, &text{N: 2}, rpc.Body{})
	if err != nil {
		e.Errorf("CallBody: %v", err)
		return
	}
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, errKnown) {
		e.Errorf("reading a broken answer: %v, want the handler's error", err)
	}
	r.Close()
	e.close(p)
}

func bodyClosed(e *env) {
	src := &source{data: pattern(1, 16<<20), closed: rt.NewFuture[bool](e.rt())}
	p := e.pair(func(p *pair) {
		rpc.HandleBody(p.b, methodBulk,
			func(_ context.Context, _ rt.NodeID, req *text, _ io.Reader) (*text, rpc.Body, error) {
				return req, rpc.Stream(src), nil
			})
	}, nil)
	_, r, err := methodBulk.CallBody(e.ctx(), p.a, p.idb, &text{}, rpc.Body{})
	if err != nil {
		e.Errorf("CallBody: %v", err)
		return
	}
	if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
		e.Errorf("Read: %v", err)
	}
	r.Close()
	if _, err := r.Read(make([]byte, 100_000_000)); err == nil {
		e.Errorf("Read after Close succeeded")
	}
	src.closed.Get(e.ctx())
	if n := src.at.Load(); n == int64(len(src.data)) {
		e.Errorf("all was sent although nobody read it")
	}
	e.close(p)
}
