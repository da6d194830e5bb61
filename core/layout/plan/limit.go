package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"granary/core/layout"
	"granary/core/rt"
)

// variantsMax bounds the single nodes that whatIf tries.
const variantsMax = 50

// limit says what the highest tight level is held back by.
func (m *maker) limit() {
	level := m.tight()
	full, limiting := map[string]bool{}, map[string]bool{}
	for i := range m.crowd.members {
		if c := &m.crowd.members[i]; c.is.Stores() {
			domain := m.domain(level, c)
			if m.bound.Full(level, c.id) {
				full[domain] = true
			} else {
				limiting[domain] = true
			}
		}
	}
	m.Limit = Limit{Level: level.Name, Spread: level.Spread, Full: sortedKeys(full),
		Limiting: sortedKeys(limiting)}
	m.Limit.Text = m.limitText()
}

// tight returns the highest level that limits.
func (m *maker) tight() *layout.LevelBound {
	for i := len(m.bound.Levels) - 1; i > 0; i-- {
		if l := &m.bound.Levels[i]; l.Tight {
			return l
		}
	}
	return &m.bound.Levels[0]
}

// domain names the domain of a node at a level.
func (m *maker) domain(l *layout.LevelBound, c *member) string {
	switch l.Name {
	case "zone":
		return string(c.is.Zone)
	case "region":
		return c.is.Zone.Region()
	}
	return m.in.name(c.id)
}

// limitText is the answer in one sentence.
func (m *maker) limitText() string {
	verb := "limits"
	if len(m.Limit.Limiting) > 1 {
		verb = "limit"
	}
	var answers []string
	grown := false
	for _, w := range m.WhatIf {
		switch {
		case len(w.Nodes) > 0 && !grown:
			grown = true
			answers = append(answers, fmt.Sprintf("%s gives %s", w.Text, formatChange(w.Gain)))
		case w.Gain > 0 && (w.MinZones > 0 && w.MinZones == m.Settings.MinZones-1 ||
			w.MinRegions > 0 && w.MinRegions == m.Settings.MinRegions-1):
			answers = append(answers,
				fmt.Sprintf("dropping to %s would give %s", w.Text, formatBytes(w.Usable)))
		}
	}
	text := formatNames(m.Limit.Limiting) + " " + verb
	if len(answers) == 0 {
		return text
	}
	return text + ": " + strings.Join(answers, "; ")
}

// whatIf tries to add capacity to what limits, and other spreads over zones. The most useful node is first.
func (m *maker) whatIf() {
	step := m.step()
	var limiting []*member
	type sort struct {
		zone     layout.ZoneName
		capacity uint64
	}
	seen := map[sort]bool{}
	byName := make([]*member, 0, len(m.crowd.members))
	for i := range m.crowd.members {
		byName = append(byName, &m.crowd.members[i])
	}
	slices.SortFunc(byName, func(a, b *member) int { return cmp.Compare(m.in.name(a.id), m.in.name(b.id)) })
	for _, c := range byName {
		kind := sort{c.is.Zone, c.is.Capacity}
		if c.is.Stores() && m.bound.Loss(c.id) > 0 && !seen[kind] {
			seen[kind] = true
			limiting = append(limiting, c)
		}
	}
	for _, c := range limiting[:min(len(limiting), variantsMax)] {
		m.WhatIf = append(m.WhatIf, m.grow(step, c))
	}
	slices.SortStableFunc(m.WhatIf, func(a, b WhatIf) int { return cmp.Compare(b.Gain, a.Gain) })
	if len(m.WhatIf) > 0 && m.WhatIf[0].Gain <= 0 {
		m.WhatIf = slices.Insert(m.WhatIf, 0, m.growTogether(step))
	}
	m.spreads()
}

// spreads tries other numbers of zones, and of regions where one is asked for.
func (m *maker) spreads() {
	s, zones := m.Settings, 0
	for _, z := range m.Zones {
		if z.Nodes > 0 {
			zones++
		}
	}
	try := func(text string, change func(*WhatIf, *layout.Params)) {
		w, params := WhatIf{Text: text}, m.in.Params
		change(&w, &params)
		m.WhatIf = append(m.WhatIf, m.answer(w, m.in.Roles, params))
	}
	setZones := func(n int) {
		try(plural(n, "zone"), func(w *WhatIf, p *layout.Params) { w.MinZones, p.MinZones = n, n })
	}
	for n := s.MinZones - 1; n >= s.MinRegions; n-- {
		setZones(n)
	}
	if more := s.MinZones + 1; more <= min(s.Replicas, zones) {
		setZones(more)
	}
	for n := s.MinRegions - 1; n >= 1; n-- {
		try(plural(n, "region"), func(w *WhatIf, p *layout.Params) {
			w.MinRegions, p.MinRegions, p.MinZones = n, n, s.MinZones
		})
	}
}

// step is the amount of capacity to try.
func (m *maker) step() uint64 {
	if m.in.Step > 0 {
		return m.in.Step
	}
	largest := uint64(1)
	for _, n := range m.Nodes {
		if n.Limits {
			largest = max(largest, n.Capacity)
		}
	}
	step := uint64(1)
	for step <= largest/50 {
		step *= 10
	}
	return step
}

// answer evaluates a changed cluster.
func (m *maker) answer(w WhatIf, roles []layout.Role, params layout.Params) WhatIf {
	w.Usable = optimum(roles, params)
	w.Gain = difference(w.Usable, m.Usable.Optimum)
	return w
}

// grow answers what more capacity in nodes gives.
func (m *maker) grow(step uint64, nodes ...*member) WhatIf {
	roles := slices.Clone(m.in.Roles)
	w := WhatIf{Added: step}
	for _, c := range nodes {
		w.Nodes = append(w.Nodes, m.in.name(c.id))
		i := slices.IndexFunc(roles, func(r layout.Role) bool { return r.Node == c.id })
		roles[i].Capacity = min(roles[i].Capacity+step, layout.CapacityMax)
	}
	each := ""
	if len(nodes) > 1 {
		each = "each of "
	}
	w.Text = fmt.Sprintf("+%s on %s%s", formatBytes(step), each, formatNames(w.Nodes))
	if until := m.bound.Until(nodes[0].id); len(nodes) == 1 && until != nil {
		w.Until = floor(until)
		w.Then = m.priceAfter(nodes[0].id, w.Until+1)
	}
	return m.answer(w, roles, m.in.Params)
}

// priceAfter returns the price of a node that has grown.
func (m *maker) priceAfter(node rt.NodeID, added uint64) float64 {
	roles := slices.Clone(m.in.Roles)
	i := slices.IndexFunc(roles, func(r layout.Role) bool { return r.Node == node })
	if roles[i].Capacity > layout.CapacityMax-min(added, layout.CapacityMax) {
		return 0
	}
	roles[i].Capacity += added
	b, err := layout.NewBound(roles, m.in.Params)
	if err != nil {
		rt.Break("plan: a node grew, and there is no layout: %v", err)
	}
	price, _ := b.Gain(node).Rat().Float64()
	return price
}

// growTogether answers what more capacity in every limiting domain gives: in its largest node.
func (m *maker) growTogether(step uint64) WhatIf {
	level := m.tight()
	largest := map[string]*member{}
	for i := range m.crowd.members {
		c := &m.crowd.members[i]
		if !c.is.Stores() || m.bound.Full(level, c.id) {
			continue
		}
		if old := largest[m.domain(level, c)]; old == nil || old.is.Capacity < c.is.Capacity {
			largest[m.domain(level, c)] = c
		}
	}
	var nodes []*member
	for _, name := range sortedKeys(largest) {
		nodes = append(nodes, largest[name])
	}
	return m.grow(step, nodes...)
}
