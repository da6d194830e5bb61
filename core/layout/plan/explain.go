package plan

import (
	"fmt"
	"slices"
	"strings"

	"granary/core/rt"
)

// roundingSaid is the least share of the bound, lost to whole partitions, that is worth a sentence.
const roundingSaid = 0.001

// sayer gathers sentences.
type sayer struct{ strings.Builder }

func (s *sayer) say(format string, args ...any) { fmt.Fprintf(s, format+"\n", args...) }

func (s *sayer) whatIf(w *WhatIf) {
	change := ""
	if w.Gain != 0 {
		change = ", " + formatChange(w.Gain)
	}
	if until := w.untilText(); until != "" {
		change += ", " + until
	}
	s.say("With %s: %s usable%s.", w.Text, formatBytes(w.Usable), change)
}

// Explain says in words what the layout holds, what limits it, and what would help. A refused report is
// explained by its refusals.
func (r *Report) Explain() string {
	s, u, l := r.Settings, r.Usable, r.Limit
	var t sayer
	if len(r.Refusals) > 0 {
		for _, n := range r.Refusals {
			t.say("There can be no such layout: %s. To do: %s.", n.Text, n.Remedy)
		}
		return t.String()
	}
	t.say("The layout holds %s: %d partitions of at most %s, each on %s in at least %s.",
		formatBytes(u.After), s.Partitions,
		formatBytes(u.PartitionSize), plural(s.Replicas, "node"), plural(s.MinZones, "zone"))
	t.say("No table of these nodes holds more than %s: %s.", formatBytes(u.Bound), l.Text)
	t.say("Each partition needs a place in %s. %s.", plural(l.Spread, l.Level), l.why())
	if u.Optimum > u.After {
		t.say("The tolerance of %s leaves %s unused, so that less moves.", formatTolerance(s.Tolerance),
			formatBytes(u.Optimum-u.After))
	}
	switch lost := formatBytes(u.Bound - min(u.Optimum, u.Bound)); {
	case u.Rounding < roundingSaid:
	case s.PartitionsAdvised > s.Partitions:
		t.say("%s is lost because partitions are whole; %d partitions instead of %d would hold %s.", lost,
			s.PartitionsAdvised, s.Partitions, formatBytes(u.Advised))
	default:
		t.say("%s is lost because partitions are whole.", lost)
	}
	for i := range r.WhatIf {
		t.whatIf(&r.WhatIf[i])
	}
	for _, n := range r.Warnings {
		t.say("Mind (%s): %s.", n.Code, n.Text)
	}
	return t.String()
}

// why says who limits, and who does not.
func (l *Limit) why() string {
	verb := "holds all that it can"
	if len(l.Limiting) > 1 {
		verb = "hold all that they can"
	}
	text := fmt.Sprintf("%s %s", formatNames(l.Limiting), verb)
	if len(l.Full) == 0 {
		return text
	}
	return fmt.Sprintf("%s could hold every partition and more, which helps nobody; %s", formatNames(l.Full),
		text)
}

// ExplainNode says in words why a node has what it has; ok is false if the report does not have it.
func (r *Report) ExplainNode(id rt.NodeID) (text string, ok bool) {
	i := slices.IndexFunc(r.Nodes, func(n Node) bool { return n.ID == id.String() })
	if i < 0 {
		return "", false
	}
	n := &r.Nodes[i]
	var t sayer
	switch {
	case len(r.Refusals) > 0:
		return r.Explain(), true
	case n.Removed:
		t.say("%s leaves: its %s go to other nodes.", n.Name, plural(n.Before, "partition"))
		return t.String(), true
	case n.Capacity == 0:
		t.say("%s, in zone %s, is a gateway: it serves requests and stores no partition.", n.Name, n.Zone)
		return t.String(), true
	}
	t.say("%s, in zone %s, offers %s and stores %d of %s: %s of what it offers, once the layout is full.",
		n.Name, n.Zone, formatBytes(n.Capacity), n.After, plural(r.Settings.Partitions, "partition"),
		formatPercent(n.Used))
	if n.Before > 0 && n.Gained+n.Lost > 0 {
		t.say("It had %d; it gets %d others and gives %d away.", n.Before, n.Gained, n.Lost)
	}
	r.explainLoad(&t, n)
	r.explainPrice(&t, n)
	for i := range r.WhatIf {
		if w := &r.WhatIf[i]; len(w.Nodes) == 1 && w.Nodes[0] == n.Name {
			t.whatIf(w)
		}
	}
	if n.Down {
		t.say("It does not answer now.")
	}
	return t.String(), true
}

// explainLoad says why a node has so many partitions.
func (r *Report) explainLoad(t *sayer, n *Node) {
	size := formatBytes(r.Usable.PartitionSize)
	fits := int(min(n.Capacity/max(r.Usable.PartitionSize, 1), uint64(r.Settings.Partitions)))
	zone := r.Zones[slices.IndexFunc(r.Zones, func(z Zone) bool { return z.Name == n.Zone })]
	switch {
	case n.BelowSize:
		t.say("A partition may hold %s, which is more than it offers: it gets none. More partitions are "+
			"smaller.", size)
	case n.After == r.Settings.Partitions:
		t.say("It has every partition, and a node stores each at most once: it cannot have more.")
	case n.After == fits:
		t.say("No more partitions of %s fit.", size)
	case zone.After <= r.Settings.Partitions && zone.Full:
		t.say("%d would fit. Zone %s has a replica of every partition and needs no other; its %s share them.",
			fits, n.Zone, plural(zone.Nodes, "node"))
	default:
		t.say("%d would fit; the other nodes have room for the rest.", fits)
	}
}

// explainPrice says what more capacity in a node would be worth.
func (r *Report) explainPrice(t *sayer, n *Node) {
	switch {
	case n.Price > 0:
		t.say("It limits the layout: a byte more here makes about %s usable.", significant(n.Price))
	case n.Limits:
		t.say("It limits the layout together with others: alone, a byte more here makes nothing usable, a " +
			"byte less takes something away.")
	default:
		t.say("It does not limit the layout: more capacity here makes nothing usable. What limits is %s.",
			formatNames(r.Limit.Limiting))
	}
}
