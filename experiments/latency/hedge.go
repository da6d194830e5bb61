package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"granary/core/hlc"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/netsim"
	"granary/sim/net"
	"granary/sim/sched"
)

// strategy is a way to hear from two of three replicas, one of which is the reader's own.
type strategy struct {
	name  string
	first int  // how many are asked at once
	hedge bool // the third is asked when the second is slower than usual: mean and four deviations
}

// strategies are what jitter.csv compares: nearest asks as few as it needs; hedged asks one more when they
// are late; broadcast asks all, as granary does for what is small.
var strategies = []strategy{{"nearest", 2, false}, {"hedged", 2, true}, {"broadcast", 3, false}}

// jitters are in ms, up to all of the delay, which is 50 ms each way.
var jitters = []time.Duration{0, 5, 10, 20, 30, 40, 50}

// asksOfCell is how many questions each strategy is measured by at each jitter.
const asksOfCell = 1_000

// stall is how long three answers in a hundred are late besides, in the second half of jitter.csv: a pause of
// a machine, or a lost packet.
const stall = 500 * time.Millisecond

type nothing struct{}

var methodAsk = rpc.NewMethod[nothing, nothing]("latency.ask", rpc.Meta)

// jitter makes jitter.csv: how long it takes to hear from a read quorum, by strategy and jitter, without
// stalls and with them.
func (r *run) jitter() error {
	type cell struct {
		strategy strategy
		jitter   time.Duration
		stalls   bool
		times    []time.Duration
	}
	var cells []cell
	for _, stalls := range []bool{false, true} {
		for _, s := range strategies {
			for _, j := range jitters {
				cells = append(cells, cell{strategy: s, jitter: j * time.Millisecond, stalls: stalls})
			}
		}
	}
	err := r.simulate(len(cells), func(i int) (err error) {
		c := &cells[i]
		c.times, err = ask(r.seed, c.strategy, c.jitter, c.stalls)
		return err
	})
	if err != nil {
		return err
	}
	var out bytes.Buffer
	fmt.Fprintln(&out, "strategy,stalls,jitter_ms,mean_ms,p50_ms,p99_ms")
	for _, c := range cells {
		slices.Sort(c.times)
		sum := time.Duration(0)
		for _, d := range c.times {
			sum += d
		}
		fmt.Fprintf(&out, "%s,%t,%d,%s,%s,%s\n", c.strategy.name, c.stalls, c.jitter.Milliseconds(),
			millis(sum/asksOfCell), millis(c.times[asksOfCell/2]), millis(c.times[asksOfCell*99/100]))
	}
	return r.write("jitter.csv", out.Bytes())
}

// ask lets a replica hear from a quorum again and again.
func ask(seed uint64, how strategy, jitter time.Duration, stalls bool) ([]time.Duration, error) {
	s := sched.New(sched.Options{Seed: seed<<8 | uint64(jitter/time.Millisecond)})
	defer s.Stop()
	a, err := newAsker(s, jitter, stalls)
	if err != nil {
		return nil, err
	}
	var times []time.Duration
	done := false
	a.env.Go("ask", func() {
		for i := range asksOfCell + 10 {
			var took time.Duration
			if took, err = a.once(how); err != nil {
				break
			}
			if i >= 10 { // those before measure the round trips
				times = append(times, took)
			}
			if err = a.env.Sleep(a.env.Background(), 300*time.Millisecond); err != nil {
				break
			}
		}
		done = true
	})
	return times, errors.Join(s.RunUntil(limit, func() bool { return done }), err)
}

// asker is the first of three replicas.
type asker struct {
	env      *sched.Env
	endpoint *rpc.Endpoint
	engine   *quorum.Engine
	replicas []rt.NodeID // this one first
}

// still is a clock that stands: no stamp is made here.
type still struct{}

func (still) Last() hlc.Stamp { return 1 }
func (still) Merge(hlc.Stamp) {}

func newAsker(s *sched.Sched, jitter time.Duration, stalls bool) (*asker, error) {
	topology := netsim.Regular("jitter", 3, 1, netsim.Path{Delay: 50 * time.Millisecond, Jitter: jitter},
		netsim.Path{})
	model, err := netsim.NewModel(topology)
	if err != nil {
		return nil, err
	}
	network, err := net.New(s, model, net.DefaultOptions())
	if err != nil {
		return nil, err
	}
	a := &asker{}
	addrs := map[rt.NodeID]string{}
	for i, site := range topology.Nodes {
		var id rpc.Identity
		binary.BigEndian.PutUint64(id.Seed[:], uint64(i+1))
		self := net.PeerOf(id)
		addrs[self] = site.Addr()
		a.replicas = append(a.replicas, self)
		env := s.NewEnv(self, site.Name)
		transport, err := network.NewTransport(env, site.Name, id)
		if err != nil {
			return nil, err
		}
		transport.Admit(func(rt.NodeID) bool { return true })
		cfg := rpc.DefaultConfig()
		cfg.Clock = still{}
		endpoint := rpc.New(env, transport, cfg)
		endpoint.SetHooks(rpc.Hooks{Route: func(id rt.NodeID) (rpc.Route, bool) {
			addr, ok := addrs[id]
			return rpc.Route{Addr: addr}, ok
		}})
		rpc.Handle(endpoint, methodAsk, func(ctx context.Context, _ rt.NodeID, _ *nothing) (*nothing, error) {
			if stalls && i > 0 && env.Rand("stall").IntN(100) < 3 {
				return nil, env.Sleep(ctx, stall)
			}
			return nil, nil
		})
		env.Go("start", endpoint.Start)
		if i == 0 {
			a.env, a.endpoint = env, endpoint
			a.engine = quorum.New(env, rt.NewGroup(env, env.Background()))
		}
	}
	return a, nil
}

// once hears from two replicas and returns how long that took.
func (a *asker) once(how strategy) (time.Duration, error) {
	ctx := a.env.Background()
	start := a.env.Now()
	round := quorum.Start(ctx, a.engine, a.replicas, how.first,
		func(ctx context.Context, to rt.NodeID) (struct{}, error) {
			_, err := methodAsk.Call(ctx, a.endpoint, to, &nothing{})
			return struct{}{}, err
		})
	for heard := 0; heard < 2; {
		wait := time.Duration(0)
		if rtt, ok := a.endpoint.RTT(a.replicas[1]); ok && how.hedge {
			wait = rtt.Mean + 4*rtt.Dev
		}
		reply, err := round.Next(ctx, wait)
		switch {
		case errors.Is(err, rt.ErrTimeout):
			round.More()
		case err != nil:
			return 0, err
		case reply.Err != nil:
			return 0, reply.Err
		default:
			heard++
		}
	}
	took := a.env.Now() - start
	round.Detach(0)
	return took, nil
}
