// Package campaign runs whole simulations. A seed becomes a [Plan]: a cluster of 3 to 7 nodes, workloads
// and faults, as data that can be written, read, made smaller and run again. The clients' history is judged
// by the checkers; when all is healed every acknowledged object is read again.
package campaign

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"granary/core/auth"
	"granary/core/bucket"
	"granary/core/cluster"
	"granary/core/layout"
	"granary/core/rt"
	"granary/core/table"
	"granary/sim/check"
	"granary/sim/fault"
	"granary/sim/net"
	"granary/sim/sched"
	"granary/sim/workload"
	"granary/sim/workload/items"
	"granary/sim/workload/wire"
	"granary/sim/world"
)

const (
	// limit is the virtual time in which a client's work must end, and after that, with all healed, the
	// verification.
	limit = 30 * time.Minute
	// work is the virtual time after which clients begin nothing more: those of a node that is gone for good
	// wait long for every answer.
	work = 5 * time.Minute
	// settle is the virtual time between the healing and the verification: enough for a few passes of
	// anti-entropy.
	settle = 2 * time.Minute
	// grace is the virtual time between the healing of all but the victims and the moment from which on
	// everything must succeed: enough to find each other again.
	grace = 30 * time.Second
	// spread is the virtual time after which every node uses what buckets are like.
	spread = 15 * time.Second
	// differEvery is the virtual time between two comparisons of the replicas, and differLooks how many come
	// after the first at most.
	differEvery = 30 * time.Second
	differLooks = 4
	// stepBudget bounds porcupine's search for one key, in steps of the model.
	stepBudget = 200_000

	bucketName = "bucket"
)

// Options shape what is drawn and how it is watched. The zero value is what campaigns run.
type Options struct {
	Ops     int           // operations on objects; 0: 300 to 450
	Span    time.Duration // over which clients work and faults come; 0: a minute
	Mutants []string      // protocol steps to break
	Calm    bool          // no faults
	Always  []fault.Kind  // kinds of faults that are in every seed
	Resting bool          // anti-entropy rests until all is healed; else in some seeds
	Collect bool          // deletion markers go soon; else in some seeds
	Items   bool          // only the clients of items, and more of them
	Log     func(sched.Line)
	Observe func(net.Event) // sees every message
	Window  [2]uint64       // events to record; see sched.Options
}

// Result is what a simulation showed.
type Result struct {
	Seed       uint64
	Plan       *Plan
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
	Trace      []string      // the events of Options.Window
	Checks     []uint64      // hash checkpoints
	begun      time.Duration // when the clients and the faults began
}

// Failed reports whether the simulation found anything wrong.
func (r *Result) Failed() bool { return r.Err != nil || len(r.Violations) > 0 }

// Seed runs the simulation of a seed. The result is a pure function of seed and options.
func Seed(seed uint64, o Options) *Result { return Run(Draw(seed, o), o) }

// Run runs a plan. First come its faults, under the clients of objects and items. Then all is healed but what
// lasts for good, and, where the plan has victims, everything asked of the other nodes must succeed, and all
// that was acknowledged must be there, without the victims. Then all is healed: the replicas must become
// equal, and everything is verified through every node.
//
// The result is a pure function of the plan; of the options only those to watch it by count.
func Run(p *Plan, o Options) *Result {
	r := &Result{Seed: p.Seed, Plan: p, History: &check.History{}, Items: &check.ItemHistory{}}
	options, err := p.world(o)
	if err != nil {
		r.Err = err
		return r
	}
	w, err := world.New(options)
	if err != nil {
		r.Err = err
		return r
	}
	defer w.Close()
	run := &run{Result: r, w: w, plan: p}
	r.Err = run.all()
	r.Hash, r.Events, r.Virtual = w.Sched.Hash(), w.Sched.EventCount(), w.Sched.Now()
	r.Sometimes, r.Trace, r.Checks = w.Sched.Sometimes(), w.Sched.Events(), w.Sched.Checkpoints()
	r.Ops = len(r.History.Ops) + len(r.Items.Ops)
	return r
}

// run is a simulation under way.
type run struct {
	*Result
	w      *world.World
	plan   *Plan
	faults *fault.Injector
	items  *items.Run
	key    bucket.Key
	since  int64 // event number of the last phase in which everything must be there
}

func (r *run) all() error {
	if err := r.w.Form(); err != nil {
		return fmt.Errorf("form the cluster: %w", err)
	}
	var err error
	if r.key, err = r.w.MakeBucket(bucketName); err != nil {
		return fmt.Errorf("make the bucket: %w", err)
	}
	if err := r.level(); err != nil {
		return fmt.Errorf("set the bucket's level: %w", err)
	}
	r.begun = r.w.Sched.Now()
	r.faults = fault.Start(r.w, r.plan.Faults)
	err = r.w.Do(limit, r.work)
	r.Faults = r.faults.Counts()
	if err != nil {
		return fmt.Errorf("workload: %w", err)
	}
	r.faults.Heal()
	if err := r.live(); err != nil {
		return fmt.Errorf("without %v: %w", r.plan.Config.Victims, err)
	}
	r.faults.HealAll()
	r.w.Wake()
	settled := func() bool { return !r.faults.Busy() && r.w.Settled() }
	if err := r.w.Sched.RunUntil(limit, settled); err != nil {
		return fmt.Errorf("all was healed, and the layout does not settle:%s\n%w", r.w.Standings(), err)
	}
	scrub(r.w)
	if err := r.w.Sched.Run(r.settle()); err != nil {
		return err
	}
	if err := r.rest(); err != nil {
		return fmt.Errorf("after everything was healed: %w", err)
	}
	return r.judge()
}

// level sets the bucket's level of consistency, and waits until all nodes must know.
func (r *run) level() error {
	if r.plan.Config.Level == "" {
		return nil
	}
	level, err := table.ParseConsistency(string(r.plan.Config.Level))
	if err != nil {
		return err
	}
	if err := r.w.SetConsistency(bucketName, level); err != nil {
		return err
	}
	return r.w.Sched.Run(spread)
}

func (r *run) settle() time.Duration {
	if d := r.plan.Config.Settle; d > 0 {
		return d
	}
	return settle
}

func (r *run) clients() workload.Config {
	return workload.Config{Sched: r.w.Sched, Env: r.w.Env, Serve: r.w.Serve, Nodes: len(r.w.Machines),
		Bucket: bucketName, Region: world.Region, Key: auth.KeyID(r.key.ID),
		Secret: auth.Secret(r.key.Secret), Silent: r.plan.Config.Silent, Level: r.plan.Config.Level,
		Link: wire.Link{Delay: time.Millisecond}, History: r.History}
}

// work is what clients do under faults.
func (r *run) work(context.Context) error {
	r.items = items.Start(items.Config{Sched: r.w.Sched, Env: r.w.Env, Serve: r.w.ServeK2V,
		Nodes: len(r.w.Machines), Bucket: bucketName, Region: world.Region, Key: auth.KeyID(r.key.ID),
		Secret: auth.Secret(r.key.Secret), Link: wire.Link{Delay: time.Millisecond}, Seed: r.plan.Seed,
		Steps: r.plan.Items, Until: r.begun + work, History: r.Items})
	g := rt.NewGroup(r.w.Env, r.w.Env.Background())
	g.Go("objects", func(context.Context) error {
		c := r.clients()
		c.Until = r.begun + work
		r.Answers = workload.Run(c, objects(r.plan.Ops))
		return nil
	})
	g.Go("items", func(context.Context) error { r.items.Do(); return nil })
	return g.Wait()
}

// live is the phase without the victims.
func (r *run) live() error {
	if len(r.plan.Config.Victims) == 0 || len(r.plan.Ops) == 0 {
		return nil
	}
	if err := r.w.Sched.Run(grace); err != nil {
		return err
	}
	if r.waits() {
		r.w.Env.Sometimes("a change of the layout waits for those who are gone", true)
		return nil
	}
	c := r.clients()
	c.At = r.plan.Config.core()
	var since int64
	err := r.w.Do(limit, func(context.Context) error {
		since = r.History.Tick()
		workload.Run(c, objects(r.plan.Late))
		workload.Verify(c)
		return nil
	})
	r.Violations = append(r.Violations, check.Alive(r.History, since)...)
	r.Violations = append(r.Violations, check.Durable(r.History, since)...)
	return err
}

// waits reports whether a change of the layout was under way when the victims went, and can go on only with
// them: of those that are left, fewer than a read quorum of all who store, or of the replicas of some
// partition, hold what the layout gives them, so that the others have too few to take over from.
func (r *run) waits() bool {
	var newest cluster.Status
	var set layout.Set
	whole := map[rt.NodeID]bool{}
	for _, i := range r.plan.Config.core() {
		m := r.w.Machines[i]
		if m.Down() {
			continue
		}
		c := m.Node.Cluster()
		if v, err := c.FullView(); err == nil && v.Live[len(v.Live)-1].Version >= set.Version {
			set, newest = v.Live[len(v.Live)-1], c.Status()
		}
		whole[m.ID] = m.Whole()
	}
	if !set.Reads(func(id rt.NodeID) bool { return whole[id] }) {
		return true
	}
	if newest.Before == nil {
		return false
	}
	for copies, partitions := range newest.Copies {
		if copies < newest.Before.Params.ReadQuorum() && partitions > 0 {
			return true
		}
	}
	return false
}

// rest compares the replicas and verifies everything.
func (r *run) rest() error {
	differ, err := r.differ() // before the verification, whose reads would repair what they find
	if err != nil {
		return err
	}
	r.Violations = append(r.Violations, differ...)
	err = r.w.Do(limit, func(context.Context) error {
		r.since, _ = workload.Verify(r.clients())
		lost, err := r.items.End()
		r.Violations = append(r.Violations, lost...)
		return err
	})
	if err != nil {
		return err
	}
	return r.sound()
}

// differ compares the replicas. What is freed in the background goes on, so a difference counts only if it is
// still there some passes of anti-entropy later.
func (r *run) differ() (left []check.Violation, err error) {
	for look := 0; ; look++ {
		replicas, err := r.w.Replicas()
		if err != nil {
			return nil, err
		}
		left = check.Converged(replicas)
		if len(left) == 0 || look == differLooks {
			return left, nil
		}
		if err := r.w.Sched.Run(differEvery); err != nil {
			return nil, err
		}
	}
}

// spared are faults that harm, and leave a store at which nothing is wrong: what they took was all, or is
// made good, and an image has what was synced.
var spared = map[fault.Kind]bool{fault.LostStore: true, fault.RowRot: true, fault.SetBack: true}

// sound checks what every node keeps, as granary check does. Where blocks were harmed on purpose they still
// are, since nothing has repaired them; rows were.
func (r *run) sound() error {
	unsound, err := r.w.Check()
	for _, v := range unsound {
		harmed := slices.ContainsFunc(r.plan.Faults, func(e fault.Event) bool {
			return e.Kind.Harms() && !spared[e.Kind] && v.Key == "store of "+e.On
		})
		if !harmed {
			r.Violations = append(r.Violations, v)
		}
	}
	if err != nil {
		return err
	}
	left, err := leaks(r.w)
	r.Violations = append(r.Violations, left...)
	return err
}

func (r *run) judge() error {
	verdict, err := check.Agree(r.History, stepBudget)
	r.Violations = slices.Concat(r.Violations, verdict.Violations, check.Durable(r.History, r.since),
		check.Alive(r.History, r.since), check.Items(r.Items))
	r.Unknown = len(verdict.Report.Unknown)
	if err != nil {
		return err
	}
	back, unknown, err := check.Registers(r.History, stepBudget)
	r.Violations = append(r.Violations, back...)
	r.Unknown += unknown
	if err != nil {
		return err
	}
	if len(verdict.Report.Illegal) > 0 && len(verdict.Violations) == 0 {
		return errors.New("porcupine found a violation that the direct checker did not")
	}
	return nil
}

// window is the stretch of time that a picture shows: around the first violation, at most half a minute.
func (r *Result) window() (from, to time.Duration) {
	from, to = r.begun, r.Virtual
	for _, v := range r.Violations {
		if v.Op < 0 || v.Op >= len(r.History.Ops) {
			continue
		}
		op := &r.History.Ops[v.Op]
		from, to = op.CalledAt, op.ReturnedAt
		if op.Return == check.Forever {
			to = from + 10*time.Second
		}
		if v.By >= 0 {
			from = min(from, r.History.Ops[v.By].CalledAt)
		}
		break
	}
	return max(from-time.Second, to-30*time.Second, 0), to + time.Second
}

// Keys are the keys with violations, sorted.
func (r *Result) Keys() []string {
	keys := map[string]bool{}
	for _, v := range r.Violations {
		keys[v.Key] = true
	}
	return slices.Sorted(maps.Keys(keys))
}
