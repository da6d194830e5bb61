package campaign

import (
	"fmt"
	"math/rand/v2"
	"time"

	"granary/sim/check"
	"granary/sim/fault"
	"granary/sim/workload"
	"granary/sim/workload/items"
)

// lateKinds are what must succeed when all is healed: everything but what a client gives up, and what may
// find that there is nothing, or not enough.
var lateKinds = []workload.Kind{workload.Put, workload.Get, workload.Head, workload.Delete,
	workload.DeleteMany, workload.List, workload.Multipart}

// lateID is the id of the first late operation.
const lateID = 1 << 20

// Draw draws the plan of a seed: the shape of the cluster, which kinds of faults there are and when, what the
// clients do. Half of the seeds are run for safety alone. In the other half some faults of the victims stay
// when the rest is healed, and the others must do without them: see [Run].
func Draw(seed uint64, o Options) *Plan {
	stream := func(part uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, part)) }
	p := &Plan{Seed: seed, Mutants: o.Mutants, Flags: o.flags()}
	p.Config.drawNodes(stream(1))
	p.Config.draw(stream(2))
	p.Config.Resting = p.Config.Resting || o.Resting
	p.Config.drawKeep(stream(7), o.Collect)
	t, err := p.Config.topology()
	if err != nil {
		panic(err) // drawn within bounds
	}
	span := o.span()
	if !o.Calm {
		r := stream(3)
		scope := fault.Scope{Topology: t, Length: span, NoSync: p.Config.NoSync,
			Forever: r.IntN(2) == 0, Always: o.Always}
		victims := scope.Victims(r)
		p.Faults = fault.Draw(r, scope, victims)
		if scope.Forever {
			p.Config.Victims = victims
		}
	}
	r := stream(4)
	ops := o.Ops
	if ops == 0 {
		ops = 300 + r.IntN(151)
	}
	if !o.Items {
		p.Ops = workload.New(r.Uint64(), workload.Options{Ops: ops, Nodes: len(p.Config.Nodes), Span: span,
			Large: 2}).Ops
		p.Late = workload.New(r.Uint64(), workload.Options{Ops: 30, Nodes: len(p.Config.Nodes),
			Span: 5 * time.Second, Large: -1, Kinds: lateKinds, First: lateID}).Ops
	}
	r = stream(6)
	levels := []check.Level{"", "", "", "", check.Monotonic, check.Monotonic, check.Eventual}
	p.Config.Level = levels[r.IntN(len(levels))]
	workload.DrawLevels(r, p.Ops)
	p.Items = items.Draw(stream(5), o.itemOps(ops), span)
	return p
}

// flags are those of the command that draws with these options.
func (o *Options) flags() (s string) {
	for _, f := range []struct {
		on   bool
		text string
	}{{o.Calm, " -calm"}, {o.Items, " -items"}, {o.Resting, " -resting"}, {o.Collect, " -collect"}} {
		if f.on {
			s += f.text
		}
	}
	for i, kind := range o.Always {
		s += []string{" -always ", ","}[min(i, 1)] + string(kind)
	}
	return s
}

// span is the virtual time over which clients work and faults come.
func (o *Options) span() time.Duration {
	if o.Span > 0 {
		return o.Span
	}
	return time.Minute
}

func (o *Options) itemOps(ops int) int {
	switch {
	case o.Items:
		return ops
	case o.Ops > 0:
		return max(ops/4, 6)
	}
	return 100
}

// drawKeep draws how long deletion markers are kept: in most seeds no longer than the faults last.
func (c *Config) drawKeep(r *rand.Rand, always bool) {
	if r.IntN(3) > 0 || always {
		c.Keep = time.Duration(5+r.IntN(20)) * time.Second
	}
}

// drawNodes draws 3 to 7 nodes in as many places as replicas or fewer, and how far apart they are.
func (c *Config) drawNodes(r *rand.Rand) {
	c.Zones = 3
	if r.IntN(5) == 0 {
		c.Zones = 1 + r.IntN(2)
	}
	c.Delay = time.Duration(1+r.IntN(80)) * time.Millisecond
	c.Jitter = time.Duration(r.Int64N(int64(c.Delay)))
	c.Inside = time.Duration(100+r.IntN(400)) * time.Microsecond
	nodes := max(c.Zones, 3) + r.IntN(8-max(c.Zones, 3))
	for i := range nodes {
		c.Nodes = append(c.Nodes, fmt.Sprintf("%c%d", 'a'+i%c.Zones, 1+i/c.Zones))
	}
	if nodes > 4 && r.IntN(3) == 0 {
		c.Gateways = c.Nodes[nodes-1:]
	}
}

// draw draws how the runtime, the disks and the network behave.
func (c *Config) draw(r *rand.Rand) {
	c.Shuffle = r.IntN(2) == 0
	c.Yield = []int{0, 1, 20, 100}[r.IntN(4)]
	c.Buggify = r.IntN(2) == 0
	c.Commit = time.Duration(r.IntN(5_000)) * time.Microsecond
	c.SSD = r.IntN(2) == 0
	c.NoSync = r.IntN(8) == 0
	c.Compress = r.IntN(3) == 0
	c.EncodeSelf = r.IntN(4) == 0
	c.Silent = []int{0, 200, 1000}[r.IntN(3)]
	c.Resting = r.IntN(8) == 0
}
