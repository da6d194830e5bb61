package plan

import (
	"cmp"
	"slices"

	"granary/core/layout"
	"granary/core/rt"
)

// Limits of what a report tries.
const (
	// frontierMax is the most replicas of a table for which other tolerances are tried.
	frontierMax = 200_000
	// lossesMax is the most nodes of which each is left out in turn.
	lossesMax = 200
)

// tolerances are those of the frontier, in ten-thousandths.
var tolerances = []int{0, 50, 100, 200, 500}

// frontier assigns the layout again with other tolerances.
func (m *maker) frontier() {
	if m.in.Previous == nil || m.in.Next != nil || len(m.Next.Table) > frontierMax {
		return
	}
	chosen := m.in.Params.Tolerance
	all := append(slices.Clip(tolerances), chosen)
	slices.Sort(all)
	for _, tolerance := range slices.Compact(all) {
		params := m.in.Params
		params.Tolerance = tolerance
		v := m.Next
		if tolerance != chosen {
			var err error
			if v, err = layout.Assign(m.in.Roles, params, m.in.Previous); err != nil {
				rt.Break("plan: with tolerance %d there is no layout: %v", tolerance, err)
			}
		}
		m.Frontier = append(m.Frontier, FrontierPoint{
			Tolerance: tolerance, Replicas: v.Moves(m.in.Previous), Usable: v.Usable(),
			Chosen: tolerance == chosen,
		})
	}
}

// losses leaves out each zone and each node in turn.
func (m *maker) losses() {
	for _, z := range m.Zones {
		if z.Nodes > 0 {
			m.Losses = append(m.Losses, m.without(Loss{Zone: z.Name}, func(r layout.Role) bool {
				return string(r.Zone) == z.Name
			}))
		}
	}
	var storing []layout.Role
	for _, r := range m.in.Roles {
		if r.Stores() {
			storing = append(storing, r)
		}
	}
	if len(storing) > lossesMax {
		return
	}
	slices.SortStableFunc(storing, func(a, b layout.Role) int {
		return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(m.in.name(a.Node), m.in.name(b.Node)))
	})
	for _, lost := range storing {
		l := Loss{Zone: string(lost.Zone), Node: m.in.name(lost.Node)}
		m.Losses = append(m.Losses, m.without(l, func(r layout.Role) bool { return r.Node == lost.Node }))
	}
}

// without fills in what the cluster is without the roles that are lost.
func (m *maker) without(l Loss, lost func(layout.Role) bool) Loss {
	rest := slices.DeleteFunc(slices.Clone(m.in.Roles), lost)
	size, err := layout.Optimum(rest, m.in.Params)
	l.MinZones = minZones(rest, m.in.Params)
	l.Usable = product(size, uint64(m.in.Params.Partitions))
	if err == nil && size == 0 {
		err = layout.ErrCapacity
	}
	if err != nil {
		l.Refused = refusals(rest, m.in.Params, err)[0].Text
	}
	return l
}
