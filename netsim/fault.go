package netsim

import (
	"fmt"
	"slices"
	"time"
)

// Faults take the names of nodes or zones, or Any, and apply to packets sent afterwards: what is on the way
// already arrives. A packet of a node to itself is beyond them all.

// Extra is what Degrade adds to a path. The zero value adds nothing.
type Extra struct {
	Delay  time.Duration // may make a path up to DelayMax longer
	Jitter time.Duration // at most Delay
	Loss   Loss          // added to the path's own
}

// rule is one fault. A lone rule holds for packets of which exactly one end matches from.
type rule struct {
	kind     ruleKind
	from, to string
	extra    Extra
}

type ruleKind uint8

const (
	cutting ruleKind = iota
	lone
	degrading
)

// Cut loses every packet between a and b, in both directions. Cut of a zone and itself parts its nodes from
// one another. Repeating it changes nothing. Errors: ErrName.
func (m *Model) Cut(a, b string) error {
	if err := m.CutOneWay(a, b); err != nil {
		return err
	}
	return m.CutOneWay(b, a)
}

// CutOneWay loses every packet from one to the other; the way back stays. Errors: ErrName.
func (m *Model) CutOneWay(from, to string) error {
	return m.set(rule{kind: cutting, from: from, to: to})
}

// Heal undoes Cut and CutOneWay of the same two names, in both directions. Other cuts that part the two, by
// other names, stay. Errors: ErrName.
func (m *Model) Heal(a, b string) error {
	if err := m.HealOneWay(a, b); err != nil {
		return err
	}
	return m.HealOneWay(b, a)
}

// HealOneWay undoes CutOneWay. Errors: ErrName.
func (m *Model) HealOneWay(from, to string) error {
	return m.unset(rule{kind: cutting, from: from, to: to})
}

// Isolate parts a node, or a zone as a whole, from all others; inside a zone all is well. Errors: ErrName.
func (m *Model) Isolate(name string) error { return m.set(rule{kind: lone, from: name, to: name}) }

// Rejoin undoes Isolate. Errors: ErrName.
func (m *Model) Rejoin(name string) error { return m.unset(rule{kind: lone, from: name, to: name}) }

// Degrade makes the way from one to the other worse, in that direction; the latest call for the same two
// names counts, and a zero Extra undoes it. Calls for different names that match the same pair of nodes add
// up.
// Errors: ErrName, ErrTopology (values out of range).
func (m *Model) Degrade(from, to string, e Extra) error {
	var c checker
	c.path("extra", Path{Delay: e.Delay, Jitter: e.Jitter, Loss: e.Loss})
	if err := c.result(m.topo.Name); err != nil {
		return err
	}
	r := rule{kind: degrading, from: from, to: to, extra: e}
	if e == (Extra{}) {
		return m.unset(r)
	}
	return m.set(r)
}

// HealAll undoes every cut, by whatever names. Isolations and what Degrade did stay.
func (m *Model) HealAll() {
	m.rules = slices.DeleteFunc(m.rules, func(r rule) bool { return r.kind == cutting })
}

// Clear undoes every fault.
func (m *Model) Clear() { m.rules = nil }

// Reaches reports whether packets from one node to the other pass at all: neither cut nor certain to be lost.
// Errors: ErrName.
func (m *Model) Reaches(from, to string) (bool, error) {
	p, err := m.pair(from, to)
	if err != nil {
		return false, err
	}
	cut, extra := m.fault(p)
	return p.from == p.to || !cut && p.path.Loss+extra.Loss < Certain, nil
}

func (m *Model) set(r rule) error {
	if err := m.unset(r); err != nil {
		return err
	}
	m.rules = append(m.rules, r)
	return nil
}

func (m *Model) unset(r rule) error {
	for _, name := range []string{r.from, r.to} {
		if name != Any && m.nodes[name] == nil && m.zones[name] == nil {
			return fmt.Errorf("fault from %q to %q: %q: %w", r.from, r.to, name, ErrName)
		}
	}
	m.rules = slices.DeleteFunc(m.rules, func(o rule) bool {
		return o.kind == r.kind && o.from == r.from && o.to == r.to
	})
	return nil
}

// fault returns what the rules do to packets of p.
func (m *Model) fault(p *pair) (cut bool, extra Path) {
	for _, r := range m.rules {
		switch {
		case r.kind == lone:
			cut = cut || p.from.is(r.from) != p.to.is(r.from)
		case !p.from.is(r.from) || !p.to.is(r.to):
		case r.kind == cutting:
			return true, extra
		default:
			extra.Delay += r.extra.Delay
			extra.Jitter += r.extra.Jitter
			extra.Loss += r.extra.Loss
		}
	}
	return cut, extra
}

func (h *host) is(name string) bool { return name == h.name || name == h.site.name || name == Any }
