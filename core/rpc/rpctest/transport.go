package rpctest

import (
	"bytes"
	"errors"
	"io"

	"granary/core/rpc"
	"granary/core/rt"
)

// join opens a connection from node 0 to node 1 and returns both ends.
func (e *env) join(class rpc.Class) (near, far rpc.Conn) {
	a, b := e.w.Nodes[0].Transport, e.w.Nodes[1].Transport
	b.Admit(func(id rt.NodeID) bool { return id == a.Self() })
	e.together(
		func() {
			var err error
			to := rpc.Target{Addr: b.Addr(), Peer: b.Self(), Class: class}
			if near, err = a.Dial(e.ctx(), to); err != nil {
				e.Errorf("Dial: %v", err)
			}
		},
		func() {
			var err error
			if far, err = b.Accept(e.ctx()); err != nil {
				e.Errorf("Accept: %v", err)
			}
		},
	)
	if near.Peer() != b.Self() || far.Peer() != a.Self() {
		e.Errorf("peers are %v and %v", near.Peer(), far.Peer())
	}
	if near.Class() != class || far.Class() != class {
		e.Errorf("classes are %v and %v, want %v", near.Class(), far.Class(), class)
	}
	return near, far
}

func streams(e *env) {
	for _, class := range []rpc.Class{rpc.Meta, rpc.Bulk} {
		near, far := e.join(class)
		there, back := pattern(1, 3<<20), pattern(2, 2<<20)
		write := func(c rpc.Conn, p []byte) func() {
			return func() {
				for n := 1; len(p) > 0; n = n*3 + 1 {
					k := min(n%200_000+1, len(p))
					if w, err := c.Write(p[:k]); w != k || err != nil {
						e.Errorf("Write = %d, %v, want %d", w, err, k)
						return
					}
					p = p[k:]
				}
			}
		}
		read := func(c rpc.Conn, want []byte) func() {
			return func() {
				got := make([]byte, len(want))
				if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
					e.Errorf("read %v, equal %t", err, bytes.Equal(got, want))
				}
			}
		}
		e.together(write(near, there), read(far, there), write(far, back), read(near, back))
		near.Close()
		if n, err := far.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			e.Errorf("Read after the other end closed = %d, %v, want EOF", n, err)
		}
		far.Close()
		if _, err := far.Write([]byte{1}); err == nil {
			e.Errorf("Write after Close succeeded")
		}
		far.Close() // twice is harmless
	}
}

func identities(e *env) {
	a, b := e.w.Nodes[0].Transport, e.w.Nodes[1].Transport
	id, key := guest()
	dial := func(t rpc.Target) error {
		t.Addr = b.Addr()
		c, err := a.Dial(e.ctx(), t)
		if err == nil {
			c.Close()
		}
		return err
	}
	if err := dial(rpc.Target{Peer: b.Self()}); !errors.Is(err, rpc.ErrIdentity) {
		e.Errorf("dialled before Admit: %v, want ErrIdentity", err)
	}
	b.Admit(func(p rt.NodeID) bool { return p == key })
	if err := dial(rpc.Target{Peer: b.Self()}); !errors.Is(err, rpc.ErrIdentity) {
		e.Errorf("a stranger dialled: %v, want ErrIdentity", err)
	}
	if err := dial(rpc.Target{Peer: key, As: &id}); !errors.Is(err, rpc.ErrIdentity) {
		e.Errorf("dialled the wrong node: %v, want ErrIdentity", err)
	}
	if err := dial(rpc.Target{Peer: b.Self(), As: &id}); err != nil {
		e.Errorf("the guest was refused: %v", err)
	}
	c, err := b.Accept(e.ctx())
	if err != nil || c.Peer() != key {
		e.Errorf("accepted %v, %v, want the guest", c, err)
	}
	c.Close()
}

func unreachable(e *env) {
	a, b := e.w.Nodes[0].Transport, e.w.Nodes[1].Transport
	addr := b.Addr()
	b.Close()
	to := rpc.Target{Addr: addr, Peer: b.Self()}
	if _, err := a.Dial(e.ctx(), to); !errors.Is(err, rpc.ErrUnreachable) {
		e.Errorf("Dial of a closed transport: %v, want ErrUnreachable", err)
	}
	ctx, cancel := e.rt().WithCancel(e.ctx())
	cancel()
	if _, err := a.Dial(ctx, rpc.Target{Addr: addr, Peer: b.Self()}); !errors.Is(err, ctx.Err()) {
		e.Errorf("Dial in an ended context: %v", err)
	}
	if _, err := a.Accept(ctx); !errors.Is(err, ctx.Err()) {
		e.Errorf("Accept in an ended context: %v", err)
	}
}

func transportClose(e *env) {
	near, far := e.join(rpc.Meta)
	a, b := e.w.Nodes[0].Transport, e.w.Nodes[1].Transport
	e.together(
		func() {
			if _, err := b.Accept(e.ctx()); !errors.Is(err, rpc.ErrClosed) {
				e.Errorf("Accept of a closed transport: %v, want ErrClosed", err)
			}
		},
		func() {
			if _, err := far.Read(make([]byte, 1)); err == nil {
				e.Errorf("Read of a closed connection succeeded")
			}
		},
		func() {
			if _, err := near.Read(make([]byte, 1)); err == nil {
				e.Errorf("Read succeeded after the other end closed")
			}
		},
		func() { b.Close() },
	)
	a.Close()
	if _, err := a.Dial(e.ctx(), rpc.Target{Addr: b.Addr(), Peer: b.Self()}); !errors.Is(err, rpc.ErrClosed) {
		e.Errorf("Dial by a closed transport: %v, want ErrClosed", err)
	}
}
