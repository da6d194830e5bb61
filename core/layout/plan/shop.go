package plan

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"granary/core/layout"
)

// sum is a constant and terms.
type sum struct {
	constant float64
	terms    []term
}

func (s *sum) add(o sum) {
	s.constant += o.constant
	s.terms = append(s.terms, o.terms...)
}

// atLeast says that a sum is at least right.
func (p *program) atLeast(right float64, s sum) {
	terms := make([]term, len(s.terms))
	for i, t := range s.terms {
		terms[i] = term{t.column, -t.factor}
	}
	p.atMost(s.constant-right, terms...)
}

// counts returns what a domain that has so much counts for: at most the target, which is 1.
func (p *program) counts(has sum) sum {
	column := p.column(0)
	p.atMost(1, term{column, 1})
	p.atLeast(0, sum{has.constant, append(slices.Clip(has.terms), term{column, -1})})
	return sum{terms: []term{{column, 1}}}
}

// none is the column of a zone that sells nothing.
const none = -1

// cheapest returns what to sell in each zone so that the target is usable, and what that costs. Useful says
// for how much of the target a capacity does. A node does for all of it at the most; the nodes of a zone are
// sold at one price, so together they are one variable. Prices are in units of the dearest.
func (s *shop) cheapest(useful func(capacity uint64) float64) ([]float64, float64, error) {
	p := &program{}
	bought := make([]int, len(s.zones))
	regions := map[string]sum{}
	var all, spread sum
	for z, zone := range s.zones {
		has, room := s.stock(zone, useful)
		bought[z] = none
		if room > 0 {
			bought[z] = p.column(s.Prices[zone] / s.dearest)
			p.atMost(room+checkTolerance, term{bought[z], 1}) // where all of it is needed, digits are lost
			has.terms = []term{{bought[z], 1}}
		}
		all.add(has)
		spread.add(p.counts(has))
		region := regions[zone.Region()]
		region.add(has)
		regions[zone.Region()] = region
	}
	p.atLeast(float64(s.Params.Replicas), all)
	p.atLeast(float64(s.minZones), spread)
	if s.Params.MinRegions > 1 {
		var wide sum
		for _, name := range sortedKeys(regions) {
			wide.add(p.counts(regions[name]))
		}
		p.atLeast(float64(s.Params.MinRegions), wide)
	}
	cost, x, err := p.solve()
	switch {
	case errors.Is(err, ErrTooLarge):
		return nil, 0, err
	case err != nil:
		return nil, 0, fmt.Errorf("plan: %s usable: %w: %w; more zones must sell, or larger nodes, or new"+
			" ones", formatBytes(s.Target), ErrUnreachable, err)
	}
	sold := make([]float64, len(s.zones))
	for z := range s.zones {
		if bought[z] != none {
			sold[z] = x[bought[z]]
		}
	}
	if zones := minZones(s.with(s.split(sold)), s.Params); zones > s.minZones { // a new zone stores
		s.minZones = zones
		return s.cheapest(useful)
	}
	return sold, cost * s.dearest * float64(s.Target) / terabytePriced, nil
}

// stock returns what the nodes of a zone do for, and by how much that can grow.
func (s *shop) stock(zone layout.ZoneName, useful func(uint64) float64) (has sum, room float64) {
	for i, r := range s.roles {
		if r.Zone == zone {
			now := min(1, useful(r.Capacity))
			has.constant += now
			room += min(1, useful(s.most(i))) - now
		}
	}
	return has, room
}

// split turns what is sold in each zone, in targets, into whole partitions, and what each role needs to hold
// those that it gets, in whole units.
func (s *shop) split(sold []float64) []uint64 {
	partitions := uint64(s.Params.Partitions)
	added := make([]uint64, len(s.roles))
	for z, zone := range s.zones {
		slots := uint64(math.Ceil(sold[z]*float64(partitions) - rowTolerance*float64(partitions)))
		for _, i := range s.order {
			r := s.roles[i]
			if r.Zone != zone || slots == 0 {
				continue
			}
			had, most := min(partitions, r.Capacity/s.size), s.most(i)
			if take := min(slots, min(partitions, most/s.size)-had); take > 0 {
				units := ((had+take)*s.size - r.Capacity + s.Unit - 1) / s.Unit
				added[i] = min(units*s.Unit, most-r.Capacity)
				slots -= take
			}
		}
	}
	return added
}

// with returns the roles after a purchase; new nodes that get nothing are not among them.
func (s *shop) with(added []uint64) []layout.Role {
	var roles []layout.Role
	for i, r := range s.roles {
		r.Capacity += added[i]
		if !s.isNew[i] || added[i] > 0 {
			roles = append(roles, r)
		}
	}
	return roles
}

// fill writes the order.
func (s *shop) fill(o *Order, sold []float64) {
	added := s.split(sold)
	o.Roles = s.with(added)
	o.Usable = optimum(o.Roles, s.Params)
	for i, r := range s.roles {
		if added[i] == 0 {
			continue
		}
		cost := float64(added[i]) / terabytePriced * s.Prices[r.Zone]
		item := OrderItem{Node: s.name(i), Zone: string(r.Zone), New: s.isNew[i], Was: r.Capacity,
			Added: added[i], Cost: cost}
		o.Added += item.Added
		o.Cost += item.Cost
		o.Items = append(o.Items, item)
	}
	slices.SortFunc(o.Items, compareItems)
}
