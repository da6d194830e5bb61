package net

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"granary/core/rpc"
	"granary/core/rt"
	"granary/netsim"
	"granary/sim/sched"
)

const ms = time.Millisecond

// world is a small network of nodes n1, n2, … whose transports admit everybody.
type world struct {
	t     testing.TB
	s     *sched.Sched
	net   *Net
	nodes map[string]*node
}

type node struct {
	*Transport
	env  *sched.Env
	seed rpc.Identity
}

func newWorld(t testing.TB, topo netsim.Topology, so sched.Options, no Options) *world {
	t.Helper()
	s := sched.New(so)
	t.Cleanup(s.Stop)
	m, err := netsim.NewModel(topo)
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(s, m, no)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, s: s, net: n, nodes: map[string]*node{}}
	for _, node := range topo.Nodes {
		w.boot(node.Name)
	}
	return w
}

// flatWorld has two sites of one node, 50 ms apart, and plain options.
func flatWorld(t *testing.T) *world {
	topo := netsim.Regular("flat", 2, 1, netsim.Path{Delay: 50 * ms}, netsim.Path{})
	return newWorld(t, topo, sched.Options{Seed: 1}, DefaultOptions())
}

func identity(name string) (id rpc.Identity) {
	copy(id.Seed[:], name)
	return id
}

// boot starts a node, or a new incarnation of one.
func (w *world) boot(name string) *node {
	w.t.Helper()
	id := identity(name)
	env := w.s.NewEnv(PeerOf(id), name)
	tr, err := w.net.NewTransport(env, name, id)
	if err != nil {
		w.t.Fatal(err)
	}
	tr.Admit(func(rt.NodeID) bool { return true })
	w.nodes[name] = &node{Transport: tr, env: env, seed: id}
	return w.nodes[name]
}

// run runs f as a task of the node until it returns.
func (w *world) run(n *node, f func()) {
	w.t.Helper()
	done := false
	n.env.Go("test", func() { f(); done = true })
	if err := w.s.RunUntil(100_000*time.Hour, func() bool { return done }); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) target(to string) rpc.Target {
	n := w.nodes[to]
	return rpc.Target{Addr: n.Addr(), Peer: n.Self()}
}

// pair opens a connection and returns both ends.
func (w *world) pair(from, to string) (a, b rpc.Conn) {
	w.t.Helper()
	accepted := false
	n := w.nodes[to]
	n.env.Go("accept", func() {
		var err error
		if b, err = n.Accept(n.env.Background()); err != nil {
			w.t.Errorf("accept: %v", err)
		}
		accepted = true
	})
	w.run(w.nodes[from], func() {
		var err error
		m := w.nodes[from]
		if a, err = m.Dial(m.env.Background(), w.target(to)); err != nil {
			w.t.Errorf("dial: %v", err)
		}
	})
	if err := w.s.RunUntil(time.Minute, func() bool { return accepted }); err != nil {
		w.t.Fatal(err)
	}
	return a, b
}

func (w *world) within(n *node, d time.Duration) context.Context {
	ctx, _ := n.env.WithTimeout(n.env.Background(), d)
	return ctx
}

func TestDialCostsTwoRoundTrips(t *testing.T) {
	w := flatWorld(t)
	a, b := w.nodes["a1"], w.nodes["b1"]
	var accepted time.Duration
	b.env.Go("accept", func() {
		c, err := b.Accept(b.env.Background())
		if err != nil {
			t.Error(err)
			return
		}
		accepted = w.s.Now()
		if c.Peer() != a.Self() || c.Class() != rpc.Bulk {
			t.Errorf("accepted %v of class %v", c.Peer(), c.Class())
		}
		p := make([]byte, 10)
		n, err := c.Read(p)
		if string(p[:n]) != "hello" || err != nil || w.s.Now() != 250*ms {
			t.Errorf("read %q, %v at %v; want hello at 250ms", p[:n], err, w.s.Now())
		}
		c.Write([]byte("world"))
	})
	w.run(a, func() {
		target := w.target("b1")
		target.Class = rpc.Bulk
		c, err := a.Dial(a.env.Background(), target)
		if err != nil || w.s.Now() != 200*ms {
			t.Fatalf("dialled at %v: %v; want 200ms", w.s.Now(), err)
		}
		if c.Peer() != b.Self() || c.Class() != rpc.Bulk {
			t.Errorf("dialled %v of class %v", c.Peer(), c.Class())
		}
		c.Write([]byte("hello"))
		p := make([]byte, 10)
		n, err := c.Read(p)
		if string(p[:n]) != "world" || err != nil || w.s.Now() != 300*ms {
			t.Errorf("read %q, %v at %v; want world at 300ms", p[:n], err, w.s.Now())
		}
	})
	if accepted != 250*ms {
		t.Errorf("accepted at %v, want 250ms", accepted)
	}
}

func TestIdentityIsProved(t *testing.T) {
	token := identity("a join token")
	for _, c := range []struct {
		name   string
		change func(*world, *rpc.Target)
		want   error
		at     time.Duration
	}{
		{"all well", func(*world, *rpc.Target) {}, nil, 200 * ms},
		{"another peer", func(_ *world, t *rpc.Target) { t.Peer = rt.NodeID{1} }, rpc.ErrIdentity, 200 * ms},
		{"no peer named", func(_ *world, t *rpc.Target) { t.Peer = rt.NodeID{} }, rpc.ErrIdentity, 200 * ms},
		{"not admitted", func(w *world, _ *rpc.Target) {
			w.nodes["b1"].Admit(func(rt.NodeID) bool { return false })
		}, rpc.ErrIdentity, 200 * ms},
		{"nobody admitted", func(w *world, _ *rpc.Target) {
			w.nodes["b1"].Admit(nil)
		}, rpc.ErrIdentity, 200 * ms},
		{"a token", func(w *world, t *rpc.Target) {
			t.As = &token
			w.nodes["b1"].Admit(func(id rt.NodeID) bool { return id == PeerOf(token) })
		}, nil, 200 * ms},
		{"no such address", func(_ *world, t *rpc.Target) { t.Addr = "moon" }, rpc.ErrUnreachable, 0},
		{"closed over there", func(w *world, _ *rpc.Target) {
			w.nodes["b1"].Close()
		}, rpc.ErrUnreachable, 100 * ms},
		{"closed here", func(w *world, _ *rpc.Target) { w.nodes["a1"].Close() }, rpc.ErrClosed, 0},
		{"cut", func(w *world, _ *rpc.Target) {
			w.net.Model().Cut("a", "b")
		}, rpc.ErrUnreachable, 127 * time.Second},
		{"dead", func(w *world, _ *rpc.Target) {
			w.nodes["b1"].env.Kill()
		}, rpc.ErrUnreachable, 127 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := flatWorld(t)
			a := w.nodes["a1"]
			target := w.target("b1")
			c.change(w, &target)
			w.run(a, func() {
				conn, err := a.Dial(a.env.Background(), target)
				if !errors.Is(err, c.want) || (conn == nil) == (c.want == nil) || w.s.Now() != c.at {
					t.Errorf("%v at %v, want %v at %v", err, w.s.Now(), c.want, c.at)
				}
			})
		})
	}
}

func TestTokenIsThePeer(t *testing.T) {
	w := flatWorld(t)
	token := identity("a join token")
	a, b := w.nodes["a1"], w.nodes["b1"]
	a.env.Go("dial", func() {
		target := w.target("b1")
		target.As = &token
		a.Dial(a.env.Background(), target)
	})
	w.run(b, func() {
		if c, err := b.Accept(b.env.Background()); err != nil || c.Peer() != PeerOf(token) {
			t.Errorf("accepted %v, %v", c, err)
		}
	})
}

func TestDialEndsWithItsContext(t *testing.T) {
	w := flatWorld(t)
	a := w.nodes["a1"]
	w.run(a, func() {
		for _, d := range []time.Duration{30 * ms, 150 * ms, 199 * ms} {
			start := w.s.Now()
			c, err := a.Dial(w.within(a, d), w.target("b1"))
			if c != nil || !errors.Is(err, context.DeadlineExceeded) || w.s.Now() != start+d {
				t.Errorf("after %v: %v, %v", w.s.Now()-start, c, err)
			}
		}
	})
	w.s.Run(time.Minute)
	if n := len(w.nodes["b1"].conns); n != 0 || w.net.conns != 0 {
		t.Errorf("%d connections there, %d made, want none", n, w.net.conns)
	}
}

// A dial under a cut goes through with the first repetition after the heal.
func TestDialAfterHeal(t *testing.T) {
	w := flatWorld(t)
	a := w.nodes["a1"]
	w.net.Model().Cut("a", "b")
	w.s.After(2*time.Second, w.net.Model().Clear)
	w.run(a, func() {
		// SYNs at 0, 1, 3 s.
		if _, err := a.Dial(a.env.Background(), w.target("b1")); err != nil || w.s.Now() != 3200*ms {
			t.Errorf("%v at %v, want 3.2s", err, w.s.Now())
		}
	})
}

func TestCloseDeliversAllThenEOF(t *testing.T) {
	w := flatWorld(t)
	a, b := w.pair("a1", "b1")
	want := bytes.Repeat([]byte("granary "), 100_000)
	w.nodes["a1"].env.Go("write", func() {
		if n, err := a.Write(want); n != len(want) || err != nil {
			t.Errorf("wrote %d: %v", n, err)
		}
		a.Close()
		if _, err := a.Write(want); !errors.Is(err, rpc.ErrClosed) {
			t.Errorf("write after close: %v", err)
		}
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, rpc.ErrClosed) {
			t.Errorf("read after close: %v", err)
		}
	})
	w.run(w.nodes["b1"], func() {
		got, err := io.ReadAll(b)
		if !bytes.Equal(got, want) || err != nil {
			t.Errorf("read %d bytes of %d, %v", len(got), len(want), err)
		}
		if _, err := b.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("again: %v", err)
		}
		// The first write after that is taken, and answered with a reset.
		if _, err := b.Write([]byte("x")); err != nil {
			t.Errorf("write to a closed end: %v", err)
		}
		w.nodes["b1"].env.Sleep(w.nodes["b1"].env.Background(), 101*ms)
		if _, err := b.Write([]byte("x")); !errors.Is(err, ErrReset) {
			t.Errorf("second write to a closed end: %v", err)
		}
	})
}

func TestCloseWakesReadAndWrite(t *testing.T) {
	w := flatWorld(t)
	a, _ := w.pair("a1", "b1")
	n, ended := w.nodes["a1"], 0
	n.env.Go("read", func() {
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, rpc.ErrClosed) {
			t.Errorf("read: %v", err)
		}
		ended++
	})
	n.env.Go("write", func() {
		if _, err := a.Write(make([]byte, 32<<20)); !errors.Is(err, rpc.ErrClosed) {
			t.Errorf("write: %v", err)
		}
		ended++
	})
	w.run(n, func() {
		n.env.Sleep(n.env.Background(), time.Minute)
		if ended != 0 {
			t.Error("ended before Close")
		}
		a.Close()
		n.env.Sleep(n.env.Background(), ms)
	})
	if ended != 2 {
		t.Errorf("%d of 2 were woken", ended)
	}
}

// Nobody reads: Write takes what the peer's receive buffer and the send buffer hold, then waits.
func TestWriteIsBounded(t *testing.T) {
	topo := netsim.Regular("flat", 2, 1, netsim.Path{Delay: 50 * ms}, netsim.Path{})
	o := DefaultOptions()
	o.SendBuffer, o.TCP.Receive = 100_000, 50_000
	w := newWorld(t, topo, sched.Options{Seed: 1}, o)
	a, b := w.pair("a1", "b1")
	n, wrote := w.nodes["a1"], 0
	n.env.Go("write", func() {
		for range 1000 {
			m, err := a.Write(make([]byte, 1000))
			if err != nil {
				t.Error(err)
			}
			wrote += m
		}
	})
	w.s.Run(time.Minute)
	if wrote < 50_000+2*14_600-1000 || wrote > 150_000 {
		t.Errorf("%d bytes taken, want 79 to 150 thousand", wrote)
	}
	w.run(w.nodes["b1"], func() {
		if m, err := io.ReadFull(b, make([]byte, 1_000_000)); m != 1_000_000 || err != nil {
			t.Errorf("read %d: %v", m, err)
		}
	})
	if wrote != 1_000_000 {
		t.Errorf("%d bytes taken in the end", wrote)
	}
}

func TestCutIsSilence(t *testing.T) {
	w := flatWorld(t)
	a, b := w.pair("a1", "b1")
	n := w.nodes["b1"]
	w.s.Run(time.Second)
	w.net.Model().Cut("a1", "b1")
	start := w.s.Now()
	w.s.After(5*time.Second, w.net.Model().Clear)
	w.nodes["a1"].env.Go("write", func() { a.Write([]byte("late")) })
	w.run(n, func() {
		p := make([]byte, 10)
		m, err := b.Read(p)
		// Time-outs of 305 ms, since the acknowledgement of the proof waited: tries at 0.305, 0.915, 2.135,
		// 4.575, 9.455 s.
		if took := w.s.Now() - start; string(p[:m]) != "late" || err != nil || took != 9505*ms {
			t.Errorf("%q, %v after %v; want late after 9.505s", p[:m], err, took)
		}
	})
}

func TestCrashIsSilenceThenReset(t *testing.T) {
	w := flatWorld(t)
	a, b := w.pair("a1", "b1")
	na, nb := w.nodes["a1"], w.nodes["b1"]
	nb.env.Go("write", func() {
		defer b.Close() // must not leak out of the crash
		b.Write([]byte("last words"))
		nb.env.Sleep(nb.env.Background(), time.Hour)
	})
	nb.env.Go("read", func() { b.Read(make([]byte, 1)) })
	w.s.Run(10 * ms)
	nb.env.Kill()
	var readErr error
	na.env.Go("read", func() {
		got, err := io.ReadAll(a)
		if string(got) != "last words" {
			t.Errorf("read %q", got)
		}
		readErr = err
		if readErr == nil {
			readErr = io.EOF
		}
	})
	w.s.Run(time.Minute)
	if readErr != nil {
		t.Fatalf("the end of a dead node was heard of: %v", readErr)
	}
	na.env.Go("write", func() { a.Write([]byte("are you there?")) })
	w.s.Run(2 * time.Second)
	if readErr != nil {
		t.Fatalf("a dead node answered: %v", readErr)
	}
	w.boot("b1")
	w.s.Run(time.Minute)
	if !errors.Is(readErr, ErrReset) {
		t.Fatalf("after the restart: %v, want a reset", readErr)
	}
	if w.pair("a1", "b1"); len(w.nodes["b1"].conns) != 1 {
		t.Errorf("the new incarnation has %d connections, want 1", len(w.nodes["b1"].conns))
	}
}

// A node that dies while it dials, or between the rounds of being dialled, leaves nothing behind; the one who
// dials hears of it with the next packet it sends.
func TestCrashWhileDialling(t *testing.T) {
	for _, victim := range []string{"a1", "b1"} {
		for at := 10 * ms; at < 300*ms; at += 20 * ms {
			t.Run(fmt.Sprint(victim, " at ", at), func(t *testing.T) {
				w := flatWorld(t)
				a := w.nodes["a1"]
				var err error
				a.env.Go("dial", func() {
					var c rpc.Conn
					if c, err = a.Dial(a.env.Background(), w.target("b1")); err == nil {
						_, err = io.ReadAll(io.MultiReader(ask(c), c))
					}
				})
				w.s.Run(at)
				w.nodes[victim].env.Kill()
				w.s.Run(10 * ms)
				w.boot(victim)
				if failed := w.s.Run(time.Hour); failed != nil {
					t.Fatal(failed)
				}
				told := errors.Is(err, rpc.ErrUnreachable) || errors.Is(err, ErrReset)
				if victim == "b1" && at > 50*ms && at < 250*ms && !told {
					t.Errorf("got %v, want to be refused or reset", err)
				}
			})
		}
	}
}

// ask writes a byte when it is read.
func ask(c rpc.Conn) io.Reader { return asker{c} }

type asker struct{ c rpc.Conn }

func (a asker) Read([]byte) (int, error) {
	if _, err := a.c.Write([]byte{1}); err != nil {
		return 0, err
	}
	return 0, io.EOF
}

func TestTransportClose(t *testing.T) {
	w := flatWorld(t)
	a, b := w.pair("a1", "b1")
	n, ended := w.nodes["a1"], 0
	for range 2 {
		n.env.Go("accept", func() {
			if _, err := n.Accept(n.env.Background()); !errors.Is(err, rpc.ErrClosed) {
				t.Errorf("accept: %v", err)
			}
			ended++
		})
	}
	w.nodes["b1"].env.Go("read", func() {
		if got, err := io.ReadAll(b); string(got) != "bye" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		ended++
	})
	w.run(n, func() {
		n.env.Sleep(n.env.Background(), ms)
		a.Write([]byte("bye"))
		if err := errors.Join(n.Close(), n.Close()); err != nil {
			t.Error(err)
		}
		n.env.Sleep(n.env.Background(), time.Second)
	})
	if ended != 3 {
		t.Errorf("%d of 3 were woken", ended)
	}
	if _, err := w.net.NewTransport(n.env, "a1", n.seed); err != nil {
		t.Errorf("a closed transport cannot be replaced: %v", err)
	}
}

func TestBacklogIsBounded(t *testing.T) {
	topo := netsim.Regular("flat", 2, 1, netsim.Path{Delay: 50 * ms}, netsim.Path{})
	o := DefaultOptions()
	o.Backlog = 3
	w := newWorld(t, topo, sched.Options{Seed: 1}, o)
	a, reset := w.nodes["a1"], 0
	w.run(a, func() {
		for range 5 {
			c, err := a.Dial(a.env.Background(), w.target("b1"))
			if err != nil {
				t.Fatal(err)
			}
			a.env.Go("read", func() {
				if _, err := c.Read(make([]byte, 1)); errors.Is(err, ErrReset) {
					reset++
				}
			})
		}
		a.env.Sleep(a.env.Background(), time.Second)
	})
	if b := w.nodes["b1"]; reset != 2 || len(b.pending) != 3 || len(b.conns) != 3 {
		t.Errorf("%d reset, %d wait; want 2, 3", reset, len(b.pending))
	}
}

func TestTransportsAreRegisteredOnce(t *testing.T) {
	w := flatWorld(t)
	a := w.nodes["a1"]
	if _, err := w.net.NewTransport(a.env, "a1", a.seed); err == nil {
		t.Error("a second transport of a living node")
	}
	if _, err := w.net.NewTransport(a.env, "moon", a.seed); err == nil {
		t.Error("a transport of a node outside the topology")
	}
	if _, err := New(w.s, w.net.Model(), Options{}); !errors.Is(err, ErrOptions) {
		t.Errorf("zero options: %v", err)
	}
}

// TestKilledProcess: a machine that lives on resets the connections of its killed node at once and refuses
// new ones; when it loses its power it is silent.
func TestKilledProcess(t *testing.T) {
	w := flatWorld(t)
	a, b := w.nodes["a1"], w.nodes["b1"]
	conn, _ := w.pair("a1", "b1")
	idle, _ := w.pair("a1", "b1")
	from := w.s.Now()
	b.env.Kill()
	w.net.Killed("b1")
	for _, c := range []rpc.Conn{conn, idle} {
		w.run(a, func() {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrReset) || w.s.Now() != from+50*ms {
				t.Errorf("read: %v after %v", err, w.s.Now()-from)
			}
		})
	}
	w.run(a, func() {
		_, err := a.Dial(w.within(a, time.Minute), w.target("b1"))
		if !errors.Is(err, rpc.ErrUnreachable) || w.s.Now() != from+150*ms {
			t.Errorf("dial: %v after %v", err, w.s.Now()-from)
		}
	})
	w.net.Dark("b1")
	w.run(a, func() {
		_, err := a.Dial(w.within(a, 5*time.Second), w.target("b1"))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial of a machine without power: %v", err)
		}
	})
	w.boot("b1")
	w.pair("a1", "b1")
}

// TestPausedNode: connections to a paused node stay open and take bytes as long as its window has room; new
// ones are opened by its kernel, but prove nothing.
func TestPausedNode(t *testing.T) {
	w := flatWorld(t)
	a, b := w.nodes["a1"], w.nodes["b1"]
	conn, far := w.pair("a1", "b1")
	b.env.Pause()
	sent := make([]byte, 64<<10)
	w.run(a, func() {
		if n, err := conn.Write(sent); n != len(sent) || err != nil {
			t.Errorf("write: %d %v", n, err)
		}
		_, err := a.Dial(w.within(a, 5*time.Second), w.target("b1"))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial: %v", err)
		}
	})
	got := 0
	b.env.Go("read", func() {
		for got < len(sent) {
			n, err := far.Read(make([]byte, 10_000))
			if got += n; err != nil {
				t.Errorf("read: %v", err)
				return
			}
		}
	})
	if err := w.s.Run(time.Minute); err != nil || got > 0 {
		t.Errorf("a paused node read %d bytes, %v", got, err)
	}
	b.env.Resume()
	if err := w.s.Run(time.Second); err != nil || got != len(sent) {
		t.Errorf("it reads %d bytes afterwards, %v", got, err)
	}
}
