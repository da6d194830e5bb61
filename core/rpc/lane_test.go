package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"granary/core/hlc"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/netsim"
	"granary/sim/net"
	"granary/sim/sched"
)

// number is a message of the tests, as long as it likes.
type number struct {
	N    int    `cbor:"1,keyasint"`
	Data []byte `cbor:"2,keyasint,omitempty"`
}

var (
	methodDouble = rpc.NewMethod[number, number]("lanetest.double", rpc.Bulk)
	methodTake   = rpc.NewMethod[number, number]("lanetest.take", rpc.Bulk)
	methodStall  = rpc.NewMethod[number, number]("lanetest.stall", rpc.Bulk) // answers 0 and no other
	errOdd       = rpc.RegisterError("lanetest.odd", errors.New("odd"))
)

// stopped is a clock that stands.
type stopped struct{}

func (stopped) Last() hlc.Stamp { return 1 }
func (stopped) Merge(hlc.Stamp) {}

// town is two endpoints, 100 ms apart, in the simulator.
type town struct {
	t   *testing.T
	s   *sched.Sched
	net *net.Net
	env [2]*sched.Env
	ep  [2]*rpc.Endpoint

	lines [2]*lines
}

// lines is a transport that remembers the lanes which it dialled.
type lines struct {
	rpc.Transport
	lanes []rpc.Conn
}

func (l *lines) Dial(ctx context.Context, to rpc.Target) (rpc.Conn, error) {
	c, err := l.Transport.Dial(ctx, to)
	if err == nil && to.Lane {
		l.lanes = append(l.lanes, c)
	}
	return c, err
}

func newTown(t *testing.T, tune func(*rpc.Config)) *town {
	t.Helper()
	topology := netsim.Regular("two", 2, 1, netsim.Path{Delay: 50 * time.Millisecond}, netsim.Path{})
	model, err := netsim.NewModel(topology)
	if err != nil {
		t.Fatal(err)
	}
	w := &town{t: t, s: sched.New(sched.Options{Seed: 1, Shuffle: true, YieldPerMille: 50})}
	t.Cleanup(w.s.Stop)
	if w.net, err = net.New(w.s, model, net.DefaultOptions()); err != nil {
		t.Fatal(err)
	}
	ids, addrs := [2]rt.NodeID{}, [2]string{}
	for i, n := range topology.Nodes {
		id := rpc.Identity{Seed: [32]byte{byte(i + 1)}}
		ids[i], addrs[i] = net.PeerOf(id), n.Addr()
		w.env[i] = w.s.NewEnv(ids[i], n.Name)
		tr, err := w.net.NewTransport(w.env[i], n.Name, id)
		if err != nil {
			t.Fatal(err)
		}
		tr.Admit(func(rt.NodeID) bool { return true })
		cfg := rpc.DefaultConfig()
		cfg.Clock = stopped{}
		if tune != nil {
			tune(&cfg)
		}
		done := false
		w.env[i].Go("start", func() {
			w.lines[i] = &lines{Transport: tr}
			ep := rpc.New(w.env[i], w.lines[i], cfg)
			ep.SetHooks(rpc.Hooks{Route: func(id rt.NodeID) (rpc.Route, bool) {
				return rpc.Route{Addr: addrs[1-i]}, id == ids[1-i]
			}})
			rpc.Handle(ep, methodDouble, func(ctx context.Context, _ rt.NodeID, n *number) (*number, error) {
				if n.N%2 == 1 {
					return nil, errOdd
				}
				return &number{N: 2 * n.N, Data: n.Data}, nil
			})
			rpc.Handle(ep, methodTake, func(context.Context, rt.NodeID, *number) (*number, error) {
				return nil, nil
			})
			rpc.Handle(ep, methodStall, func(ctx context.Context, _ rt.NodeID, n *number) (*number, error) {
				if n.N == 0 {
					return n, nil
				}
				err := w.env[i].Sleep(ctx, time.Duration(n.N)*time.Second)
				return nil, errors.Join(err, rpc.ErrUnanswered)
			})
			ep.Start()
			w.ep[i], done = ep, true
		})
		w.until(func() bool { return done })
	}
	w.do(func() { w.ep[0].Warm(ids[1]) })
	w.pass(time.Second)
	return w
}

func (w *town) peer() rt.NodeID { return w.ep[1].Self() }

func (w *town) until(done func() bool) {
	w.t.Helper()
	if err := w.s.RunUntil(time.Hour, done); err != nil {
		w.t.Fatal(err)
	}
}

func (w *town) pass(d time.Duration) {
	w.t.Helper()
	if err := w.s.Run(d); err != nil {
		w.t.Fatal(err)
	}
}

// do runs f as a task of the first node.
func (w *town) do(f func()) {
	w.t.Helper()
	done := false
	w.env[0].Go("do", func() { f(); done = true })
	w.until(func() bool { return done })
}

// lanes opens n lanes and returns how many there are a second later.
func (w *town) lanes(n int) (open int) {
	w.t.Helper()
	w.do(func() { w.ep[0].Lanes(w.peer(), n) })
	w.pass(3 * time.Second)
	w.do(func() { open = w.ep[0].Lanes(w.peer(), n) })
	return open
}

// double makes n calls side by side, each with so many bytes, and returns how long they took.
func (w *town) double(numbers []int, bytes int) (took time.Duration, err error) {
	w.t.Helper()
	w.do(func() {
		var reqs []*number
		for _, n := range numbers {
			reqs = append(reqs, &number{N: n, Data: make([]byte, bytes)})
		}
		start := w.env[0].Now()
		err = methodDouble.CallWide(w.env[0].Background(), w.ep[0], w.peer(), reqs,
			func(i int, resp *number) (enough bool, err error) {
				if resp.N != 2*numbers[i] || len(resp.Data) != bytes {
					err = fmt.Errorf("the answer to %d is %d with %d bytes", numbers[i], resp.N,
						len(resp.Data))
				}
				return false, err
			})
		took = w.env[0].Now() - start
	})
	return took, err
}

func even(n int) (numbers []int) {
	for i := range n {
		numbers = append(numbers, 2*i)
	}
	return numbers
}

// Half a megabyte that goes side by side takes one round trip, also after a rest.
func TestLanesCarryAtOnce(t *testing.T) {
	w := newTown(t, nil)
	if n := w.lanes(40); n != 40 {
		t.Fatalf("%d lanes are open, want 40", n)
	}
	for _, rest := range []time.Duration{0, time.Minute} {
		w.pass(rest)
		took, err := w.double(even(40), 13<<10)
		if err != nil || took > 110*time.Millisecond {
			t.Errorf("after %v of rest: %v, %v; want 100 ms", rest, took, err)
		}
	}
}

// There are no lanes before they were asked for, and never more than LanesMax.
func TestLanesAreBounded(t *testing.T) {
	w := newTown(t, func(c *rpc.Config) { c.LanesMax = 5 })
	if _, err := w.double(even(2), 1); !errors.Is(err, rpc.ErrUnsent) {
		t.Errorf("without lanes: %v, want ErrUnsent", err)
	}
	if n := w.lanes(40); n != 5 {
		t.Errorf("%d lanes are open, want 5", n)
	}
	if _, err := w.double(even(40), 10); err != nil {
		t.Errorf("40 calls over 5 lanes: %v", err)
	}
	_, err := w.double(even(1), 1<<20)
	if !errors.Is(err, rpc.ErrUnsent) || !errors.Is(err, rpc.ErrTooLarge) {
		t.Errorf("a message longer than a frame: %v, want ErrUnsent and ErrTooLarge", err)
	}
	w.do(func() {
		if n := w.ep[0].Lanes(w.ep[0].Self(), 5); n != 0 {
			t.Errorf("%d lanes to the node itself", n)
		}
	})
}

// There are never more lanes than LanesTotalMax, and room is made by those that end.
func TestLanesAreBoundedTogether(t *testing.T) {
	w := newTown(t, func(c *rpc.Config) { c.LanesTotalMax, c.LaneRest = 3, time.Minute })
	for range 2 {
		if n := w.lanes(40); n != 3 {
			t.Errorf("%d lanes are open, want 3", n)
		}
		w.pass(3 * time.Minute) // they rest for too long, and are closed
	}
}

// One call that fails ends all, with its error.
func TestLanesFailTogether(t *testing.T) {
	w := newTown(t, nil)
	w.lanes(10)
	if _, err := w.double([]int{0, 2, 3, 4}, 10); !errors.Is(err, errOdd) || !errors.Is(err, rpc.ErrRemote) {
		t.Errorf("one of four fails: %v", err)
	}
	w.pass(time.Second)
	w.do(func() {
		if s := w.ep[0].Stats(); s.Calls != 0 {
			t.Errorf("%d calls are left over", s.Calls)
		}
	})
	if _, err := w.double(even(10), 10); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// A lane that is not used is closed, one that is stays, and both ends rest in silence without giving it up.
func TestLanesRest(t *testing.T) {
	w := newTown(t, func(c *rpc.Config) { c.LaneRest = 5 * time.Minute })
	count := func() (n int) {
		w.do(func() { n = w.ep[0].Stats().Connections })
		return n
	}
	bare := count()
	w.lanes(8)
	w.pass(4 * time.Minute)
	if _, err := w.double(even(3), 10); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != bare+8 {
		t.Errorf("%d connections after four minutes, want %d", n, bare+8)
	}
	w.pass(2 * time.Minute)
	if n := count(); n != bare+3 {
		t.Errorf("%d connections two minutes after three lanes were used, want %d", n, bare+3)
	}
	w.pass(10 * time.Minute)
	if n := count(); n != bare {
		t.Errorf("%d connections long after, want %d", n, bare)
	}
}

// When a peer falls silent its lanes end with its Meta connection, though nothing was under way on them.
func TestLanesEndWithTheirPeer(t *testing.T) {
	w := newTown(t, nil)
	if n := w.lanes(8); n != 8 {
		t.Fatalf("%d lanes", n)
	}
	if err := w.net.Model().Cut("a", "b"); err != nil {
		t.Fatal(err)
	}
	w.pass(5 * time.Second)
	if _, err := w.double(even(2), 10); !errors.Is(err, rpc.ErrUnsent) {
		t.Errorf("a call of a silent peer: %v, want ErrUnsent at once", err)
	}
	w.net.Model().Clear()
	w.do(func() { w.ep[0].Warm(w.peer()) })
	w.pass(10 * time.Second)
	w.do(func() { w.ep[0].Warm(w.peer()) })
	w.pass(10 * time.Second)
	if n := w.lanes(8); n != 8 {
		t.Errorf("%d lanes after the line was healed, want 8", n)
	}
}

// A call on a lane whose line dies meanwhile is given up for silence, as on any connection.
func TestLanesNoticeSilence(t *testing.T) {
	w := newTown(t, nil)
	w.lanes(4)
	w.pass(time.Minute)
	if err := w.net.Model().Cut("a", "b"); err != nil {
		t.Fatal(err)
	}
	took, err := w.double(even(4), 10)
	if !errors.Is(err, rpc.ErrUnknown) || took < 2*time.Second || took > 5*time.Second {
		t.Errorf("%v after %v, want ErrUnknown after about 3 s", err, took)
	}
}

// stall makes calls of methodStall and returns how long it took until one was answered.
func (w *town) stall(numbers ...int) (took time.Duration, err error) {
	w.t.Helper()
	w.do(func() {
		var reqs []*number
		for _, n := range numbers {
			reqs = append(reqs, &number{N: n})
		}
		ctx, cancel := w.env[0].WithTimeout(w.env[0].Background(), time.Minute)
		defer cancel()
		start := w.env[0].Now()
		err = methodStall.CallWide(ctx, w.ep[0], w.peer(), reqs,
			func(int, *number) (bool, error) { return true, nil })
		took = w.env[0].Now() - start
	})
	return took, err
}

// calls counts the calls in hand at both ends.
func (w *town) calls() (n int) {
	w.do(func() { n = w.ep[0].Stats().Calls + w.ep[1].Stats().Calls })
	return n
}

// One answer may be enough. The other calls end by themselves, without one, and their lanes are free again.
func TestLanesWithOneAnswer(t *testing.T) {
	w := newTown(t, nil)
	w.lanes(4)
	for range 2 {
		if took, err := w.stall(1, 2, 0, 2); err != nil || took > 110*time.Millisecond {
			t.Errorf("%v after %v, want the one answer after 100 ms", err, took)
		}
		if n := w.ep[0].Stats().Calls; n != 0 {
			t.Errorf("the caller still waits for %d", n)
		}
		w.pass(3 * time.Second)
		if n := w.calls(); n != 0 {
			t.Errorf("%d calls are left over", n)
		}
	}
	if n := w.lanes(4); n != 4 {
		t.Errorf("%d lanes are left of 4", n)
	}
}

// A lane that dies while others are waited for ends the whole at once, not at its deadline, and cancels them.
func TestLanesFailWithOneLane(t *testing.T) {
	for dying := range 4 {
		w := newTown(t, nil)
		w.lanes(4)
		w.env[0].Go("kill a lane", func() {
			w.env[0].Sleep(w.env[0].Background(), 200*time.Millisecond)
			w.lines[0].lanes[dying].Close()
		})
		took, err := w.stall(50, 50, 50, 50)
		if !errors.Is(err, rpc.ErrUnknown) || took > 300*time.Millisecond {
			t.Errorf("lane %d dies: %v after %v, want ErrUnknown after 200 ms", dying, err, took)
		}
		w.pass(time.Second)
		if n := w.calls(); n != 0 {
			t.Errorf("%d calls are left over", n)
		}
	}
}
