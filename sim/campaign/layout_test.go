package campaign

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"granary/core/auth"
	"granary/core/cluster"
	"granary/core/layout"
	"granary/core/rt"
	"granary/core/table"
	"granary/netsim"
	"granary/sim/check"
	"granary/sim/workload"
	"granary/sim/workload/wire"
	"granary/sim/world"
)

// layoutSeedCount is how many simulations of changing layouts the test runs; GRANARY_LAYOUT_SEEDS has
// others, as FIRST-LAST.
const layoutSeedCount = 4

// span is the virtual time over which clients work and faults come.
const span = time.Minute

// operators change the layout of a world while it is used: they add nodes, drain and replace them, cut their
// power, and take their disks.
type operators struct {
	w    *world.World
	draw *rand.Rand
	did  map[string]int
	lazy bool // anti-entropy rests meanwhile
	over bool
}

// act does one thing after another until it is over.
func (o *operators) act(ctx context.Context) error {
	for !o.over {
		o.quiet(true)
		pause := time.Duration(1+o.draw.IntN(6)) * time.Second
		if err := o.w.Env.Sleep(ctx, pause); err != nil {
			return err
		}
		m := o.w.Machines[o.draw.IntN(len(o.w.Machines))]
		switch o.draw.IntN(5) {
		case 0:
			o.outage(ctx, m, false)
		case 2:
			if err := o.cut(ctx, m); err != nil {
				return err
			}
		case 1:
			if o.whole() {
				o.outage(ctx, m, true)
			}
		default:
			o.change(ctx, m)
		}
	}
	return nil
}

// quiet stops anti-entropy, or lets it go on: while it rests, a change of the layout has to do without.
func (o *operators) quiet(rest bool) {
	for _, m := range o.w.Machines {
		if m.Down() || !o.lazy {
			continue
		}
		if job := m.Node.Jobs().Find(table.JobName); rest {
			job.Pause()
		} else {
			job.Resume()
		}
	}
}

// whole reports whether every store is in sync: only then a disk may be lost.
func (o *operators) whole() bool {
	for _, m := range o.w.Machines {
		if m.Down() {
			return false
		}
		if _, far := m.Node.Cluster().Goal(); far || m.Node.Cluster().Status().Before != nil {
			return false
		}
	}
	return true
}

// settled is whole, with one layout that all know.
func (o *operators) settled() bool {
	if !o.whole() {
		return false
	}
	first := o.w.Machines[0].Node.Cluster().LayoutNumber()
	return !slices.ContainsFunc(o.w.Machines, func(m *world.Machine) bool {
		return m.Node.Cluster().LayoutNumber() != first
	})
}

// outage cuts a machine's power for a while, and takes its disks with it if it is lost.
func (o *operators) outage(ctx context.Context, m *world.Machine, lost bool) {
	if m.Down() {
		return
	}
	o.w.Crash(m)
	_ = o.w.Env.Sleep(ctx, time.Duration(1+o.draw.IntN(8_000))*time.Millisecond)
	if !lost {
		o.did["outage"]++
		o.w.Boot(m)
		_ = o.w.Env.Sleep(ctx, time.Second)
		return
	}
	o.did["lost disk"]++
	o.w.LoseStore(m)
	o.w.Boot(m)
	if err := o.w.Rejoin(ctx, m); err != nil {
		o.did["not back"]++
	}
}

// cut cuts a machine, or its zone, off from the others for a while, and changes the layout meanwhile.
func (o *operators) cut(ctx context.Context, m *world.Machine) error {
	what := m.Name
	if o.draw.IntN(2) == 0 {
		what = m.Zone
	}
	o.did["cut"]++
	if err := o.w.Net.Model().Isolate(what); err != nil {
		return err
	}
	o.change(ctx, o.w.Machines[o.draw.IntN(len(o.w.Machines))])
	_ = o.w.Env.Sleep(ctx, time.Duration(1+o.draw.IntN(8_000))*time.Millisecond)
	return o.w.Net.Model().Rejoin(what)
}

// change gives a machine a role, or takes it, and applies that at another one; both may fail.
func (o *operators) change(ctx context.Context, m *world.Machine) {
	at := o.w.Machines[o.draw.IntN(len(o.w.Machines))]
	if at.Down() {
		return
	}
	err := o.w.Operate(ctx, at, func(ctx context.Context, c *cluster.Cluster) error {
		ctx, cancel := at.Env.WithTimeout(ctx, 15*time.Second)
		defer cancel()
		role := layout.Role{Node: m.ID, Zone: layout.ZoneName(m.Zone), Capacity: 1 << 40}
		if stores := storing(c); slices.Contains(stores, m.ID) && len(stores) > 3 {
			role.Capacity = 0
		} else {
			role.Capacity += o.draw.Uint64N(1 << 39)
		}
		if err := c.Stage(ctx, role); err != nil {
			return err
		}
		_, err := c.Apply(ctx)
		return err
	})
	if err == nil {
		o.did["change"]++
	} else {
		o.did["refused change"]++
	}
}

// storing are the nodes that are to store in the next layout.
func storing(c *cluster.Cluster) (nodes []rt.NodeID) {
	for _, r := range c.Status().Roles {
		if r.Capacity > 0 {
			nodes = append(nodes, r.Node)
		}
	}
	return nodes
}

// changing runs one simulation in which the layout changes under faults, and returns what the checkers say.
func changing(seed uint64, mutants ...string) (wrong []check.Violation, did map[string]int, err error) {
	draw := rand.New(rand.NewPCG(seed, 0x6c61796f7574))
	between := netsim.Path{Delay: time.Duration(1+draw.IntN(40)) * time.Millisecond}
	topology := netsim.Regular("drawn", 3, 2, between, netsim.Path{Delay: 300 * time.Microsecond})
	options := world.Default(seed, topology)
	options.Sched.Mutants, options.Sched.Shuffle = mutants, draw.IntN(2) == 0
	options.Commit = time.Duration(draw.IntN(3_000)) * time.Microsecond
	for _, n := range topology.Nodes[4:] {
		options.Gateways = append(options.Gateways, n.Name)
	}
	w, err := world.New(options)
	if err != nil {
		return nil, nil, err
	}
	defer w.Close()
	if err := w.Form(); err != nil {
		return nil, nil, fmt.Errorf("form: %w", err)
	}
	key, err := w.MakeBucket(bucketName)
	if err != nil {
		return nil, nil, err
	}
	history := &check.History{}
	c := workload.Config{Sched: w.Sched, Env: w.Env, Serve: w.Serve, Nodes: len(w.Machines),
		Bucket: bucketName, Region: world.Region, Key: auth.KeyID(key.ID), Secret: auth.Secret(key.Secret),
		Silent: 200, Link: wire.Link{Delay: time.Millisecond}, History: history}
	work := workload.New(draw.Uint64(), workload.Options{Ops: 300, Nodes: len(w.Machines), Span: 2 * span,
		Large: 2})
	o := &operators{w: w, draw: draw, did: map[string]int{}, lazy: seed%2 == 0}
	ended := false
	var broken error
	w.Env.Go("operators", func() { broken = o.act(w.Env.Background()); ended = true })
	err = w.Do(limit, func(context.Context) error { workload.Run(c, work); return nil })
	if err != nil {
		return nil, o.did, fmt.Errorf("workload: %w", err)
	}
	o.over = true
	if err := w.Sched.RunUntil(limit, func() bool { return ended && o.settled() }); err != nil {
		return nil, o.did, fmt.Errorf("all was healed, and the layout does not settle: %w", err)
	}
	if broken != nil {
		return nil, o.did, broken
	}
	o.quiet(false)
	if err := w.Sched.Run(settle); err != nil {
		return nil, o.did, err
	}
	replicas, err := w.Replicas()
	if err != nil {
		return nil, o.did, err
	}
	wrong = check.Converged(replicas)
	var since int64
	err = w.Do(limit, func(context.Context) error { since, _ = workload.Verify(c); return nil })
	if err != nil {
		return wrong, o.did, err
	}
	verdict, err := check.Agree(history, stepBudget)
	return slices.Concat(wrong, verdict.Violations, check.Durable(history, since)), o.did, err
}

// TestLayoutChanges changes layouts under crashes, lost disks and partitions, and demands that no checker has
// anything to say, and that all comes to rest.
func TestLayoutChanges(t *testing.T) {
	total := map[string]int{}
	first, last := uint64(0), uint64(layoutSeedCount-1)
	if _, err := fmt.Sscanf(os.Getenv("GRANARY_LAYOUT_SEEDS"), "%d-%d", &first, &last); err == nil {
		t.Logf("seeds %d to %d", first, last)
	}
	for seed := first; seed <= last; seed++ {
		wrong, did, err := changing(seed)
		if err != nil {
			text := err.Error()
			if i := strings.Index(text, "\n"); i > 0 {
				text = text[:i]
			}
			t.Errorf("seed %d: %s", seed, text)
		}
		for i, v := range wrong {
			if i < 3 {
				t.Errorf("seed %d: %v", seed, v)
			}
		}
		for what, n := range did {
			total[what] += n
		}
	}
	t.Log(total)
	for _, what := range []string{"outage", "lost disk", "cut", "change"} {
		if total[what] == 0 {
			t.Errorf("no %s in %d seeds", what, layoutSeedCount)
		}
	}
}

// TestLayoutMutants breaks a step of the change of a layout and demands that a checker, or a change that
// never ends, tells within a few seeds.
func TestLayoutMutants(t *testing.T) {
	for name, seeds := range map[string]uint64{
		"layout: taken over from nobody": 4,
	} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(0); seed < 2*seeds; seed += 2 { // the lazy ones
				if wrong, _, err := changing(seed, name); err != nil || len(wrong) > 0 {
					t.Logf("caught by seed %d: %.200v %v", seed, err, wrong[:min(1, len(wrong))])
					return
				}
			}
			t.Errorf("nobody noticed in %d seeds", seeds)
		})
	}
}
