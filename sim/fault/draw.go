package fault

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"granary/netsim"
)

// Scope says what may be drawn.
type Scope struct {
	Topology netsim.Topology
	Length   time.Duration // of the plan
	// NoSync: the disks sync nothing, so no power may be cut.
	NoSync bool
	// Forever: some faults of the victims last for good.
	Forever bool
	// Always are kinds that may come whatever is drawn, where they are allowed, and more often than others.
	Always []Kind
}

// Victims draws which nodes may be harmed.
func (s Scope) Victims(r *rand.Rand) (names []string) {
	t := s.Topology
	zone := t.Zones[r.IntN(len(t.Zones))].Name
	lone := t.Nodes[r.IntN(len(t.Nodes))].Name
	for _, n := range t.Nodes {
		if len(t.Zones) >= 3 && n.Zone == zone || len(t.Zones) < 3 && n.Name == lone {
			names = append(names, n.Name)
		}
	}
	return names
}

// Draw draws a plan in the order of its events.
func Draw(r *rand.Rand, s Scope, victims []string) []Event {
	var allowed []Info
	for _, f := range kinds {
		drawn := r.IntN(3) == 0
		if slices.Contains(s.Always, f.Kind) {
			allowed = append(allowed, f, f)
			drawn = true
		}
		if drawn && f.Awaits == "" && !(f.Cuts && s.NoSync) {
			allowed = append(allowed, f)
		}
	}
	if len(allowed) == 0 {
		f, _ := Kill.info()
		allowed = append(allowed, f)
	}
	var plan []Event
	if r.IntN(6) == 0 {
		plan = s.swizzle(r)
	}
	drained := s.drainable(r, victims)
	pause := time.Duration(1+r.IntN(8)) * time.Second
	for at := around(r, pause); at < s.Length; at += around(r, pause) {
		f := allowed[r.IntN(len(allowed))]
		e := Event{At: at, Kind: f.Kind, For: time.Duration(1+r.IntN(12_000)) * time.Millisecond}
		s.aim(r, &e, f, victims)
		if e.Kind == LayoutChange && r.IntN(2) == 0 && len(drained) > 0 {
			gone := e
			gone.On, gone.Amount = drained[r.IntN(len(drained))], 0
			if plan = append(plan, gone); gone.On == e.On || r.IntN(2) == 0 {
				continue
			} // else e.On takes its place
		}
		plan = append(plan, e)
	}
	if s.Forever {
		plan = append(plan, s.forever(r, victims)...)
	}
	slices.SortStableFunc(plan, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	return plan
}

// drainable draws which nodes may store nothing for a while. A node of every zone always stores, and three in
// all; if victims may be gone for good, so do more of the others than there are victims.
func (s Scope) drainable(r *rand.Rand, victims []string) (names []string) {
	steady, others, zones := 0, 0, map[string]bool{}
	for _, i := range r.Perm(len(s.Topology.Nodes)) {
		n := s.Topology.Nodes[i]
		victim := slices.Contains(victims, n.Name)
		if !zones[n.Zone] || steady < 3 || s.Forever && !victim && others <= len(victims) {
			zones[n.Zone] = true
			if steady++; !victim {
				others++
			}
			continue
		}
		names = append(names, n.Name)
	}
	return names
}

func around(r *rand.Rand, mean time.Duration) time.Duration {
	return mean/2 + time.Duration(r.Int64N(int64(mean)))
}

// aim draws what the fault hits, and how hard.
func (s Scope) aim(r *rand.Rand, e *Event, f Info, victims []string) {
	t := s.Topology
	a, b := r.IntN(len(t.Zones)), 1+r.IntN(max(1, len(t.Zones)-1))
	machine, victim := t.Nodes[r.IntN(len(t.Nodes))].Name, victims[r.IntN(len(victims))]
	switch {
	case f.aim == everything:
		e.On = "*"
	case f.aim == zone:
		e.On = t.Zones[a].Name
	case f.aim == zones:
		e.On, e.To = t.Zones[a].Name, t.Zones[(a+b)%len(t.Zones)].Name
	case f.Harm:
		e.On = victim
	default:
		e.On = machine
	}
	if amount := 1 + r.Int64N(max(1, f.most)); f.amount != none {
		e.Amount = amount
	}
	if e.Kind == Clock && r.IntN(2) == 0 {
		e.Amount = -e.Amount
	}
}

// swizzle cuts off machines one after another, and lets them back in another order.
func (s Scope) swizzle(r *rand.Rand) (plan []Event) {
	at, end := around(r, s.Length/2), time.Duration(0)
	for _, i := range r.Perm(len(s.Topology.Nodes))[:1+r.IntN(len(s.Topology.Nodes))] {
		plan = append(plan, Event{At: at, Kind: Isolate, On: s.Topology.Nodes[i].Name})
		at += time.Duration(r.IntN(2_000)) * time.Millisecond
	}
	end = at
	for _, i := range r.Perm(len(plan)) {
		end += time.Duration(1+r.IntN(2_000)) * time.Millisecond
		plan[i].For = end - plan[i].At
	}
	return plan
}

// forever draws faults of victims that stay: what a store must live with.
func (s Scope) forever(r *rand.Rand, victims []string) (plan []Event) {
	lasting := []Kind{Crash, Kill, Pause, Isolate, DeadDisk, FullDisk, SlowDisk, Clock}
	if s.NoSync {
		lasting = lasting[1:]
	}
	add := func(k Kind, on, to string) {
		f, _ := k.info()
		e := Event{At: time.Duration(r.Int64N(int64(s.Length))), Kind: k, On: on, To: to}
		if f.amount != none {
			e.Amount = 1 + r.Int64N(f.most)
		}
		plan = append(plan, e)
	}
	for _, v := range victims {
		if r.IntN(3) > 0 {
			add(lasting[r.IntN(len(lasting))], v, "")
		}
	}
	if len(s.Topology.Zones) >= 3 && r.IntN(2) == 0 {
		mine, other := s.zoneOf(victims[0]), s.Topology.Zones[r.IntN(len(s.Topology.Zones))].Name
		switch {
		case other == mine:
			add(Partition, mine, "")
		case r.IntN(2) == 0:
			add(OneWay, mine, other)
		default:
			add(OneWay, other, mine)
		}
	}
	return plan
}

func (s Scope) zoneOf(node string) string {
	for _, n := range s.Topology.Nodes {
		if n.Name == node {
			return n.Zone
		}
	}
	return ""
}
