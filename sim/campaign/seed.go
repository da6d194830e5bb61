// Package campaign runs whole simulations: a seed becomes a cluster of 3 to 7 nodes, a workload and a plan of
// faults; the clients' history is judged by the checkers, and when all is healed every acknowledged object is
// read again.
package campaign

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"granary/core/auth"
	"granary/core/bucket"
	"granary/core/rt"
	"granary/netsim"
	"granary/sim/check"
	"granary/sim/fault"
	"granary/sim/sched"
	"granary/sim/workload"
	"granary/sim/workload/items"
	"granary/sim/workload/wire"
	"granary/sim/world"
)

const (
	// span is the virtual time over which clients work and faults come.
	span = time.Minute
	// limit is the virtual time in which a client's work must end, and after that, with all healed, the
	// verification.
	limit = 30 * time.Minute
	// settle is the virtual time between the healing and the verification: enough for a few passes of
	// anti-entropy.
	settle = 2 * time.Minute
	// stepBudget bounds porcupine's search for one key, in steps of the model.
	stepBudget = 200_000

	bucketName = "bucket"
)

// Options shape a simulation. The zero value is what campaigns run.
type Options struct {
	Ops     int      // client operations; 0: 300 to 450
	Mutants []string // protocol steps to break
	Calm    bool     // no faults
	Items   bool     // only the clients of items, and more of them
	Log     func(sched.Line)
	Window  [2]uint64 // events to record; see sched.Options
}

// Result is what a simulation showed.
type Result struct {
	Seed       uint64
	Nodes      int
	Hash       uint64
	Events     uint64
	Virtual    time.Duration
	Ops        int
	Answers    workload.Stats
	Faults     map[fault.Kind]int
	Sometimes  map[string]int
	Violations []check.Violation
	Unknown    int   // keys that porcupine gave up on
	Err        error // the run failed, or the checkers disagreed
	History    *check.History
	Items      *check.ItemHistory
	Plan       []fault.Event
	Trace      []string // the events of Options.Window
	Checks     []uint64 // hash checkpoints
}

// Failed reports whether the simulation found anything wrong.
func (r *Result) Failed() bool { return r.Err != nil || len(r.Violations) > 0 }

// Seed runs one simulation. The result is a pure function of seed and options.
func Seed(seed uint64, o Options) *Result {
	r := &Result{Seed: seed, History: &check.History{}, Items: &check.ItemHistory{}}
	draw := rand.New(rand.NewPCG(seed, 0x63616d706169676e))
	topology := drawTopology(draw)
	r.Nodes = len(topology.Nodes)
	w, err := world.New(drawWorld(draw, seed, topology, o))
	if err != nil {
		r.Err = err
		return r
	}
	defer w.Close()
	r.Err = r.run(w, draw, o)
	r.Hash, r.Events, r.Virtual = w.Sched.Hash(), w.Sched.EventCount(), w.Sched.Now()
	r.Sometimes, r.Trace, r.Checks = w.Sched.Sometimes(), w.Sched.Events(), w.Sched.Checkpoints()
	return r
}

// drawTopology draws 3 to 7 nodes in as many places as replicas or fewer, and how far apart they are.
func drawTopology(r *rand.Rand) netsim.Topology {
	zones := 3
	if r.IntN(5) == 0 {
		zones = 1 + r.IntN(2)
	}
	delay := time.Duration(1+r.IntN(80)) * time.Millisecond
	between := netsim.Path{Delay: delay, Jitter: time.Duration(r.Int64N(int64(delay)))}
	inside := netsim.Path{Delay: time.Duration(100+r.IntN(400)) * time.Microsecond}
	t := netsim.Regular("drawn", zones, 7, between, inside)
	nodes := max(zones, 3) + r.IntN(8-max(zones, 3))
	var kept []netsim.Node
	for i := range 7 {
		for z := range zones {
			if len(kept) < nodes {
				kept = append(kept, t.Nodes[z*7+i])
			}
		}
	}
	t.Nodes = kept
	return t
}

// drawWorld draws how the runtime, the disks and the network behave.
func drawWorld(r *rand.Rand, seed uint64, t netsim.Topology, o Options) world.Options {
	w := world.Default(seed, t)
	w.Sched.Shuffle = r.IntN(2) == 0
	w.Sched.YieldPerMille = []int{0, 1, 20, 100}[r.IntN(4)]
	w.Sched.Buggify = r.IntN(2) == 0
	w.Sched.Mutants, w.Sched.Log, w.Sched.Window = o.Mutants, o.Log, o.Window
	w.Commit = time.Duration(r.IntN(5_000)) * time.Microsecond
	w.Compress = r.IntN(3) == 0
	w.EncodeSelf = r.IntN(4) == 0
	w.Reclaim = hasty()
	return w
}

func (r *Result) run(w *world.World, draw *rand.Rand, o Options) error {
	if err := w.Form(); err != nil {
		return fmt.Errorf("form the cluster: %w", err)
	}
	key, err := w.MakeBucket(bucketName)
	if err != nil {
		return fmt.Errorf("make the bucket: %w", err)
	}
	c := workload.Config{Sched: w.Sched, Env: w.Env, Serve: w.Serve, Nodes: len(w.Machines),
		Bucket: bucketName,
		Region: world.Region, Key: auth.KeyID(key.ID), Secret: auth.Secret(key.Secret), Silent: 200,
		Link: wire.Link{Delay: time.Millisecond}, History: r.History}
	if o.Ops == 0 {
		o.Ops = 300 + draw.IntN(151)
	}
	plan := workload.New(draw.Uint64(), workload.Options{Ops: o.Ops, Nodes: len(w.Machines), Span: span,
		Large: 2})
	if !o.Calm {
		r.Plan = fault.Plan(draw, w.Net.Model().Topology(), span)
	}
	var run *items.Run
	both := func(context.Context) error {
		run = items.Start(r.itemConfig(w, key, o))
		g := rt.NewGroup(w.Env, w.Env.Background())
		if !o.Items {
			g.Go("objects", func(context.Context) error { r.Answers = workload.Run(c, plan); return nil })
		}
		g.Go("items", func(context.Context) error { run.Do(); return nil })
		return g.Wait()
	}
	faults := fault.Start(w, r.Plan)
	err = w.Do(limit, both)
	r.Faults = faults.Counts()
	if err != nil {
		return fmt.Errorf("workload: %w", err)
	}
	faults.Heal()
	if err := w.Sched.Run(settle); err != nil {
		return err
	}
	replicas, err := w.Replicas() // before the verification, whose reads would repair what they find
	if err != nil {
		return fmt.Errorf("replicas after everything was healed: %w", err)
	}
	r.Violations = check.Converged(replicas)
	var since int64
	err = w.Do(limit, func(context.Context) (err error) {
		since, _ = workload.Verify(c)
		lost, err := run.End()
		r.Violations = append(r.Violations, lost...)
		return err
	})
	if err != nil {
		return fmt.Errorf("verification after everything was healed: %w", err)
	}
	unsound, err := w.Check()
	if err != nil {
		return err
	}
	r.Violations = append(r.Violations, unsound...)
	left, err := leaks(w)
	if err != nil {
		return err
	}
	r.Violations = append(r.Violations, left...)
	r.Ops = len(r.History.Ops) + len(r.Items.Ops)
	return r.judge(since)
}

// itemConfig is the workload of the clients of items.
func (r *Result) itemConfig(w *world.World, key bucket.Key, o Options) items.Config {
	c := items.Config{Sched: w.Sched, Env: w.Env, Serve: w.ServeK2V, Nodes: len(w.Machines),
		Bucket: bucketName,
		Region: world.Region, Key: auth.KeyID(key.ID), Secret: auth.Secret(key.Secret),
		Link: wire.Link{Delay: time.Millisecond}, Seed: r.Seed, Span: span, History: r.Items}
	if o.Items {
		c.Ops = 300
	}
	return c
}

func (r *Result) judge(since int64) error {
	verdict, err := check.Agree(r.History, stepBudget)
	r.Violations = slices.Concat(r.Violations, verdict.Violations, check.Durable(r.History, since),
		check.Items(r.Items))
	r.Unknown = len(verdict.Report.Unknown)
	if err != nil {
		return err
	}
	if len(verdict.Report.Illegal) > 0 && len(verdict.Violations) == 0 {
		return errors.New("porcupine found a violation that the direct checker did not")
	}
	return nil
}

// Keys are the keys with violations, sorted.
func (r *Result) Keys() []string {
	keys := map[string]bool{}
	for _, v := range r.Violations {
		keys[v.Key] = true
	}
	return slices.Sorted(maps.Keys(keys))
}
