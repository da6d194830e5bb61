package layout

import (
	"fmt"
	"math/big"
	"math/bits"
	"slices"

	"granary/core/rt"
)

// Optimum returns s*, the greatest partition size in bytes that any table of these roles has: what Assign
// reaches without tolerance. It is zero if the capacities do not hold one byte per partition.
//
// Errors: those of Assign, ErrCapacity apart. Cost: 60 passes over the nodes.
func Optimum(roles []Role, params Params) (uint64, error) {
	c, _, err := open(roles, params)
	if err != nil {
		return 0, err
	}
	return c.optimum(), nil
}

// Bound is the fractional optimum of a cluster: what tables of ever more partitions would approach, and why
// it is no more. It is exact. Source: DESIGN.md, Theorem 2.
type Bound struct {
	// Usable is S*, in bytes, replicas not counted. No table holds more.
	Usable *big.Rat
	// Levels has nodes first, then zones, then regions if any are asked for.
	Levels []LevelBound

	limit share       // Usable
	nodes []rt.NodeID // the storing nodes, ascending
}

// LevelBound is what one failure level allows. The k greatest of its domains hold every partition; what
// the others have together must hold Spread − k more replicas of each.
type LevelBound struct {
	Name   string   // "node", "zone", "region"
	Spread int      // how many of its domains each partition is in, at the least
	Usable *big.Rat // the least over k; S* if Tight
	Tight  bool     // this level limits the cluster

	limit   share    // Usable
	domains []amount // capacity of each domain
	of      []int    // the domain of each storing node
	full    int      // domains with more than Usable
	even    int      // domains with exactly Usable
}

// Price is what one more byte of a node's capacity, or one less, is worth in bytes usable: 1/Price, or
// nothing if it is zero.
type Price int

// Rat returns the price as a number.
func (p Price) Rat() *big.Rat {
	if p == 0 {
		return new(big.Rat)
	}
	return big.NewRat(1, int64(p))
}

// NewBound returns the bound of a cluster. The tolerance and the number of partitions do not matter.
//
// Errors: those of Assign, ErrCapacity apart.
func NewBound(roles []Role, params Params) (*Bound, error) {
	c, roles, err := open(roles, params)
	if err != nil {
		return nil, err
	}
	b := &Bound{}
	for _, i := range c.index {
		b.nodes = append(b.nodes, roles[i].Node)
	}
	for _, l := range c.bounds() {
		l.solve()
		b.Levels = append(b.Levels, l)
	}
	b.limit = slices.MinFunc(b.Levels, func(l, o LevelBound) int { return l.limit.compare(o.limit) }).limit
	b.Usable = b.limit.rat()
	for i := range b.Levels {
		l := &b.Levels[i]
		l.Tight = l.limit.compare(b.limit) == 0
	}
	return b, nil
}

// bounds returns the failure levels of the cluster, nodes among them, unsolved.
func (c *cluster) bounds() []LevelBound {
	node := LevelBound{Name: "node", Spread: c.replicas}
	for v, capacity := range c.capacity {
		node.of = append(node.of, v)
		node.domains = append(node.domains, amount{lo: capacity})
	}
	all := []LevelBound{node}
	for i, l := range c.levels {
		bound := LevelBound{Name: []string{"zone", "region"}[i], Spread: l.least, of: l.of,
			domains: make([]amount, l.count)}
		for v, capacity := range c.capacity {
			d := &bound.domains[l.of[v]]
			*d = d.plus(amount{lo: capacity})
		}
		all = append(all, bound)
	}
	return all
}

// solve finds the least of T_k/(Spread−k), where T_k is what all but the k greatest domains have.
func (l *LevelBound) solve() {
	var rest amount
	for _, d := range l.domains {
		rest = rest.plus(d)
	}
	l.limit = share{rest, uint64(l.Spread)}
	for k, d := range greatest(l.domains, l.Spread-1) {
		rest = rest.minus(d)
		if term := (share{rest, uint64(l.Spread - k - 1)}); term.compare(l.limit) < 0 {
			l.limit = term
		}
	}
	l.Usable = l.limit.rat()
	for _, d := range l.domains {
		switch order := (share{d, 1}).compare(l.limit); {
		case order > 0:
			l.full++
		case order == 0:
			l.even++
		}
	}
}

// greatest returns the n greatest of these, or all, the greatest first.
func greatest(all []amount, n int) []amount {
	top := make([]amount, 0, n+1)
	for _, d := range all {
		i, _ := slices.BinarySearchFunc(top, d, func(a, b amount) int { return b.compare(a) })
		if i < n {
			top = slices.Insert(top, i, d)
			top = top[:min(n, len(top))]
		}
	}
	return top
}

// Full reports whether the domain of a storing node has more than S*: it can hold every partition, and what
// it has beyond that is of no use. The other domains of a tight level limit the cluster.
func (b *Bound) Full(l *LevelBound, node rt.NodeID) bool {
	return (share{l.domains[l.of[b.find(node)]], 1}).compare(b.limit) > 0
}

// find returns the number of a storing node.
func (b *Bound) find(node rt.NodeID) int {
	v, ok := slices.BinarySearchFunc(b.nodes, node, rt.NodeID.Compare)
	if !ok {
		rt.Break("layout: a bound of %d nodes is asked for node %s", len(b.nodes), node.Short())
	}
	return v
}

// Gain returns what a little more capacity in a storing node adds to S*. Where several domains must grow
// together, that is nothing.
func (b *Bound) Gain(node rt.NodeID) Price {
	v, least := b.find(node), Price(1)
	for i := range b.Levels {
		if l := &b.Levels[i]; l.Tight {
			gain, _ := l.prices(v)
			if gain == 0 {
				return 0
			}
			least = max(least, gain)
		}
	}
	return least
}

// Loss returns what a little less capacity in a storing node takes from S*.
func (b *Bound) Loss(node rt.NodeID) Price {
	v, most := b.find(node), Price(0)
	for i := range b.Levels {
		if l := &b.Levels[i]; l.Tight {
			if _, loss := l.prices(v); loss > 0 && (most == 0 || loss < most) {
				most = loss
			}
		}
	}
	return most
}

// prices returns what a byte more in node v adds at this level, and a byte less takes. A set K of domains
// gives the limit if it has every full one, and of the others only even ones, Spread−1 in all at the most;
// its price is 1/(Spread−|K|) for the nodes outside it.
func (l *LevelBound) prices(v int) (gain, loss Price) {
	most := l.Spread - 1
	switch (share{l.domains[l.of[v]], 1}).compare(l.limit) {
	case -1:
		return Price(l.Spread - l.full), Price(l.Spread - min(most, l.full+l.even))
	case 0:
		loss = Price(l.Spread - min(most, l.full+l.even-1))
		if l.full < most {
			return 0, loss
		}
		return Price(l.Spread - l.full), loss
	}
	return 0, 0
}

// Until returns how many bytes a storing node can gain before Gain falls; nil if Gain is nothing already,
// or never falls.
func (b *Bound) Until(node rt.NodeID) *big.Rat {
	gain := b.Gain(node)
	if gain == 0 {
		return nil
	}
	v := b.find(node)
	slope := gain.Rat()
	var until *big.Rat
	for i := range b.Levels {
		for _, line := range b.Levels[i].lines(v) {
			// Both reach the same value where S* + slope·x = at + line.slope·x.
			if fall := new(big.Rat).Sub(slope, line.slope); fall.Sign() > 0 {
				x := new(big.Rat).Sub(line.at, b.Usable)
				if x.Quo(x, fall); until == nil || x.Cmp(until) < 0 {
					until = x
				}
			}
		}
	}
	return until
}

// line is a bound on S* as a node grows by x bytes: at + slope·x.
type line struct{ at, slope *big.Rat }

// lines returns the least bounds of every set size k at this level as node v grows: of the sets without its
// domain, and of those with it.
func (l *LevelBound) lines(v int) []line {
	d := l.of[v]
	others := slices.Delete(slices.Clone(l.domains), d, d+1)
	var rest amount
	for _, o := range others {
		rest = rest.plus(o)
	}
	top := greatest(others, l.Spread-1)
	var lines []line
	for k := range l.Spread {
		lines = append(lines, line{share{rest.plus(l.domains[d]), uint64(l.Spread - k)}.rat(),
			big.NewRat(1, int64(l.Spread-k))})
		if k+1 < l.Spread {
			lines = append(lines, line{share{rest, uint64(l.Spread - k - 1)}.rat(), new(big.Rat)})
		}
		if k == len(top) {
			break
		}
		rest = rest.minus(top[k])
	}
	return lines
}

// amount is bytes of many nodes: the capacities of NodesMax nodes need 76 bits.
type amount struct{ hi, lo uint64 }

func (a amount) plus(b amount) amount {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	return amount{a.hi + b.hi + carry, lo}
}

func (a amount) minus(b amount) amount {
	lo, borrow := bits.Sub64(a.lo, b.lo, 0)
	return amount{a.hi - b.hi - borrow, lo}
}

// times multiplies by a small number, below 2^40.
func (a amount) times(n uint64) amount {
	hi, lo := bits.Mul64(a.lo, n)
	return amount{a.hi*n + hi, lo}
}

func (a amount) compare(b amount) int {
	switch {
	case a == b:
		return 0
	case a.hi < b.hi || a.hi == b.hi && a.lo < b.lo:
		return -1
	}
	return 1
}

// share is one of several equal shares of an amount.
type share struct {
	all amount
	of  uint64 // at least 1, at most ReplicasMax
}

func (s share) compare(o share) int { return s.all.times(o.of).compare(o.all.times(s.of)) }

func (s share) rat() *big.Rat {
	n := new(big.Int).SetUint64(s.all.hi)
	n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(s.all.lo))
	return new(big.Rat).SetFrac(n, new(big.Int).SetUint64(s.of))
}

// open validates what Assign is given, and returns the roles in order.
func open(roles []Role, params Params) (*cluster, []Role, error) {
	if err := params.Validate(); err != nil {
		return nil, nil, fmt.Errorf("layout: %w", err)
	}
	roles, err := normalRoles(roles)
	if err != nil {
		return nil, nil, fmt.Errorf("layout: %w", err)
	}
	c, err := newCluster(roles, params)
	return c, roles, err
}
