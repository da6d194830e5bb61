package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

// drift is a kind of cluster that lives through many events.
type drift struct{ nodes, zones, events int }

func drifts() []drift { return []drift{{20, 5, 30}} }

// driftHeader names the columns of drift.csv. Tables are kept, each made from the one before; rebalanced,
// kept and then improved within a budget; fresh, each made for the cluster of the day alone; or rendezvous,
// which does not look back. Numbers are means over the seeds, but for the ends of the range of excess.
const driftHeader = "nodes,zones,event,tables,seeds,usable_pct,moved_pct,excess,excess_low,excess_high," +
	"partner_pct,partners_pct,rebuild_pct\n"

// driftMethods make the tables that are followed.
func driftMethods() []method {
	return []method{
		{"kept", partitions, replicas, optimum(0)},
		{"rebalanced", partitions, replicas, rebalanced(rebalanceBudget)},
		{"fresh", partitions, replicas, fresh},
		{"rendezvous", partitions, replicas, today(rendezvous)},
	}
}

// fresh is the optimum for a cluster that stores nothing.
func fresh(c cluster, _ *state) (table, error) { return optimum(0)(c, nil) }

// rebalanceBudget is how many replicas a rebalance may move after each change: one per cent.
const rebalanceBudget = partitions * replicas / 100

func measureDrift(drifts []drift, seeds int) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(driftHeader)
	for _, d := range drifts {
		lives := make([][]history, seeds)
		err := parallel(seeds, func(i int) (err error) {
			lives[i], err = d.live(uint64(i + 1))
			return err
		})
		if err != nil {
			return nil, err
		}
		for i, m := range driftMethods() {
			for event := range d.events + 1 {
				var usable, moved, excess, partner, partners, rebuild summary
				for _, life := range lives {
					s := life[i][event]
					usable.add(s.usablePct())
					moved.add(s.movedPct())
					excess.add(s.dispersion.excess)
					partner.add(100 * s.dispersion.partner)
					partners.add(100 * s.dispersion.partners)
					rebuild.add(100 * s.dispersion.rebuild)
				}
				fmt.Fprintf(&b, "%d,%d,%d,%s,%d,%.2f,%.2f,%s,%.2f,%.2f,%.2f\n", d.nodes, d.zones, event,
					m.name, seeds, usable.mean(), moved.mean(), excess.csv(), partner.mean(), partners.mean(),
					rebuild.mean())
			}
		}
	}
	return b.Bytes(), nil
}

// live returns the histories of a cluster with each kind of tables.
func (d drift) live(seed uint64) ([]history, error) {
	r := rand.New(rand.NewPCG(seed, uint64(d.nodes)))
	c := random(r, seed, d.nodes, d.zones)
	methods := driftMethods()
	histories := make([]history, len(methods))
	before := make([]*state, len(methods))
	for event := range d.events + 1 {
		if event > 0 {
			c = d.next(r, c)
		}
		for i, m := range methods {
			after, s, err := m.step(before[i], c)
			if err != nil {
				return nil, fmt.Errorf("event %d: %w", event, err)
			}
			histories[i], before[i] = append(histories[i], s), after
		}
	}
	return histories, nil
}

// next is a random event that leaves about as many nodes as there were: a node more or less, or of another
// capacity.
func (d drift) next(r *rand.Rand, c cluster) cluster {
	i := r.IntN(len(c.nodes))
	n, kind := len(c.nodes)-d.nodes, r.IntN(3)
	switch {
	case kind == 0 && n > -d.nodes/4:
		return c.without(i)
	case kind == 1 && n < d.nodes/4:
		return c.with("", r.IntN(d.zones), drawCapacity(r))
	}
	return c.resized(i, drawCapacity(r))
}
