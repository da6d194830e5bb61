package linear

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"granary/core/rt"
	"granary/experiments/baseline/site"
	"granary/netsim"
	"granary/sim/sched"
)

// Plan is a run. Every field must be set but Crashes and Cuts.
type Plan struct {
	Topology netsim.Topology
	Clients  int // each at a site, in turns
	Requests int // of each client
	Keys     int
	Limit    time.Duration // how long a client waits for an answer
	Crashes  bool          // one node after the other is down for a while
	Cuts     bool          // so is the network between two sites, or around one
}

// limit is the virtual time after which a run has hung.
const limit = time.Hour

// Result is what a run left.
type Result struct {
	Log
	Hash   uint64 // of the simulator's trace
	Faults int    // that were made
}

// Run carries out a plan on a store.
func Run(o sched.Options, p Plan, open site.Open) (*Result, error) {
	w, err := site.New(o, p.Topology, open)
	if err != nil {
		return nil, err
	}
	defer w.Sched.Stop()
	r := &run{World: w, plan: p, rand: w.Sched.Rand("clients")}
	err = w.Do(limit, func(ctx context.Context) error {
		g := rt.NewGroup(w.Env, ctx)
		for i := range p.Clients {
			g.Go("client", func(ctx context.Context) error { return r.client(ctx, i) })
		}
		faults := rt.NewGroup(w.Env, ctx)
		faults.Go("faults", r.faults)
		err := g.Wait()
		faults.Cancel()
		return err
	})
	r.result.Hash = w.Sched.Hash()
	return &r.result, err
}

type run struct {
	*site.World
	plan   Plan
	rand   *rand.Rand
	values uint64 // the last that was written
	result Result
}

// client makes requests at its site, one at a time.
func (r *run) client(ctx context.Context, i int) error {
	for range r.plan.Requests {
		if err := r.Env.Sleep(ctx, time.Duration(r.rand.Int64N(int64(200*time.Millisecond)))); err != nil {
			return err
		}
		op := Op{Client: i, Key: fmt.Sprintf("key-%d", r.rand.IntN(r.plan.Keys))}
		switch n := r.rand.IntN(10); {
		case n < 5:
			op.Kind = Get
		case n < 9:
			op.Kind = Put
			r.values++
			op.Value = r.values
		default:
			op.Kind = Remove
		}
		r.result.Request(r.World, i%len(r.Sites), r.plan.Limit, op)
	}
	return nil
}

// faults makes one fault after another until the context ends.
func (r *run) faults(ctx context.Context) error {
	random := r.Sched.Rand("faults")
	between := func(low, high time.Duration) time.Duration {
		return low + time.Duration(random.Int64N(int64(high-low)))
	}
	var kinds []func(x, y int) (undo func())
	if r.plan.Cuts {
		kinds = append(kinds, r.cut, r.isolate)
	}
	if r.plan.Crashes {
		kinds = append(kinds, r.crash)
	}
	for len(kinds) > 0 {
		if err := r.Env.Sleep(ctx, between(time.Second/2, 3*time.Second)); err != nil {
			return err
		}
		x := random.IntN(len(r.Sites))
		y := (x + 1 + random.IntN(len(r.Sites)-1)) % len(r.Sites)
		undo := kinds[random.IntN(len(kinds))](x, y)
		r.result.Faults++
		if err := r.Env.Sleep(ctx, between(time.Second/2, 6*time.Second)); err != nil {
			return err
		}
		undo()
	}
	return nil
}

func (r *run) cut(x, y int) func() {
	from, to := r.Sites[x].Zone, r.Sites[y].Zone
	r.must(r.Net.Model().Cut(from, to))
	return func() { r.must(r.Net.Model().Heal(from, to)) }
}

func (r *run) isolate(x, _ int) func() {
	zone := r.Sites[x].Zone
	r.must(r.Net.Model().Isolate(zone))
	return func() { r.must(r.Net.Model().Rejoin(zone)) }
}

func (r *run) crash(x, _ int) func() {
	r.Crash(x)
	return func() { r.Boot(x) }
}

func (r *run) must(err error) { r.Sched.Fail(err) }
