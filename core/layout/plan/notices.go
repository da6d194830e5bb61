package plan

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"granary/core/layout"
	"granary/core/rt"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// advise adds a warning that needs no confirmation.
func (m *maker) advise(code Code, remedy, format string, args ...any) {
	m.Warnings = append(m.Warnings, Notice{Code: code, Text: fmt.Sprintf(format, args...), Remedy: remedy})
}

// ask adds a warning that needs confirmation.
func (m *maker) ask(code Code, remedy, format string, args ...any) {
	m.advise(code, remedy, format, args...)
	m.Warnings[len(m.Warnings)-1].Confirm = true
}

// refusals turns an error of layout.Assign into refusals.
func refusals(roles []layout.Role, p layout.Params, err error) []Notice {
	storing, zones, regions := 0, map[string]bool{}, map[string]bool{}
	for _, r := range roles {
		if r.Stores() {
			storing++
			zones[string(r.Zone)] = true
			regions[r.Zone.Region()] = true
		}
	}
	refuse := func(code Code, remedy, format string, args ...any) []Notice {
		return []Notice{{Code: code, Text: fmt.Sprintf(format, args...), Remedy: remedy}}
	}
	switch {
	case errors.Is(err, layout.ErrTooFewNodes):
		return refuse(TooFewNodes, "add nodes with capacity, or lower the replicas",
			"%s, %d needed for %d replicas", plural(storing, "storing node"), p.Replicas, p.Replicas)
	case errors.Is(err, layout.ErrTooFewZones) && len(regions) < p.MinRegions:
		return refuse(TooFewRegions, "add a node in another region (the text before the slash of its zone),"+
			" or lower the regions", "storing nodes in %s (%s), %d needed",
			plural(len(regions), "region"), formatNames(sortedKeys(regions)), p.MinRegions)
	case errors.Is(err, layout.ErrTooFewZones):
		return refuse(TooFewZones, "add a node in another zone, or lower the zones",
			"storing nodes in %s (%s), %d needed", plural(len(zones), "zone"),
			formatNames(sortedKeys(zones)), p.MinZones)
	case errors.Is(err, layout.ErrCapacity):
		return refuse(TooLittleCapacity, "capacities are in bytes: check their units",
			"%s cannot hold %d replicas of %d partitions of one byte in %s", plural(storing, "storing node"),
			p.Replicas, p.Partitions, plural(minZones(roles, p), "zone"))
	case errors.Is(err, layout.ErrParams):
		var all []Notice
		for line := range strings.SplitSeq(err.Error(), "\n") {
			all = append(all, refuse(InvalidParameter, "correct the value", "%s",
				strings.TrimPrefix(line, "layout: "))...)
		}
		return all
	}
	rt.Break("plan: an error of no known kind: %v", err)
	return nil
}

// gainMin is the share of usable capacity from which a smaller spread is worth mentioning.
const gainMin = 0.10

// warn fills Warnings.
func (m *maker) warn() {
	if m.in.Previous != nil {
		m.warnFalls()
	}
	m.warnSpread()
	m.warnIdle()
	m.warnSizes()
	m.warnRoom()
	m.warnDown()
}

// warnFalls compares with the version in force.
func (m *maker) warnFalls() {
	u, s := m.Usable, m.Settings
	if rounding := uint64(m.Next.Params.Partitions); m.Next.Split == 0 && u.After < u.Before ||
		u.After+rounding < u.Before { // halves of an odd number of bytes
		m.ask(UsableFalls, "add capacity to what limits, or keep what is removed",
			"usable capacity falls from %s to %s", formatBytes(u.Before), formatBytes(u.After))
	}
	if s.MinZones < s.MinZonesBefore {
		m.ask(SpreadFalls, "keep storing nodes in as many zones",
			"each partition will be in %s, now it is in %d", plural(s.MinZones, "zone"), s.MinZonesBefore)
	}
	if s.MinRegions < s.MinRegionsBefore {
		m.ask(SpreadFalls, "leave the regions as they are",
			"each partition will be in %s, now it is in %d", plural(s.MinRegions, "region"),
			s.MinRegionsBefore)
	}
	if before := m.in.Previous.Params.Replicas; s.Replicas < before {
		m.ask(ReplicasFall, "", "each partition will have %s, now it has %d", plural(s.Replicas, "replica"),
			before)
	}
}

// warnSpread says what the last zone of the spread costs. It asks where that is new.
func (m *maker) warnSpread() {
	lower := m.Settings.MinZones - 1
	if lower < m.Settings.MinRegions {
		return
	}
	more, dear := spreadCost(m.in.Roles, m.in.Params, lower)
	if !dear {
		return
	}
	warn := m.ask
	if prev := m.in.Previous; prev != nil && m.Settings.MinZonesBefore == m.Settings.MinZones {
		if _, dear = spreadCost(prev.Roles, prev.Params, lower); dear {
			warn = m.advise
		}
	}
	remedy := fmt.Sprintf("add capacity to %s, or set the zones to %d", formatNames(m.Limit.Limiting), lower)
	warn(SpreadCosts, remedy, "with partitions in %s instead of %d, %s more would be usable",
		plural(lower, "zone"), m.Settings.MinZones, formatBytes(more))
}

// spreadCost returns how much more a lower number of zones makes usable, and whether that is much.
func spreadCost(roles []layout.Role, p layout.Params, lower int) (more uint64, dear bool) {
	if lower < 1 {
		return 0, false
	}
	usable := optimum(roles, p)
	p.MinZones = lower
	more = optimum(roles, p) - usable // fewer zones never hold less
	return more, float64(more) > gainMin*float64(usable)
}

// warnIdle finds capacity that was added in vain.
func (m *maker) warnIdle() {
	for _, n := range m.Nodes {
		switch {
		case n.Added && n.Capacity > 0 && n.After == 0 && m.in.Previous != nil:
			m.ask(IdleNode, "add it where capacity limits: "+formatNames(m.Limit.Limiting),
				"%s brings %s to %s and gets no partition", n.Name, formatBytes(n.Capacity), n.Zone)
		case !n.Added && n.Capacity > n.Was && !n.Limits && m.Usable.After <= m.Usable.Before:
			m.advise(IdleCapacity, "add it where capacity limits: "+formatNames(m.Limit.Limiting),
				"%s grows by %s, and nothing becomes usable by that", n.Name, formatBytes(n.Capacity-n.Was))
		}
	}
}

// warnSizes finds nodes that are too small, and too few partitions.
func (m *maker) warnSizes() {
	var small []string
	for _, n := range m.Nodes {
		if n.BelowSize {
			small = append(small, n.Name)
		}
	}
	s, u := m.Settings, m.Usable
	if len(small) > 0 {
		m.advise(BelowSize, "enlarge them, make them gateways, or use more partitions",
			"smaller than one partition of %s, and so without any: %s", formatBytes(u.PartitionSize),
			formatNames(small))
	}
	if s.Partitions < s.PartitionsAdvised && u.Advised > u.Optimum {
		remedy := fmt.Sprintf("set the partitions to %d: no data moves by that alone", s.PartitionsAdvised)
		m.advise(FewPartitions, remedy, "%d partitions lose %s to rounding; with %d, %s would be usable",
			s.Partitions, formatPercent(u.Rounding), s.PartitionsAdvised, formatBytes(u.Advised))
	}
	if m.Next.Split > 0 && u.Optimum > u.After {
		m.advise(OnlyDoubled, "the next change makes use of them, or a rebalance",
			"partitions are doubled where they are; a table made for %d of them would make %s more usable",
			s.Partitions, formatBytes(u.Optimum-u.After))
	}
}

// warnRoom compares what the partitions hold now with what the nodes can.
func (m *maker) warnRoom() {
	for i := range m.crowd.members {
		c := &m.crowd.members[i]
		name, capacity := m.in.name(c.id), formatBytes(c.is.Capacity)
		switch {
		case c.will > c.is.Capacity && (c.will > c.stored || c.is.Capacity < c.was.Capacity):
			m.Refusals = append(m.Refusals, Notice{Code: NoRoom, Remedy: "add capacity, or delete data first",
				Text: fmt.Sprintf("%s would hold %s as partitions are filled now, %s more than its %s", name,
					formatBytes(c.will), formatBytes(c.will-c.is.Capacity), capacity)})
		case c.arriving > 0 && c.stored+c.arriving > c.is.Capacity:
			m.ask(TightRoom, "let it drop partitions before it gets others",
				"%s holds %s and gets %s, together %s more than its %s", name, formatBytes(c.stored),
				formatBytes(c.arriving), formatBytes(c.stored+c.arriving-c.is.Capacity), capacity)
		}
	}
	if g := m.Migration; g.PartitionMax > unevenFrom*g.PartitionMean {
		m.advise(UnevenPartitions, "", "the largest partition holds %s, the mean is %s: nodes fill unevenly",
			formatBytes(g.PartitionMax), formatBytes(g.PartitionMean))
	}
}

// unevenFrom is how many times the mean a partition holds when it is worth mentioning.
const unevenFrom = 4

// warnDown says what nodes that do not answer have to do with the migration.
func (m *maker) warnDown() {
	var gaining []string
	for _, n := range m.Nodes {
		if n.Down && n.Gained > 0 {
			gaining = append(gaining, n.Name)
		}
	}
	if len(gaining) > 0 {
		m.ask(DownGains, "wait until they are back, or remove them",
			"partitions are given to nodes that are down: %s", formatNames(gaining))
	}
	lost := 0
	for _, mv := range m.moves {
		if len(mv.sources) == 0 {
			lost++
		}
	}
	if lost > 0 {
		m.ask(NoSource, "bring one of the nodes back that have them",
			"%s cannot be copied, since every node that has them is down", plural(lost, "replica"))
	}
}
