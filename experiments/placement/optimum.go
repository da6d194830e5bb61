package main

import (
	"encoding/binary"
	"fmt"
	"slices"

	"granary/core/layout"
	"granary/core/rt"
)

const bytesPerGB = 1_000_000_000

// optimum is the table that core/layout computes, with a tolerance in ten-thousandths.
func optimum(tolerance int) func(c cluster, before *state) (table, error) {
	return func(c cluster, before *state) (table, error) {
		v, err := assign(c, params(partitions, tolerance), before)
		if err != nil {
			return nil, err
		}
		return tableOf(c, v), nil
	}
}

// rebalanced is the optimum of the day, after which up to budget replicas move to mix nodes better.
func rebalanced(budget int) func(c cluster, before *state) (table, error) {
	return func(c cluster, before *state) (table, error) {
		v, err := assign(c, params(partitions, 0), before)
		if err == nil && before != nil {
			v, err = layout.Rebalance(v, budget)
		}
		if err != nil {
			return nil, err
		}
		return tableOf(c, v), nil
	}
}

func params(partitions, tolerance int) layout.Params {
	return layout.Params{Replicas: replicas, MinZones: replicas, Partitions: partitions, Tolerance: tolerance}
}

// assign returns the layout of c that follows what before stores.
func assign(c cluster, params layout.Params, before *state) (*layout.Version, error) {
	var previous *layout.Version
	if before != nil {
		previous = versionOf(before, params)
	}
	v, err := layout.Assign(roles(c), params, previous)
	if err != nil {
		return nil, fmt.Errorf("%d nodes: %w", len(c.nodes), err)
	}
	return v, nil
}

// roles returns the nodes as core/layout knows them. Their ids follow from the salt, and so does their order.
func roles(c cluster) []layout.Role {
	all := make([]layout.Role, len(c.nodes))
	for i, n := range c.nodes {
		all[i] = layout.Role{Node: nodeID(c, n.id), Zone: layout.ZoneName(fmt.Sprintf("zone%02d", n.zone)),
			Capacity: n.capacity * bytesPerGB}
	}
	return all
}

func nodeID(c cluster, id int) (name rt.NodeID) {
	binary.BigEndian.PutUint64(name[:], hash(forID, c.salt, uint64(id)))
	return name
}

// versionOf returns a version with the table of a state, which need not be one that Assign would make.
func versionOf(s *state, params layout.Params) *layout.Version {
	v := &layout.Version{Number: 1, Params: params, Roles: roles(s.cluster), Algorithm: layout.Algorithm}
	slices.SortFunc(v.Roles, func(a, b layout.Role) int { return a.Node.Compare(b.Node) })
	index := indices(s.cluster, v)
	loads := make([]uint64, len(v.Roles))
	for _, row := range s.table {
		var entries [replicas]uint16
		for i, id := range row {
			entries[i] = uint16(index[id])
			loads[index[id]]++
		}
		slices.Sort(entries[:])
		v.Table = append(v.Table, entries[:]...)
	}
	for i, load := range loads {
		if load > 0 && (v.Size == 0 || v.Roles[i].Capacity/load < v.Size) {
			v.Size = v.Roles[i].Capacity / load
		}
	}
	return v
}

// indices returns where in the roles of a version of c each node stands, by id; -1 where there is no node.
func indices(c cluster, v *layout.Version) []int {
	index := slices.Repeat([]int{-1}, c.ids())
	for _, n := range c.nodes {
		index[n.id] = slices.IndexFunc(v.Roles, func(r layout.Role) bool { return r.Node == nodeID(c, n.id) })
	}
	return index
}

// tableOf returns the table of a version of c.
func tableOf(c cluster, v *layout.Version) table {
	ids := make([]int, len(v.Roles))
	for id, i := range indices(c, v) {
		if i >= 0 {
			ids[i] = id
		}
	}
	t := make(table, v.Params.Partitions)
	for p := range t {
		for i, index := range v.Row(layout.Partition(p)) {
			t[p][i] = ids[index]
		}
	}
	return t
}

// bound returns what a cluster could hold if partitions were as small as one likes, in GB.
func bound(c cluster) (float64, error) {
	b, err := layout.NewBound(roles(c), params(partitions, 0))
	if err != nil {
		return 0, err
	}
	bytes, _ := b.Usable.Float64()
	return bytes / bytesPerGB, nil
}

// leastMoves returns the fewest replicas that must move from what before stores to a table in which each node
// has the load that it has in after, with the zones that minZones asks for. Nodes of just these capacities
// leave the optimum no other load.
func leastMoves(before, after *state, minZones int) (int, error) {
	c := after.cluster
	c.nodes = slices.Clone(c.nodes)
	loads := after.table.loads(c)
	for i := range c.nodes {
		c.nodes[i].capacity = uint64(loads[c.nodes[i].id])
	}
	p := params(len(after.table), 0)
	p.MinZones = minZones
	v, err := assign(c, p, before)
	if err != nil {
		return 0, err
	}
	least := tableOf(c, v)
	if got := least.loads(c); !slices.Equal(got, loads) {
		return 0, fmt.Errorf("the optimum gives loads %v, asked for %v", got, loads)
	}
	return least.moves(before.table), nil
}
