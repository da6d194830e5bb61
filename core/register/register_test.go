package register

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"granary/core/cluster"
	"granary/core/hlc"
	"granary/core/kv/memkv"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/netsim"
	simnet "granary/sim/net"
	"granary/sim/sched"
)

const roundTrip = 100 * time.Millisecond

// town is a simulated cluster of five voters, whose nodes can be crashed, restarted and cut off.
type town struct {
	t       *testing.T
	s       *sched.Sched
	model   *netsim.Model
	network *simnet.Net
	view    cluster.View
	homes   []*home
	addrs   map[rt.NodeID]string
	history []porcupine.Operation
}

// home is a node and what survives its crash.
type home struct {
	name      string
	id        rpc.Identity
	image     *memkv.Image
	env       *sched.Env
	registers *Registers
}

func (c *town) FullView() (cluster.View, error)        { return c.view, nil }
func (c *town) Describe(id rt.NodeID) string           { return id.Short() }
func (c *town) Learn(context.Context, rt.NodeID) error { return nil }
func (c *town) route(p rt.NodeID) (rpc.Route, bool)    { return rpc.Route{Addr: c.addrs[p]}, true }

func newTown(t *testing.T, seed uint64, mutants ...string) *town {
	t.Helper()
	between := netsim.Path{Delay: roundTrip / 2, Jitter: roundTrip / 10}
	topo := netsim.Regular("flat", 5, 1, between, netsim.Path{})
	model, err := netsim.NewModel(topo)
	if err != nil {
		t.Fatal(err)
	}
	c := &town{t: t, model: model, addrs: map[rt.NodeID]string{}, s: sched.New(sched.Options{Seed: seed,
		Shuffle: seed%2 == 1, YieldPerMille: int(seed % 30), Mutants: mutants})}
	t.Cleanup(c.s.Stop)
	if c.network, err = simnet.New(c.s, model, simnet.DefaultOptions()); err != nil {
		t.Fatal(err)
	}
	var ids []rt.NodeID
	for _, n := range topo.Nodes {
		h := &home{name: n.Name, image: memkv.NewImage()}
		copy(h.id.Seed[:], n.Name)
		ids = append(ids, simnet.PeerOf(h.id))
		c.homes = append(c.homes, h)
	}
	c.view = cluster.View{Layout: 1, Live: []layout.Set{layout.Majority(1, ids)}}
	for _, h := range c.homes {
		c.boot(h)
	}
	c.run(time.Second)
	return c
}

func (c *town) boot(h *home) {
	h.env = c.s.NewEnv(simnet.PeerOf(h.id), h.name)
	tr, err := c.network.NewTransport(h.env, h.name, h.id)
	if err != nil {
		c.t.Fatal(err)
	}
	c.addrs[h.env.Self()] = tr.Addr()
	tr.Admit(func(rt.NodeID) bool { return true })
	h.env.Go("boot", func() {
		store := memkv.Open(h.env, h.image, memkv.Options{})
		cfg := rpc.DefaultConfig()
		cfg.Clock = hlc.New(h.env, 0, func(context.Context, hlc.Stamp) error { return nil })
		ep := rpc.New(h.env, tr, cfg)
		ep.SetHooks(rpc.Hooks{Route: c.route})
		group := rt.NewGroup(h.env, h.env.Background())
		h.registers = New(Config{Env: h.env, Store: store, Topology: c, Quorum: quorum.New(h.env, group),
			Endpoint: ep})
		ep.Start()
	})
}

func (c *town) run(d time.Duration) {
	c.t.Helper()
	if err := c.s.Run(d); err != nil {
		c.t.Fatal(err)
	}
}

// do runs f as a task of a node to its end, and returns how many round trips it took.
func (c *town) do(h *home, f func(ctx context.Context)) int {
	c.t.Helper()
	done, start := false, c.s.Now()
	h.env.Go("test", func() { f(h.env.Background()); done = true })
	if err := c.s.RunUntil(time.Hour, func() bool { return done }); err != nil {
		c.t.Fatal(err)
	}
	return int((c.s.Now() - start + roundTrip/2) / roundTrip)
}

// step is an operation on the register of the history: a swap to the value to, or a read.
type step struct {
	to   string // empty: read
	from string // what a swap replaced, or a read returned
}

// swap changes the register to a fresh value, which says what it replaced.
func (c *town) swap(h *home, number int) {
	value := fmt.Sprintf("v%d", number)
	op := porcupine.Operation{ClientId: number, Input: step{to: value}, Call: int64(c.s.Now())}
	at := len(c.history)
	op.Return, op.Output = math.MaxInt64, nil
	c.history = append(c.history, op)
	got, err := h.registers.Change(h.env.Background(), "name", func(now []byte) ([]byte, error) {
		before, _, _ := strings.Cut(string(now), "<")
		if before == value {
			return now, nil
		}
		return []byte(value + "<" + before), nil
	})
	switch {
	case err == nil:
		_, before, _ := strings.Cut(string(got), "<")
		c.history[at].Return, c.history[at].Output = int64(c.s.Now()), step{from: before}
	case !errors.Is(err, quorum.ErrUnknown):
		c.history[at].Input = nil // nothing was sent
	}
}

func (c *town) read(h *home, number int) {
	call := int64(c.s.Now())
	got, err := h.registers.Read(h.env.Background(), "name")
	if err != nil {
		return
	}
	value, _, _ := strings.Cut(string(got), "<")
	c.history = append(c.history, porcupine.Operation{ClientId: number, Call: call, Return: int64(c.s.Now()),
		Input: step{}, Output: step{from: value}})
}

// model is a register of strings that swaps. A swap whose outcome is unknown may replace anything.
var model = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		in, now := input.(step), state.(string)
		if out, ok := output.(step); ok && out.from != now {
			return false, now
		}
		if in.to == "" {
			return true, now
		}
		return true, in.to
	},
}

// linearizable judges the history.
func (c *town) linearizable() porcupine.CheckResult {
	var known []porcupine.Operation
	for _, op := range c.history {
		if op.Input != nil {
			known = append(known, op)
		}
	}
	return porcupine.CheckOperationsTimeout(model, known, time.Minute)
}

// storm lets clients on all nodes swap and read while nodes crash and are cut off, then heals and reads.
func (c *town) storm() {
	random := c.s.Rand("storm")
	for number := range 40 {
		h := c.homes[random.IntN(len(c.homes))]
		c.s.After(time.Duration(random.Int64N(int64(20*time.Second))), func() {
			h.env.Go("client", func() {
				if number%3 == 0 {
					c.read(h, number)
				} else {
					c.swap(h, number)
				}
			})
		})
	}
	for range 12 {
		h := c.homes[random.IntN(len(c.homes))]
		at := time.Duration(random.Int64N(int64(18 * time.Second)))
		lasts := time.Duration(random.Int64N(int64(4 * time.Second)))
		if random.IntN(2) == 0 {
			c.s.After(at, func() { h.env.Kill() })
			c.s.After(at+lasts, func() { h.env.Kill(); c.boot(h) })
			continue
		}
		c.s.After(at, func() { c.check(c.model.Isolate(h.name)) })
		c.s.After(at+lasts, func() { c.check(c.model.Rejoin(h.name)) })
	}
	c.run(60 * time.Second)
	for i, h := range c.homes {
		c.do(h, func(context.Context) { c.read(h, 100+i) })
	}
}

func (c *town) check(err error) {
	if err != nil {
		c.s.Fail(err)
	}
}

// TestLinearizable: whatever crashes and parts, the history of a register has an order.
func TestLinearizable(t *testing.T) {
	swaps, unknown := 0, 0
	for seed := range uint64(60) {
		c := newTown(t, seed)
		c.storm()
		for _, op := range c.history {
			if in, ok := op.Input.(step); ok && in.to != "" {
				swaps++
				if op.Output == nil {
					unknown++
				}
			}
		}
		if got := c.linearizable(); got != porcupine.Ok {
			t.Fatalf("seed %d: %s: %v", seed, got, c.history)
		}
	}
	if swaps < 800 || unknown == 0 || unknown > swaps/2 {
		t.Errorf("%d swaps, %d of unknown outcome: the storm does not test what it should", swaps, unknown)
	}
}

// TestMutants: a voter that breaks its promise is noticed.
func TestMutants(t *testing.T) {
	t.Run("accepts what it promised not to", func(t *testing.T) {
		for seed := range uint64(60) {
			c := newTown(t, seed, "register accepts what it promised not to")
			c.storm()
			if c.linearizable() == porcupine.Illegal {
				t.Logf("noticed after %d seeds", seed+1)
				return
			}
		}
		t.Error("no seed of 60 noticed")
	})
}

// TestRounds: a change takes two rounds, a read one.
func TestRounds(t *testing.T) {
	c := newTown(t, 1)
	set := func(value string) func([]byte) ([]byte, error) {
		return func([]byte) ([]byte, error) { return []byte(value), nil }
	}
	for _, h := range c.homes { // opens the connections
		c.do(h, func(ctx context.Context) { _, _ = h.registers.Read(ctx, "other") })
	}
	h := c.homes[0]
	rounds := c.do(h, func(ctx context.Context) {
		if _, err := h.registers.Change(ctx, "key", set("one")); err != nil {
			t.Error(err)
		}
	})
	if rounds != 2 {
		t.Errorf("a change took %d rounds, want 2", rounds)
	}
	for _, h := range c.homes {
		rounds := c.do(h, func(ctx context.Context) {
			if got, err := h.registers.Read(ctx, "key"); err != nil || string(got) != "one" {
				t.Errorf("read %q, %v", got, err)
			}
		})
		if rounds != 1 {
			t.Errorf("a read took %d rounds, want 1", rounds)
		}
	}
}

// TestRefusal: what a function refuses is decided, and stays as it is.
func TestRefusal(t *testing.T) {
	c := newTown(t, 2)
	h := c.homes[0]
	taken := errors.New("taken")
	c.do(h, func(ctx context.Context) {
		if got, err := h.registers.Read(ctx, "key"); got != nil || err != nil {
			t.Errorf("an unset register is %q, %v", got, err)
		}
		create := func(owner string) error {
			_, err := h.registers.Change(ctx, "key", func(now []byte) ([]byte, error) {
				if now != nil && string(now) != owner {
					return nil, fmt.Errorf("%s has it: %w", now, taken)
				}
				return []byte(owner), nil
			})
			return err
		}
		if err := create("ann"); err != nil {
			t.Error(err)
		}
		if err := create("bob"); !errors.Is(err, taken) || !strings.Contains(err.Error(), "ann has it") {
			t.Errorf("the second creator: %v", err)
		}
		if got, err := h.registers.Read(ctx, "key"); string(got) != "ann" || err != nil {
			t.Errorf("the register is %q, %v", got, err)
		}
		long := func([]byte) ([]byte, error) { return make([]byte, ValueMax+1), nil }
		if _, err := h.registers.Change(ctx, "key", long); err == nil {
			t.Error("a value above ValueMax was taken")
		}
		if _, err := h.registers.Read(ctx, strings.Repeat("k", KeyMax+1)); err == nil {
			t.Error("a key above KeyMax was taken")
		}
	})
}

// TestMinority: a node cut off from the majority changes nothing, and says so.
func TestMinority(t *testing.T) {
	c := newTown(t, 3)
	for _, h := range c.homes[2:] {
		c.check(c.model.Isolate(h.name))
	}
	h := c.homes[0]
	c.do(h, func(ctx context.Context) {
		_, err := h.registers.Change(ctx, "key", func([]byte) ([]byte, error) { return []byte("x"), nil })
		if !errors.Is(err, quorum.ErrUnavailable) || errors.Is(err, quorum.ErrUnknown) {
			t.Errorf("a change without a majority: %v; want unavailable, and nothing unknown", err)
		}
	})
}
