package layout

import (
	"fmt"
	"slices"

	"granary/core/rt"
)

// drawsPerSwap is how many swaps Rebalance compares before it makes the best of them.
const drawsPerSwap = 256

// levelStepsMax bounds the replicas that levelling looks at, some seconds' worth.
const levelStepsMax = 20_000_000

// Rebalance returns the version that follows prev with the same roles and parameters, in which up to budget
// replicas have moved: first so that loads are nearer to capacities, then so that nodes share partitions more
// evenly, by the greatest gain for each move. What the zones and the partition size promise holds as in prev.
// It is for tables that many changes of least movement have made uneven; with nothing to gain it moves
// nothing, which Moves tells.
//
// Shape: budget in replicas, of which each is a partition's bytes to copy. Determinism: as Assign.
// Errors: ErrParams for a budget below 1, or too small for what the doubling of partitions has put off.
// Cost: O(ρ²) for each of budget · drawsPerSwap draws, at most trialsMax, and of the replicas that are
// looked at for levelling, at most about levelStepsMax; a greater budget may then not be spent.
func Rebalance(prev *Version, budget int) (*Version, error) {
	if budget < 1 || budget > PartitionsMax*ReplicasMax {
		return nil, fmt.Errorf("layout: rebalance with a budget of %d moves: want 1 to %d: %w", budget,
			PartitionsMax*ReplicasMax, ErrParams)
	}
	c, err := newCluster(prev.Roles, prev.Params)
	if err != nil {
		return nil, err
	}
	previous := c.previous(prev, prev.Roles)
	rows := make([][]int, len(previous))
	for p, row := range previous {
		rows[p] = slices.Clone(row)
	}
	left := budget
	if prev.Split > 0 { // the finer table is due
		rows = c.reassign(previous, c.optimum())
		if left -= newIn(rows, previous); left < 0 {
			return nil, fmt.Errorf("layout: rebalance with a budget of %d moves: %d are needed to make use"+
				" of the partitions that were doubled: %w", budget, budget-left, ErrParams)
		}
	}
	d := newDispersion(c, rows, previous)
	left -= d.level(c.targets(c.optimum()), left)
	d.spend(left)
	v := &Version{Number: prev.Number + 1, Parent: prev.Hash(), Params: prev.Params, Roles: prev.Roles,
		Algorithm: Algorithm, Budget: uint32(budget)}
	v.Table, v.Size = c.table(d.rows)
	if err := v.Validate(); err != nil {
		rt.Break("layout: rebalanced version %d: %v", v.Number, err)
	}
	return v, nil
}

// level moves replicas from nodes above their targets to nodes below, one at a time, and returns how many.
func (d *dispersion) level(targets []int, budget int) int {
	for moved := range budget {
		s, to := d.levelling(targets)
		if to == none || d.steps > levelStepsMax {
			return moved
		}
		d.replace(s, to)
	}
	return budget
}

// levelling returns a replica that a node above its target can leave to one below it, the farthest from their
// targets first, and of these replicas the one that is best for dispersion; to is none if there is none.
func (d *dispersion) levelling(targets []int) (best slot, to int) {
	var above, below []int
	for v, target := range targets {
		switch load := len(d.holds[v]); {
		case load > target:
			above = append(above, v)
		case load < target:
			below = append(below, v)
		}
	}
	distance := func(v int) int { return max(len(d.holds[v])-targets[v], targets[v]-len(d.holds[v])) }
	farthest := func(v, w int) int { return distance(w) - distance(v) }
	slices.SortStableFunc(above, farthest)
	slices.SortStableFunc(below, farthest)
	for _, v := range above {
		for _, w := range below {
			if s, ok := d.leaving(v, w); ok {
				return s, w
			}
		}
	}
	return slot{}, none
}

// leaving returns the replica of v that w can take with the greatest gain; ok is false if there is none.
func (d *dispersion) leaving(v, w int) (best slot, ok bool) {
	most := int64(0)
	d.steps += len(d.holds[v])
	for _, p := range d.holds[v] {
		if slices.Contains(d.rows[p], w) || !d.spread(d.rows[p], v, w) {
			continue
		}
		gain := int64(0)
		for _, x := range d.rows[p] {
			if x != v {
				gain += d.less(v, x) - d.more(w, x)
			}
		}
		if !ok || gain > most || gain == most && p < best.partition {
			best, most, ok = slot{p, v}, gain, true
		}
	}
	return best, ok
}

// spend makes swaps as long as they gain and the budget lasts, each the best of some draws.
func (d *dispersion) spend(budget int) {
	for range trialsMax / drawsPerSwap {
		var best exchange
		for range drawsPerSwap {
			if x := d.draw(); x.gain > 0 && x.moves <= budget && x.better(best) {
				best = x
			}
		}
		if best.gain == 0 {
			return
		}
		d.swap(best.a, best.b)
		budget -= best.moves
	}
}

// exchange is a swap of two replicas, by how much it gains, and how many more replicas are new after it; zero
// if it is not allowed.
type exchange struct {
	a, b  slot
	gain  int64
	moves int
}

// draw draws two replicas.
func (d *dispersion) draw() exchange {
	var pair [2]slot
	for i := range pair {
		p := d.random.below(len(d.rows))
		pair[i] = slot{p, d.rows[p][d.random.below(len(d.rows[p]))]}
	}
	a, b := pair[0], pair[1]
	if !d.allowed(a, b) {
		return exchange{}
	}
	return exchange{a, b, d.gain(a, b),
		d.news(slot{a.partition, b.node}, slot{b.partition, a.node}) - d.news(a, b)}
}

// better reports whether x gains more for each move than y, a swap without moves counting as half a move.
func (x exchange) better(y exchange) bool {
	return x.gain*int64(max(1, 2*y.moves)) > y.gain*int64(max(1, 2*x.moves))
}
