package layout

import (
	"fmt"
	"slices"

	"granary/core/rt"
)

// Assign returns the layout that follows prev: every partition on Replicas distinct nodes in at least
// MinZones zones and MinRegions regions, with the greatest partition size that the capacities allow, and
// the fewest replicas moved from prev that any such table has; if a size within Tolerance moves fewer,
// with that. A nil prev makes version 1.
//
// If nothing has changed since prev but Partitions, which is doubled once or more, every partition is split
// where it is and nothing moves; the next change makes use of the finer table. If nothing has changed at all,
// the table stays, if it is valid.
//
// Shape: roles in any order, each node once; capacities in bytes. If Partitions differs from prev's along
// with something else, the partitions of prev are split, or the first of those that join is followed.
// Determinism: a pure function of its arguments, the order of roles and tags aside; ties break by NodeID.
// Errors: ErrParams with every fault, ErrTooFewNodes, ErrTooFewZones, ErrCapacity; prev is untouched.
// Cost: O(ρP log N) for a first table; later a few passes over O(P·Z + ρP + N) arcs, 5 ms and 5 MB at 1000
// nodes × 1024 partitions; each new replica some microseconds for dispersion.
// Source: DESIGN.md.
func Assign(roles []Role, params Params, prev *Version) (*Version, error) {
	if err := params.Validate(); err != nil {
		return nil, fmt.Errorf("layout: %w", err)
	}
	roles, err := normalRoles(roles)
	if err != nil {
		return nil, fmt.Errorf("layout: %w", err)
	}
	c, err := newCluster(roles, params)
	if err != nil {
		return nil, err
	}
	if doublings, ok := onlyDoubled(prev, roles, params); ok && prev.Validate() == nil {
		return split(prev, roles, doublings), nil
	}
	best := c.optimum()
	if best == 0 {
		return nil, fmt.Errorf("layout: %d storing nodes cannot hold %d replicas of %d one-byte partitions"+
			" in %d zones: %w; capacities are in bytes: check their units",
			len(c.capacity), c.replicas, c.partitions, c.minZones, ErrCapacity)
	}
	v := &Version{Number: 1, Params: params, Roles: roles, Algorithm: Algorithm}
	previous := make([][]int, c.partitions)
	var rows [][]int
	switch {
	case prev == nil && c.minRegions == 1:
		rows = c.deal(c.targets(best))
	case prev == nil:
		rows = c.reassign(previous, best)
	default:
		v.Number, v.Parent = prev.Number+1, prev.Hash()
		previous = c.previous(prev, roles)
		rows = c.reassign(previous, best)
		if least := tolerated(best, params.Tolerance); least < best {
			if smaller := c.reassign(previous, least); newIn(smaller, previous) < newIn(rows, previous) {
				rows = smaller
			}
		}
	}
	c.disperse(rows, previous)
	v.Table, v.Size = c.table(rows)
	if err := v.Validate(); err != nil {
		rt.Break("layout: assigned version %d: %v", v.Number, err)
	}
	return v, nil
}

// onlyDoubled reports whether all that distinguishes roles and params from prev's is that the partitions are
// doubled, and how often: perhaps never. Tags do not count.
func onlyDoubled(prev *Version, roles []Role, params Params) (doublings int, ok bool) {
	if prev == nil || params.Partitions < prev.Params.Partitions {
		return 0, false
	}
	same := slices.EqualFunc(roles, prev.Roles, func(a, b Role) bool {
		return a.Node == b.Node && a.Zone == b.Zone && a.Capacity == b.Capacity
	})
	doublings = log2(params.Partitions) - log2(prev.Params.Partitions)
	params.Partitions = prev.Params.Partitions
	return doublings, same && params == prev.Params && prev.Size>>doublings > 0
}

// split returns the version that follows prev with partitions doubled so often, each half where the whole
// was.
func split(prev *Version, roles []Role, doublings int) *Version {
	v := &Version{Number: prev.Number + 1, Parent: prev.Hash(), Params: prev.Params, Roles: roles,
		Size: prev.Size >> doublings, Algorithm: Algorithm, Split: prev.Split + uint8(doublings)}
	v.Params.Partitions <<= doublings
	for p := range Partition(prev.Params.Partitions) {
		for range 1 << doublings {
			v.Table = append(v.Table, prev.Row(p)...)
		}
	}
	if err := v.Validate(); err != nil {
		rt.Break("layout: version %d split: %v", prev.Number, err)
	}
	return v
}

// previous returns, for each partition, the storing nodes that hold its data in prev, ascending.
func (c *cluster) previous(prev *Version, roles []Role) [][]int {
	rows := make([][]int, c.partitions)
	for p := range rows {
		for _, node := range previousNodes(prev, p, c.partitions) {
			v, ok := slices.BinarySearchFunc(c.index, node, func(i uint16, n rt.NodeID) int {
				return roles[i].Node.Compare(n)
			})
			if ok {
				rows[p] = append(rows[p], v)
			}
		}
	}
	return rows
}

// newIn counts the replicas that are not in the previous rows.
func newIn(rows, previous [][]int) int {
	n := 0
	for p, row := range rows {
		for _, v := range row {
			if !slices.Contains(previous[p], v) {
				n++
			}
		}
	}
	return n
}

// table turns rows of storing nodes into a table of role indices, and returns its size.
func (c *cluster) table(rows [][]int) (Table, uint64) {
	table := make(Table, 0, c.partitions*c.replicas)
	loads := make([]int, len(c.capacity))
	for p, row := range rows {
		if len(row) != c.replicas {
			rt.Break("layout: partition %d got %d replicas of %d", p, len(row), c.replicas)
		}
		for _, v := range slices.Sorted(slices.Values(row)) {
			loads[v]++
			table = append(table, c.index[v])
		}
	}
	return table, c.sizeOf(loads)
}
