package plan

import (
	"cmp"
	"fmt"
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
		f := FrontierPoint{Tolerance: tolerance, Replicas: m.Migration.Replicas, Bytes: m.Migration.Bytes,
			Usable: m.Usable.After, Chosen: true}
		if tolerance != chosen {
			f = tolerating(m.in, tolerance)
		}
		m.Frontier = append(m.Frontier, f)
	}
}

// tolerating says what a tolerance would do. The layout exists with another one.
func tolerating(in Input, tolerance int) FrontierPoint {
	in.Params.Tolerance = tolerance
	v, err := layout.Assign(in.Roles, in.Params, in.Previous)
	if err != nil {
		rt.Break("plan: with tolerance %d there is no layout: %v", tolerance, err)
	}
	m := &maker{Report: &Report{Next: v}, in: in, crowd: gather(&in)}
	m.crowd.rows(&in, v)
	f := FrontierPoint{Tolerance: tolerance, Usable: v.Usable()}
	for _, mv := range m.listMoves() {
		f.Replicas++
		f.Bytes += mv.bytes
	}
	return f
}

// Within returns the least tolerance with which the layout that follows in.Previous copies no more than so
// many bytes, for a change that is to be made at once. What is moved falls as the tolerance rises.
//
// Errors: those of layout.Assign; ErrUnreachable if the greatest tolerance does not do. Cost: a dozen
// layouts.
func Within(in Input, bytes uint64) (FrontierPoint, error) {
	if in.Previous == nil {
		return FrontierPoint{}, fmt.Errorf("plan: a first layout copies nothing")
	}
	if _, err := layout.Assign(in.Roles, in.Params, in.Previous); err != nil {
		return FrontierPoint{}, err
	}
	in.Roles = sortedRoles(in.Roles)
	least := tolerating(in, layout.ToleranceMax)
	if least.Bytes > bytes {
		return least, fmt.Errorf("plan: %s to copy: %w: with a tolerance of %s it is still %s;"+
			" make a smaller change", formatBytes(bytes), ErrUnreachable,
			formatTolerance(layout.ToleranceMax), formatBytes(least.Bytes))
	}
	low := -1 // copies more
	for least.Tolerance-low > 1 {
		if f := tolerating(in, low+(least.Tolerance-low)/2); f.Bytes > bytes {
			low = f.Tolerance
		} else {
			least = f
		}
	}
	return least, nil
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
