package plan

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"granary/core/layout"
	"granary/core/rt"
)

// Purchase asks for the cheapest capacity that makes so much usable.
type Purchase struct {
	Roles  []layout.Role
	Params layout.Params
	Names  map[rt.NodeID]string
	// Target is to be usable, in bytes.
	Target uint64
	// Prices are for a terabyte of capacity, by zone, in any currency. A zone without one sells nothing.
	Prices map[layout.ZoneName]float64
	// NodeMax is the capacity, in bytes, up to which a node can be enlarged; AnyNodeMax that of nodes that it
	// does not have. Zero: as much as one likes.
	NodeMax    map[rt.NodeID]uint64
	AnyNodeMax uint64
	// NewNodes is how many nodes may be added to a zone, which need not have any yet. Each is enlarged from
	// nothing, up to AnyNodeMax, once the nodes that are there have all they can use.
	NewNodes map[layout.ZoneName]int
	// Unit is what capacity is sold by, in bytes. Zero is 1 GB.
	Unit uint64
}

// Order is what to buy.
type Order struct {
	Target uint64 `json:"target_bytes"`
	// Usable is the most that a table holds then, and Before what one holds now.
	Usable uint64      `json:"usable_bytes"`
	Before uint64      `json:"before_bytes"`
	Added  uint64      `json:"added_bytes"`
	Cost   float64     `json:"cost"`
	Items  []OrderItem `json:"items"` // by zone, then by name
	// Bound is what the cheapest capacity would cost if partitions could be split at will: no order costs
	// less.
	Bound float64 `json:"cost_bound"`

	// Roles are those of the cluster then.
	Roles []layout.Role `json:"-"`
}

// OrderItem is what to add to one node.
type OrderItem struct {
	Node  string  `json:"node"`
	Zone  string  `json:"zone"`
	New   bool    `json:"new"` // the node is not there yet
	Was   uint64  `json:"capacity_before_bytes"`
	Added uint64  `json:"added_bytes"`
	Cost  float64 `json:"cost"`
}

// ErrUnreachable means that no purchase reaches the target.
var ErrUnreachable = errors.New("target cannot be reached")

const (
	terabytePriced = 1e12
	defaultUnit    = 1_000_000_000
	// priceMin and priceMax bound the price of a terabyte, so that sums keep their digits.
	priceMin = 1e-6
	priceMax = 1e12
)

// Buy returns the cheapest capacity that makes Target usable, by a linear program over the zones, which
// counts whole partitions of the size that the target asks for. A zone's nodes are enlarged one after the
// other, so that few are touched.
//
// Errors: ErrUnreachable with the reason; ErrTooLarge with more than about 40 zones; ErrParams of
// layout.Assign; a price or target that is none.
func Buy(in Purchase) (*Order, error) {
	s, err := openShop(in)
	if err != nil {
		return nil, err
	}
	order := &Order{Target: in.Target, Before: optimum(in.Roles, in.Params), Items: []OrderItem{},
		Roles: s.Purchase.Roles}
	if order.Usable = order.Before; order.Before >= in.Target {
		return order, nil
	}
	_, bound, err := s.cheapest(func(capacity uint64) float64 {
		return float64(capacity) / float64(in.Target)
	})
	if err != nil {
		return nil, err
	}
	slots, _, err := s.cheapest(func(capacity uint64) float64 {
		return float64(capacity/s.size) / float64(in.Params.Partitions)
	})
	if err != nil {
		return nil, err
	}
	order.Bound = bound
	if s.fill(order, slots); order.Usable < in.Target {
		return nil, fmt.Errorf("plan: %s usable: %w in units of %s; give a smaller unit",
			formatBytes(in.Target), ErrUnreachable, formatBytes(s.Unit))
	}
	return order, nil
}

// shop is a purchase in the making.
type shop struct {
	Purchase
	roles    []layout.Role // with the nodes that may be added, which have no capacity
	isNew    []bool        // by role
	order    []int         // roles, as they are enlarged
	zones    []layout.ZoneName
	size     uint64  // of a partition, when the target is usable
	minZones int     // resolved; it grows with the zones that store
	dearest  float64 // the highest price
}

func compareItems(a, b OrderItem) int {
	return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Node, b.Node))
}

// name is what a node is called.
func (s *shop) name(i int) string {
	node := s.roles[i].Node
	return cmp.Or(s.Names[node], node.Short())
}

// openShop checks a purchase.
func openShop(in Purchase) (*shop, error) {
	if err := in.Params.Validate(); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	if in.Target == 0 || in.Target > math.MaxInt64 {
		return nil, fmt.Errorf("plan: target of %d bytes: want 1 to %d", in.Target, int64(math.MaxInt64))
	}
	if in.Unit > layout.CapacityMax {
		return nil, fmt.Errorf("plan: unit of %d bytes: want at most %d", in.Unit, uint64(layout.CapacityMax))
	}
	if in.Unit == 0 {
		in.Unit = defaultUnit
	}
	s := &shop{Purchase: in, roles: slices.Clone(in.Roles)}
	s.Names = map[rt.NodeID]string{}
	maps.Copy(s.Names, in.Names)
	for _, zone := range sortedKeys(in.NewNodes) {
		for i := range in.NewNodes[zone] {
			name := fmt.Sprintf("new node %d in %s", i+1, zone)
			node := layout.NamedNode(name)
			s.Names[node] = name
			s.roles = append(s.roles, layout.Role{Node: node, Zone: zone})
		}
	}
	for i, r := range s.roles {
		s.isNew = append(s.isNew, i >= len(in.Roles))
		s.order = append(s.order, i)
		s.zones = append(s.zones, r.Zone)
	}
	slices.Sort(s.zones)
	s.zones = slices.Compact(s.zones)
	for _, zone := range sortedKeys(in.Prices) {
		if price := in.Prices[zone]; !(price >= priceMin && price <= priceMax) {
			return nil, fmt.Errorf("plan: price %g in %s: want %g to %g", price, zone, priceMin, priceMax)
		}
		if _, ok := slices.BinarySearch(s.zones, zone); !ok {
			return nil, fmt.Errorf("plan: price in %s: no node is there, and none may be added", zone)
		}
		s.dearest = max(s.dearest, in.Prices[zone])
	}
	s.minZones = max(1, minZones(in.Roles, in.Params))
	partitions := uint64(in.Params.Partitions)
	s.size = (in.Target + partitions - 1) / partitions
	// What can be enlarged most comes first, so that few nodes are touched; new nodes come last.
	slices.SortStableFunc(s.order, func(a, b int) int {
		return cmp.Or(boolOrder(s.isNew[a], s.isNew[b]),
			cmp.Compare(s.roles[a].Capacity, s.roles[b].Capacity), cmp.Compare(s.name(a), s.name(b)))
	})
	return s, nil
}

// most is the capacity up to which a role can be enlarged: a gateway stays one.
func (s *shop) most(i int) uint64 {
	r := s.roles[i]
	if s.Prices[r.Zone] == 0 || !s.isNew[i] && !r.Stores() {
		return r.Capacity
	}
	limit := s.AnyNodeMax
	if own, ok := s.NodeMax[r.Node]; ok {
		limit = own
	}
	if limit == 0 || limit > layout.CapacityMax {
		limit = layout.CapacityMax
	}
	return max(limit, r.Capacity)
}
