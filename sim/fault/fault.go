// Package fault breaks simulated clusters: a plan of faults is data, drawn from a seed, and carried out on a
// world.
//
// Each plan first draws which kinds of faults exist in it at all, and how often they come: leaving some out
// finds more than having all at medium strength.
package fault

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"granary/netsim"
	"granary/sim/world"
)

// Kind is what happens to a machine or a path.
type Kind string

// The kinds of faults. Each ends by itself after Event.For.
const (
	Crash     Kind = "crash"     // power cut; the machine starts again afterwards
	Isolate   Kind = "isolate"   // no packet to or from a machine
	Partition Kind = "partition" // a zone is cut off from the others
	OneWay    Kind = "one-way"   // packets from one zone to another are lost
	Latency   Kind = "latency"   // everything between two zones takes longer
	Loss      Kind = "loss"      // packets between two zones are lost now and then
	Clock     Kind = "clock"     // a wall clock is off; it jumps there and back
	SlowDisk  Kind = "slow disk" // a machine's disk takes a multiple of its time
)

// Kinds are all kinds, in the order of reports.
func Kinds() []Kind {
	return []Kind{Crash, Isolate, Partition, OneWay, Latency, Loss, Clock, SlowDisk}
}

// Event is one fault.
type Event struct {
	At   time.Duration // after the start of the plan
	Kind Kind
	// On is the machine or zone, To the other zone of faults between two.
	On, To string
	For    time.Duration
	// Amount is the skew of a clock, the added latency, the loss in a million, or the slowness of a disk.
	Amount int64
}

// String returns the event on one line.
func (e Event) String() string {
	s := fmt.Sprintf("%v %s %s", e.At, e.Kind, e.On)
	if e.To != "" {
		s += "-" + e.To
	}
	return fmt.Sprintf("%s for %v amount %d", s, e.For, e.Amount)
}

// Plan draws the faults of a run of the given length on a topology.
func Plan(r *rand.Rand, t netsim.Topology, length time.Duration) []Event {
	var kinds []Kind
	for _, k := range Kinds() {
		if r.IntN(3) > 0 {
			kinds = append(kinds, k)
		}
	}
	if len(kinds) == 0 {
		kinds = []Kind{Crash}
	}
	pause := time.Duration(1+r.IntN(8)) * time.Second
	var plan []Event
	for at := draw(r, pause); at < length; at += draw(r, pause) {
		e := Event{At: at, Kind: kinds[r.IntN(len(kinds))],
			For: time.Duration(1+r.IntN(12_000)) * time.Millisecond}
		e.aim(r, t)
		plan = append(plan, e)
	}
	return plan
}

func draw(r *rand.Rand, mean time.Duration) time.Duration {
	return mean/2 + time.Duration(r.Int64N(int64(mean)))
}

// aim draws what the fault hits, and how hard.
func (e *Event) aim(r *rand.Rand, t netsim.Topology) {
	node := t.Nodes[r.IntN(len(t.Nodes))].Name
	a := r.IntN(len(t.Zones))
	b := (a + 1 + r.IntN(max(1, len(t.Zones)-1))) % len(t.Zones)
	switch e.Kind {
	case Crash, Isolate:
		e.On = node
	case Clock:
		e.On, e.Amount = node, r.Int64N(int64(2*time.Minute))-int64(time.Minute)
	case SlowDisk:
		e.On, e.Amount = node, 2+r.Int64N(100)
	case Partition:
		e.On = t.Zones[a].Name
	case OneWay:
		e.On, e.To = t.Zones[a].Name, t.Zones[b].Name
	case Latency:
		e.On, e.To, e.Amount = t.Zones[a].Name, t.Zones[b].Name, r.Int64N(int64(500*time.Millisecond))
	case Loss:
		e.On, e.To, e.Amount = t.Zones[a].Name, t.Zones[b].Name, 1+r.Int64N(50_000)
	}
}

// Injector carries a plan out.
type Injector struct {
	w      *world.World
	counts map[Kind]int
	active []Event
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

// begin makes a fault, unless an equal one is active.
func (in *Injector) begin(e Event) {
	same := func(a Event) bool { return a.Kind == e.Kind && a.On == e.On && a.To == e.To }
	if slices.ContainsFunc(in.active, same) {
		return
	}
	in.active = append(in.active, e)
	in.counts[e.Kind]++
	in.note(e, in.apply(e))
	in.w.Sched.After(e.For, func() { in.end(e) })
}

// end takes a fault back, if Heal has not done so.
func (in *Injector) end(e Event) {
	i := slices.Index(in.active, e)
	if i < 0 {
		return
	}
	in.active = slices.Delete(in.active, i, i+1)
	in.note(e, in.revert(e))
}

func (in *Injector) note(e Event, err error) {
	if err != nil {
		in.w.Sched.Fail(fmt.Errorf("fault %v: %w", e, err))
	}
}

// Heal ends every active fault at once.
func (in *Injector) Heal() {
	for len(in.active) > 0 {
		in.end(in.active[len(in.active)-1])
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

func (in *Injector) apply(e Event) error {
	model := in.w.Net.Model()
	switch e.Kind {
	case Crash:
		in.w.Crash(in.machine(e.On))
	case Clock:
		in.machine(e.On).SetWall(time.Duration(e.Amount))
	case SlowDisk:
		in.machine(e.On).Disk.Slow = e.Amount
	case Isolate, Partition:
		return model.Isolate(e.On)
	case OneWay:
		return model.CutOneWay(e.On, e.To)
	case Latency:
		return model.Degrade(e.On, e.To, netsim.Extra{Delay: time.Duration(e.Amount)})
	case Loss:
		return model.Degrade(e.On, e.To, netsim.Extra{Loss: netsim.Loss(e.Amount)})
	}
	return nil
}

func (in *Injector) revert(e Event) error {
	model := in.w.Net.Model()
	switch e.Kind {
	case Crash:
		in.w.Boot(in.machine(e.On))
	case Clock:
		in.machine(e.On).SetWall(0)
	case SlowDisk:
		in.machine(e.On).Disk.Slow = 1
	case Isolate, Partition:
		return model.Rejoin(e.On)
	case OneWay:
		return model.HealOneWay(e.On, e.To)
	case Latency, Loss:
		return model.Degrade(e.On, e.To, netsim.Extra{})
	}
	return nil
}
