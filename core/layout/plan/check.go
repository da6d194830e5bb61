package plan

import (
	"cmp"
	"math"
	"slices"

	"granary/core/layout"
)

// checkTolerance is the difference from the exact bound, as a share, from which Check alarms.
const checkTolerance = 1e-9

// level is a failure level as the linear programs see it: of each partition, spread replicas are in
// different domains.
type level struct {
	spread int
	of     []int // the domain of each class
	count  int   // domains
}

// class is nodes that are alike: by symmetry they may all store the same.
type class struct {
	zone     layout.ZoneName
	capacity float64 // of one node, in units of the bound
	weights  []float64
	nodes    []layout.Role
}

// ample is the capacity, in units of the bound, from which a node has more than enough. Greater ones are cut
// to it, since the method loses digits where numbers differ by millions; a bound that is too low by less
// than this factor is noticed all the same.
const ample = 4

// classes groups the storing nodes by region, zone, capacity and the weights that constraints give them.
// Capacities are in units of the bound.
func classes(roles []layout.Role, bound float64, constraints []Constraint) []class {
	var out []class
	for _, r := range roles {
		if !r.Stores() {
			continue
		}
		capacity := min(float64(r.Capacity)/bound, ample)
		c := class{zone: r.Zone, capacity: capacity, nodes: []layout.Role{r}}
		for _, limit := range constraints {
			c.weights = append(c.weights, limit.Nodes[r.Node]+limit.Zones[r.Zone])
		}
		i, found := slices.BinarySearchFunc(out, c, compareClasses)
		if found {
			out[i].nodes = append(out[i].nodes, r)
		} else {
			out = slices.Insert(out, i, c)
		}
	}
	return out
}

func compareClasses(a, b class) int {
	return cmp.Or(cmp.Compare(a.zone.Region(), b.zone.Region()), cmp.Compare(a.zone, b.zone),
		cmp.Compare(a.capacity, b.capacity), slices.Compare(a.weights, b.weights))
}

// levelsOf returns the levels above the nodes: zones, and regions if any are asked for.
func levelsOf(all []class, roles []layout.Role, p layout.Params) []level {
	zone, region := level{spread: minZones(roles, p)}, level{spread: p.MinRegions}
	for i, c := range all {
		if i == 0 || all[i-1].zone != c.zone {
			zone.count++
		}
		if i == 0 || all[i-1].zone.Region() != c.zone.Region() {
			region.count++
		}
		zone.of = append(zone.of, zone.count-1)
		region.of = append(region.of, region.count-1)
	}
	if p.MinRegions > 1 {
		return []level{zone, region}
	}
	return []level{zone}
}

// aggregate is the linear program of Theorem 2: the most that a cluster holds, one variable for what each
// class stores.
type aggregate struct {
	program
	usable int   // the column of S
	stored []int // the columns of the classes
}

func newAggregate(all []class, replicas int, levels []level) *aggregate {
	a := &aggregate{}
	a.usable = a.column(-1)
	every := []term{{a.usable, float64(replicas)}}
	for _, c := range all {
		x, n := a.column(0), float64(len(c.nodes))
		a.stored = append(a.stored, x)
		a.atMost(n*c.capacity, term{x, 1})
		a.atMost(0, term{x, 1}, term{a.usable, -n}) // a node has a partition once
		every = append(every, term{x, -1})
	}
	a.atMost(0, every...)
	for _, l := range levels {
		spread := []term{{a.usable, float64(l.spread)}}
		for d := range l.count {
			counts := a.column(0) // what the domain counts for
			a.atMost(0, term{counts, 1}, term{a.usable, -1})
			inside := []term{{counts, 1}}
			for i, of := range l.of {
				if of == d {
					inside = append(inside, term{a.stored[i], -1})
				}
			}
			a.atMost(0, inside...)
			spread = append(spread, term{counts, -1})
		}
		a.atMost(0, spread...)
	}
	return a
}

// newCuts is the same program with one variable: (spread−k)·S is at most what all but the k greatest
// domains have, for each level and k.
func newCuts(all []class, replicas int, levels []level) *program {
	p := &program{}
	usable := p.column(-1)
	var nodes []float64
	for _, c := range all {
		for range c.nodes {
			nodes = append(nodes, c.capacity)
		}
	}
	cut := func(domains []float64, spread int) {
		slices.Sort(domains)
		sums := make([]float64, len(domains)+1) // of the smallest
		for i, d := range domains {
			sums[i+1] = sums[i] + d
		}
		for k := range min(spread, len(domains)) {
			p.atMost(sums[len(domains)-k], term{usable, float64(spread - k)})
		}
	}
	cut(nodes, replicas)
	for _, l := range levels {
		domains := make([]float64, l.count)
		for i, c := range all {
			domains[l.of[i]] += float64(len(c.nodes)) * c.capacity
		}
		cut(domains, l.spread)
	}
	return p
}

// check computes the bound a second time.
func (m *maker) check() {
	m.Check = checkBound(m.in.Roles, m.in.Params, m.bound)
	if m.Check.Alarms > 0 {
		m.advise(CheckFails, "report it, with this plan; the layout is not affected",
			"the bound is %s, a linear program finds %s", formatBytes(m.Usable.Bound),
			formatBytes(uint64(m.Check.Bound)))
	}
}

func checkBound(roles []layout.Role, p layout.Params, bound *layout.Bound) Check {
	exact, _ := bound.Usable.Float64()
	all := classes(roles, exact, nil)
	levels := levelsOf(all, roles, p)
	c := Check{Program: "classes"}
	least := &newAggregate(all, p.Replicas, levels).program
	if len(least.rows) > RowsMax {
		c.Program = "cuts"
		least = newCuts(all, p.Replicas, levels)
	}
	c.Rows, c.Columns = len(least.rows), len(least.cost)+least.slacks()
	value, _, err := least.solve()
	if err != nil {
		c.Error = err.Error()
		return c
	}
	c.Bound, c.Difference = -value*exact, math.Abs(-value-1)
	if c.Difference > checkTolerance {
		c.Alarms = 1
	}
	return c
}
