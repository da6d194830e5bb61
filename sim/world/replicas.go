package world

import (
	"fmt"
	"maps"
	"slices"

	"granary/core/cluster"
	"granary/core/layout"
	"granary/core/table"
	"granary/sim/check"
)

// Replicas returns what every node that is up holds of every partition that is its own, and of the tables
// that all nodes hold, for check.Converged.
//
// Errors: those of the stores; a node whose digests are not those of its rows.
func (w *World) Replicas() ([]check.Replica, error) {
	var all []check.Replica
	for _, m := range w.Machines {
		if m.Down() {
			continue
		}
		mine, err := m.replicas()
		if err != nil {
			return nil, fmt.Errorf("machine %s: %w", m.Name, err)
		}
		all = append(all, mine...)
	}
	return all, nil
}

func (m *Machine) replicas() ([]check.Replica, error) {
	if err := m.Node.Tables().CheckDigests(); err != nil {
		return nil, err
	}
	full := check.Replica{Partition: "of all nodes", Node: m.Name, Rows: map[string]uint64{}}
	rows := map[layout.Prefix]map[string]uint64{}
	err := m.Node.Tables().Inventory(func(s table.Stock) {
		if s.Full {
			full.Rows[s.Key] = s.Sum
			return
		}
		if rows[s.Prefix] == nil {
			rows[s.Prefix] = map[string]uint64{}
		}
		rows[s.Prefix][s.Key] = s.Sum
	})
	all := []check.Replica{full}
	m.Node.Cluster().EachView(func(first, last layout.Prefix, v cluster.View) {
		if !slices.Contains(v.Targets(), m.ID) {
			return
		}
		r := check.Replica{Partition: fmt.Sprintf("%04x to %04x", first, last), Node: m.Name,
			Rows: map[string]uint64{}}
		for at := int(first); at <= int(last); at++ {
			maps.Copy(r.Rows, rows[layout.Prefix(at)])
		}
		all = append(all, r)
	})
	return all, err
}
