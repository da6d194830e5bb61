package plan

import (
	"fmt"
	"math"
	"math/big"
	"slices"

	"granary/core/layout"
	"granary/core/rt"
)

// maker fills one report.
type maker struct {
	*Report
	in    Input
	bound *layout.Bound
	crowd *crowd
	moves []move
}

// Make plans the layout that follows in.Previous. A layout that cannot be is a report with refusals.
//
// Errors: input that does not fit together.
// Cost: about six layouts: 70 ms for 100 nodes × 1024 partitions, 0.2 s for 1000 × 1024, 1.4 s for
// 1000 × 16384 (BenchmarkMake, two cores of a busy machine).
func Make(in Input) (*Report, error) {
	measured := len(in.PartitionBytes)
	if measured > 0 && (in.Previous == nil || measured != in.Previous.Params.Partitions) {
		return nil, fmt.Errorf("plan: sizes of %d partitions do not fit the version in force", measured)
	}
	in.Roles = sortedRoles(in.Roles)
	m := &maker{Report: newReport(), in: in}
	if in.Previous != nil {
		m.Number = in.Previous.Number + 1
	}
	next, err := in.Next, error(nil)
	if next == nil {
		next, err = layout.Assign(in.Roles, in.Params, in.Previous)
	} else {
		in.Roles, in.Params = next.Roles, next.Params
		m.in = in
	}
	m.crowd = gather(&m.in)
	m.settings()
	if err != nil {
		m.Refusals = refusals(in.Roles, in.Params, err)
		m.describe()
		return m.Report, nil
	}
	m.Next, m.Number = next, next.Number
	m.crowd.rows(&m.in, next)
	if m.bound, err = layout.NewBound(in.Roles, in.Params); err != nil {
		rt.Break("plan: version %d was assigned, yet it has no bound: %v", next.Number, err)
	}
	m.usable()
	m.describe()
	m.whatIf()
	m.limit()
	m.migration()
	m.makespan()
	m.frontier()
	m.dispersion()
	m.losses()
	m.warn()
	m.check()
	for _, w := range m.Warnings {
		m.Confirm = m.Confirm || w.Confirm
	}
	return m.Report, nil
}

// sortedRoles returns roles in the order of their nodes.
func sortedRoles(roles []layout.Role) []layout.Role {
	return slices.SortedFunc(slices.Values(roles), func(a, b layout.Role) int {
		return a.Node.Compare(b.Node)
	})
}

// newReport returns a report of a first version; its lists are empty rather than nil.
func newReport() *Report {
	return &Report{
		Refusals: []Notice{}, Warnings: []Notice{}, Number: 1,
		Limit: Limit{Full: []string{}, Limiting: []string{}}, WhatIf: []WhatIf{},
		Frontier: []FrontierPoint{}, Losses: []Loss{},
	}
}

// settings fills Settings and what is usable now.
func (m *maker) settings() {
	p := m.in.Params
	m.Settings = Settings{
		Replicas: p.Replicas, MinZones: minZones(m.in.Roles, p), MinRegions: max(1, p.MinRegions),
		Partitions: p.Partitions, PartitionsAdvised: advised(m.in.Roles), Tolerance: p.Tolerance,
	}
	if prev := m.in.Previous; prev != nil {
		m.Settings.MinZonesBefore = minZones(prev.Roles, prev.Params)
		m.Settings.MinRegionsBefore = max(1, prev.Params.MinRegions)
		m.Settings.PartitionsBefore = prev.Params.Partitions
		m.Usable.Before = prev.Usable()
	}
	for _, bytes := range m.in.PartitionBytes {
		m.Usable.Stored += bytes
	}
}

// minZones resolves the zones that each partition is in.
func minZones(roles []layout.Role, p layout.Params) int {
	if p.MinZones > 0 {
		return max(p.MinZones, p.MinRegions)
	}
	zones := map[layout.ZoneName]bool{}
	for _, r := range roles {
		if r.Stores() {
			zones[r.Zone] = true
		}
	}
	return max(min(p.Replicas, len(zones)), p.MinRegions)
}

// advised returns the least number of partitions with which rounding costs little: 12 for each storing
// node, and a power of two.
func advised(roles []layout.Role) int {
	storing, zones := 0, map[layout.ZoneName]bool{}
	for _, r := range roles {
		if r.Stores() {
			storing++
			zones[r.Zone] = true
		}
	}
	partitions, most := 1, min(layout.PartitionsMax, layout.PairsMax/max(1, len(zones)))
	for partitions < 12*storing && 2*partitions <= most {
		partitions *= 2
	}
	return partitions
}

// optimum returns the most that a table of these roles holds; 0 if there is none.
func optimum(roles []layout.Role, p layout.Params) uint64 {
	size, err := layout.Optimum(roles, p)
	if err != nil {
		return 0
	}
	return product(size, uint64(p.Partitions))
}

func (m *maker) usable() {
	u, p := &m.Usable, m.in.Params
	u.After = m.Next.Usable()
	u.PartitionSize = m.Next.Size
	u.Optimum = optimum(m.in.Roles, p)
	u.Bound = floor(m.bound.Usable)
	u.Rounding = 1 - ratio(float64(u.Optimum), float64(u.Bound))
	p.Partitions = m.Settings.PartitionsAdvised
	u.Advised = optimum(m.in.Roles, p)
}

// floor rounds down; what overflows is the greatest number.
func floor(r *big.Rat) uint64 {
	n := new(big.Int).Quo(r.Num(), r.Denom())
	if !n.IsUint64() {
		return math.MaxUint64
	}
	return n.Uint64()
}
