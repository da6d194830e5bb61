package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"granary/core/cluster"
	"granary/core/layout"
	"granary/netsim"
	"granary/sim/disk"
	"granary/sim/world"
)

// Injector carries a plan out. It is the only one who makes faults in its world.
//
// What holds at any moment follows from the events that are active: when one begins or ends, the state of the
// network and of every machine is worked out anew, so that faults that overlap do not end each other.
type Injector struct {
	w      *world.World
	counts map[Kind]int
	active []*active
	lost   *world.Machine // whose store is gone, or was set back, and is not known to be whole again
	busy   int            // tasks of operators
	over   bool
}

// active is an event that has begun and not ended.
type active struct {
	Event
	off   bool          // of a fault that comes and goes: it is gone
	skew  time.Duration // of a clock that jumps
	down  string        // Restarts: the machine that is down
	image world.Backup  // SetBack: to what
	ticks int
}

// Start arranges for the plan's events to happen on w from now on.
func Start(w *world.World, plan []Event) *Injector {
	in := &Injector{w: w, counts: map[Kind]int{}}
	for _, e := range plan {
		w.Sched.After(e.At, func() { in.begin(e) })
	}
	return in
}

// Counts is how many faults of each kind have happened.
func (in *Injector) Counts() map[Kind]int { return in.counts }

// Busy reports whether an operator is still at work on what a fault has done.
func (in *Injector) Busy() bool { return in.busy > 0 }

// begin makes a fault, unless all is over, what it hits is not there, or it would be one lost store too many.
func (in *Injector) begin(e Event) {
	if in.over || !in.hits(e) || e.Kind == LostStore && !in.spares(in.machine(e.On)) {
		return
	}
	a := &active{Event: e}
	in.active = append(in.active, a)
	if e.Kind != SetBack { // which happens at the end, if at all
		in.counts[e.Kind]++
	}
	in.strike(a)
	in.settle()
	if e.For > 0 {
		in.w.Sched.After(e.For, func() { in.finish(a) })
	}
	if period := in.period(a); period > 0 {
		in.w.Sched.After(period, func() { in.tick(a, period) })
	}
}

// hits reports whether the names are those of the world: a plan whose nodes were made fewer may have others.
func (in *Injector) hits(e Event) bool {
	known := func(name string) bool {
		return name == "*" || name == "" || slices.ContainsFunc(in.w.Machines,
			func(m *world.Machine) bool { return m.Name == name || m.Zone == name })
	}
	return known(e.On) && known(e.To)
}

// setBackEvery is how often it is looked whether a machine may be set back.
const setBackEvery = time.Second

// finish ends a fault when its time has come, or, if it can do no harm that is allowed yet, later.
func (in *Injector) finish(a *active) {
	if a.Kind == SetBack && slices.Contains(in.active, a) && !in.setsBack(a) {
		in.w.Sched.After(setBackEvery, func() { in.finish(a) })
		return
	}
	in.end(a)
}

// setsBack reports whether the machine of a SetBack may be set back now. The store that it then has must be
// known to be old by whomever it may ask: each other machine has stored that it heard more of it than the
// image has (core/cluster, "What is promised"). Since it is lost as soon as somebody says so, there may be no
// other that is: see spares.
func (in *Injector) setsBack(a *active) bool {
	m := in.machine(a.On)
	known, err := in.w.HeardSince(m, a.image)
	in.check(a, err)
	return known && in.spares(m)
}

// end takes a fault back, if nobody has done so.
func (in *Injector) end(a *active) {
	i := slices.Index(in.active, a)
	if i < 0 {
		return
	}
	in.active = slices.Delete(in.active, i, i+1)
	in.relieve(a)
	in.settle()
}

// Heal ends every fault at once but those for good, and begins no other.
func (in *Injector) Heal() {
	in.over = true
	for _, a := range slices.Clone(in.active) {
		if a.For > 0 {
			in.end(a)
		}
	}
}

// HealAll ends every fault.
func (in *Injector) HealAll() {
	in.over = true
	for len(in.active) > 0 {
		in.end(in.active[len(in.active)-1])
	}
}

// period is how often a fault changes by itself; 0: never.
func (in *Injector) period(a *active) time.Duration {
	switch a.Kind {
	case Flap:
		return max(time.Duration(a.Amount), time.Millisecond)
	case ClockJumps:
		return time.Second
	case Restarts:
		return max(a.For/time.Duration(2*len(in.w.Machines)), time.Millisecond)
	}
	return 0
}

func (in *Injector) tick(a *active, period time.Duration) {
	if !slices.Contains(in.active, a) {
		return
	}
	a.ticks++
	a.off = !a.off
	if a.Kind == ClockJumps {
		r := in.draw(a)
		a.skew = time.Duration(r.Int64N(2*a.Amount+1) - a.Amount)
	}
	if a.Kind == Restarts {
		a.down = ""
		order := rand.New(rand.NewPCG(uint64(a.Amount), 0x72)).Perm(len(in.w.Machines))
		if n := a.ticks / 2; a.ticks%2 == 1 && n < len(order) {
			a.down = in.w.Machines[order[n]].Name
		}
	}
	in.settle()
	in.w.Sched.After(period, func() { in.tick(a, period) })
}

// draw returns the random stream of an event's own, at its present tick.
func (in *Injector) draw(a *active) *rand.Rand {
	return in.w.Sched.Rand(fmt.Sprintf("fault %v tick %d", a.Event, a.ticks))
}

func (in *Injector) check(a *active, err error) {
	if err != nil {
		in.w.Sched.Fail(fmt.Errorf("fault %v: %w", a.Event, err))
	}
}

func (in *Injector) machine(name string) *world.Machine {
	for _, m := range in.w.Machines {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// strike does what a fault does once.
func (in *Injector) strike(a *active) {
	m := in.machine(a.On)
	switch a.Kind {
	case TornWrite:
		m.Disk.Interrupt = func() { in.w.Crash(m) }
	case SyncFailure:
		m.Disk.FailSync(int(a.Amount))
	case FullDisk:
		m.Disk.Capacity = m.Disk.Used() + a.Amount*disk.PageSize
	case Misdirect:
		m.Disk.MisdirectNext += int(a.Amount)
	case Rot, BadSector:
		r := in.draw(a)
		for range a.Amount {
			if h, ok := m.Disk.Pick(r); ok && a.Kind == Rot {
				m.Disk.FlipBit(h, r.Uint64())
			} else if ok {
				m.Disk.BreakSector(h)
			}
		}
	case RowRot:
		r := in.draw(a)
		for range a.Amount {
			m.RotRow(r)
		}
	case LostBlocks:
		in.w.Kill(m)
		in.w.LoseBlocks(m)
	case LostStore:
		in.lost = m
		in.w.Kill(m)
	case LayoutChange:
		in.operate(a, "stage", func(ctx context.Context, c *cluster.Cluster) error {
			return c.Stage(ctx, layout.Role{Node: m.ID, Zone: layout.ZoneName(m.Zone),
				Capacity: uint64(a.Amount) << 30})
		})
	case SetBack:
		a.image = m.Backup()
	}
}

// spares reports whether a machine may lose its store: the one that lost its own last, or was set back, holds
// again all that the layout gives it, and so do all others whose version is the one that is read. Else two of
// three would not know.
func (in *Injector) spares(m *world.Machine) bool {
	if in.lost != nil && in.lost != m && !(in.lost.Trusted() && in.lost.Whole()) {
		return false
	}
	var newest cluster.Status
	for _, other := range in.w.Machines {
		if other.Down() {
			continue
		}
		if s := other.Node.Cluster().Status(); s.Layout != nil && (newest.Layout == nil ||
			s.Layout.Number > newest.Layout.Number) {
			newest = s
		}
	}
	if newest.Layout == nil {
		return false
	}
	read := newest.Layout
	if newest.Before != nil {
		read = newest.Before
	}
	for _, n := range newest.Nodes {
		role, ok := read.Role(n.ID)
		if ok && role.Stores() && n.ID != m.ID && (n.Since > read.Number || read.Number > n.Synced) {
			return false
		}
	}
	return true
}

// relieve undoes what strike did, as far as that can be undone.
func (in *Injector) relieve(a *active) {
	m := in.machine(a.On)
	switch a.Kind {
	case TornWrite:
		m.Disk.Interrupt = nil
	case SyncFailure:
		m.Disk.HealSync()
		in.w.Kill(m) // its disk takes no more writes until it is opened again
	case FullDisk:
		m.Disk.Capacity = 0
	case Misdirect:
		m.Disk.MisdirectNext = 0
	case DeadDisk:
		in.w.Kill(m)
	case LostStore:
		if !in.spares(m) {
			break // the layout was changed meanwhile
		}
		in.w.LoseStore(m)
		in.later(func(ctx context.Context) error { return in.w.Rejoin(ctx, m) }, func(err error) {
			in.check(a, err)
		})
	case SetBack:
		if !in.setsBack(a) {
			break // all is healed before it may be
		}
		in.lost = m
		in.counts[SetBack]++
		in.w.Kill(m)
		in.w.SetBack(m, a.image)
	case LayoutChange:
		in.operate(a, "apply", func(ctx context.Context, c *cluster.Cluster) error {
			before := c.LayoutNumber()
			after, err := c.Apply(ctx)
			in.w.Env.Sometimes("a layout was applied under faults", err == nil && after > before)
			return err
		})
	}
}

// operate has an operator at a machine that is up do something with the cluster. It may fail, as it does when
// the machine is cut off, or a change of the layout is not over.
func (in *Injector) operate(a *active, what string, f func(context.Context, *cluster.Cluster) error) {
	var up []*world.Machine
	for _, m := range in.w.Machines {
		if !m.Down() {
			up = append(up, m)
		}
	}
	if len(up) == 0 {
		return
	}
	r := in.w.Sched.Rand(fmt.Sprintf("fault %v %s", a.Event, what))
	at := up[r.IntN(len(up))]
	in.later(func(ctx context.Context) error { return in.w.Operate(ctx, at, f) }, func(err error) {
		if err != nil {
			in.w.Env.Info("an operator failed", "fault", a.Event.String(), "at", at.Name, "error", err)
		}
	})
}

// later does something that takes time, and tells how it ended.
func (in *Injector) later(f func(ctx context.Context) error, ended func(error)) {
	in.busy++
	in.w.Env.Go("fault", func() {
		ended(f(in.w.Env.Background()))
		in.busy--
	})
}

// settle makes the world what the active events say.
func (in *Injector) settle() {
	in.network()
	for _, m := range in.w.Machines {
		in.settleMachine(m)
	}
}

func (in *Injector) network() {
	model := in.w.Net.Model()
	model.Clear()
	for _, a := range in.active {
		switch {
		case a.Kind == Isolate, a.Kind == Partition, a.Kind == Flap && !a.off:
			in.check(a, model.Isolate(a.On))
		case a.Kind == OneWay:
			in.check(a, model.CutOneWay(a.On, a.To))
		case a.Kind == Latency || a.Kind == Loss:
			in.check(a, model.Degrade(a.On, a.To, in.extra(a.On, a.To)))
		}
	}
}

// fate is what the active events want of a machine.
type fate struct {
	cut, killed, paused bool // down by a power cut, or by a kill
	skew                time.Duration
	slow                int64
	dead, syncFails     bool
}

func (in *Injector) fate(m *world.Machine) (f fate) {
	f.slow = 1
	for _, a := range in.active {
		if a.Kind == ZoneLoss && a.On == m.Zone {
			f.cut = true
		}
		f.killed = f.killed || a.Kind == Restarts && a.down == m.Name
		if a.On != m.Name {
			continue
		}
		switch a.Kind {
		case Crash:
			f.cut = true
		case Kill, LostStore:
			f.killed = true
		case Pause:
			f.paused = true
		case Clock:
			f.skew = time.Duration(a.Amount)
		case ClockJumps:
			f.skew = a.skew
		case SlowDisk:
			f.slow = max(f.slow, a.Amount)
		case DeadDisk:
			f.dead = true
		case StoreFailure:
			f.syncFails = true
		}
	}
	return f
}

func (in *Injector) settleMachine(m *world.Machine) {
	f := in.fate(m)
	m.SetWall(f.skew)
	m.Disk.Slow, m.Disk.Dead = f.slow, f.dead
	m.FailSync(f.syncFails)
	switch {
	case f.cut:
		in.w.Crash(m)
	case f.killed:
		in.w.Kill(m)
	default:
		in.w.Start(m)
	}
	m.SetPaused(f.paused)
}

// extra is what all active events together add to a path.
func (in *Injector) extra(from, to string) (x netsim.Extra) {
	for _, a := range in.active {
		switch {
		case a.On != from || a.To != to:
		case a.Kind == Latency:
			x.Delay += time.Duration(a.Amount)
		case a.Kind == Loss:
			x.Loss = min(x.Loss+netsim.Loss(a.Amount), netsim.Certain)
		}
	}
	return x
}
