package layout

import (
	"fmt"
	"math/big"
	"math/bits"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// subsetBound is S* and, for each level, its own bound, by every set of domains that the others must make
// up for. Rows of capacities are by level, then by domain.
func subsetBound(levels [][]uint64, spread []int) (least *big.Rat, own []*big.Rat) {
	for l, domains := range levels[:len(spread)] {
		var best *big.Rat
		for set := range 1 << len(domains) {
			k := bits.OnesCount(uint(set))
			if k >= spread[l] {
				continue
			}
			rest := new(big.Int)
			for d, capacity := range domains {
				if set>>d&1 == 0 {
					rest.Add(rest, new(big.Int).SetUint64(capacity))
				}
			}
			term := new(big.Rat).SetFrac(rest, big.NewInt(int64(spread[l]-k)))
			if best == nil || term.Cmp(best) < 0 {
				best = term
			}
		}
		own = append(own, best)
		if least == nil || best.Cmp(least) < 0 {
			least = best
		}
	}
	return least, own
}

// domainsOf lists, for each level, the capacities of its domains that store, and how many storing nodes each
// has: the nodes themselves, the zones, and the regions.
func domainsOf(roles []Role) (capacities [][]uint64, members [][]int) {
	for _, domain := range []func(Role) string{
		func(r Role) string { return r.Node.String() },
		func(r Role) string { return string(r.Zone) },
		func(r Role) string { return r.Zone.Region() },
	} {
		index := map[string]int{}
		var bytes []uint64
		var nodes []int
		for _, r := range roles {
			if !r.Stores() {
				continue
			}
			if _, ok := index[domain(r)]; !ok {
				index[domain(r)] = len(bytes)
				bytes, nodes = append(bytes, 0), append(nodes, 0)
			}
			bytes[index[domain(r)]] += r.Capacity
			nodes[index[domain(r)]]++
		}
		capacities, members = append(capacities, bytes), append(members, nodes)
	}
	return capacities, members
}

func genBounded() *rapid.Generator[Version] {
	return genCluster().Filter(func(v Version) bool {
		_, err := NewBound(v.Roles, v.Params)
		return err == nil
	})
}

func spreadOf(b *Bound) (spread []int) {
	for _, l := range b.Levels {
		spread = append(spread, l.Spread)
	}
	return spread
}

// TestTheorem2 compares the bound with its slow twin, and with the integer optimum: which is never above,
// and below by no more than the floors explain.
func TestTheorem2(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genBounded().Draw(t, "cluster")
		b, err := NewBound(c.Roles, c.Params)
		if err != nil {
			t.Fatal(err)
		}
		levels, _ := domainsOf(c.Roles)
		least, own := subsetBound(levels, spreadOf(b))
		if b.Usable.Cmp(least) != 0 {
			t.Fatalf("bound %v, the subsets give %v", b.Usable, least)
		}
		for i, l := range b.Levels {
			if l.Usable.Cmp(own[i]) != 0 || l.Tight != (own[i].Cmp(least) == 0) {
				t.Fatalf("level %s: %v, tight %v; the subsets give %v of %v", l.Name, l.Usable, l.Tight,
					own[i], least)
			}
		}
		size, err := Optimum(c.Roles, c.Params)
		if err != nil {
			t.Fatal(err)
		}
		partitions := int64(c.Params.Partitions)
		usable := new(big.Rat).SetInt(new(big.Int).Mul(new(big.Int).SetUint64(size), big.NewInt(partitions)))
		if usable.Cmp(b.Usable) > 0 {
			t.Fatalf("a table holds %v, the bound is %v", usable, b.Usable)
		}
		floor := integralFloor(c.Roles, spreadOf(b), partitions)
		if usable.Add(usable, big.NewRat(partitions, 1)).Cmp(floor) < 0 {
			t.Fatalf("a table holds %v with P more, at least %v was promised", usable, floor)
		}
	})
}

// integralFloor is what integer tables reach, but for P bytes: the least T·P/(mP + N') over the sets of
// domains whose others have N' nodes.
func integralFloor(roles []Role, spread []int, partitions int64) *big.Rat {
	capacities, members := domainsOf(roles)
	var least *big.Rat
	for l, domains := range capacities[:len(spread)] {
		for set := range 1 << len(domains) {
			m := int64(spread[l] - bits.OnesCount(uint(set)))
			if m <= 0 {
				continue
			}
			rest, slots := new(big.Int), m*partitions
			for d, capacity := range domains {
				if set>>d&1 == 0 {
					rest.Add(rest, new(big.Int).SetUint64(capacity))
					slots += int64(members[l][d])
				}
			}
			term := new(big.Rat).SetFrac(rest.Mul(rest, big.NewInt(partitions)), big.NewInt(slots))
			if least == nil || term.Cmp(least) < 0 {
				least = term
			}
		}
	}
	return least
}

// TestPrices compares prices with the differences they predict. Capacities are multiples of so many bytes
// that no other price begins within one.
func TestPrices(t *testing.T) {
	const coarse = 1 << 20
	rapid.Check(t, func(t *rapid.T) {
		c := genBounded().Draw(t, "cluster")
		for i := range c.Roles {
			c.Roles[i].Capacity = c.Roles[i].Capacity % 1000 * coarse
		}
		b, err := NewBound(c.Roles, c.Params)
		if err != nil {
			return // a capacity became none
		}
		which := rapid.IntRange(0, len(b.nodes)-1).Draw(t, "node")
		node := b.nodes[which]
		with := func(delta int64) *big.Rat {
			levels, _ := domainsOf(resized(c.Roles, node, delta))
			least, _ := subsetBound(levels, spreadOf(b))
			return least.Sub(least, b.Usable)
		}
		if got := with(1); got.Cmp(b.Gain(node).Rat()) != 0 {
			t.Fatalf("a byte more adds %v, the price is %v", got, b.Gain(node).Rat())
		}
		loss := with(-1)
		if loss.Neg(loss).Cmp(b.Loss(node).Rat()) != 0 {
			t.Fatalf("a byte less takes %v, the price is %v", loss, b.Loss(node).Rat())
		}
		until := b.Until(node)
		if until == nil {
			return
		}
		at := new(big.Int).Quo(until.Num(), until.Denom()).Int64() // rounded down: the price holds so far
		want := new(big.Rat).Mul(b.Gain(node).Rat(), big.NewRat(at, 1))
		if got := with(at); got.Cmp(want) != 0 {
			t.Fatalf("%d bytes more add %v, the price says %v", at, got, want)
		}
		beyond := new(big.Rat).Mul(b.Gain(node).Rat(), big.NewRat(at+2, 1))
		if got := with(at + 2); got.Cmp(beyond) >= 0 {
			t.Fatalf("the price should fall after %v bytes, yet %d add %v", until, at+2, got)
		}
	})
}

func resized(roles []Role, node [32]byte, delta int64) []Role {
	out := slices.Clone(roles)
	for i := range out {
		if out[i].Node == node {
			out[i].Capacity += uint64(delta)
		}
	}
	return out
}

// TestBoundTalk: neptune limits the well-known cluster, by one byte for each of its own.
func TestBoundTalk(t *testing.T) {
	b, err := NewBound(talk(), DefaultParams())
	if err != nil {
		t.Fatal(err)
	}
	if want := big.NewRat(15*terabyte, 1); b.Usable.Cmp(want) != 0 {
		t.Errorf("bound %v, want %v", b.Usable, want)
	}
	zone := &b.Levels[1]
	if b.Levels[0].Tight || !zone.Tight {
		t.Errorf("nodes tight %v, zones %v; want zones alone", b.Levels[0].Tight, zone.Tight)
	}
	for i, r := range talk() {
		limits := Price(0)
		if r.Zone == "neptune" {
			limits = 1
		}
		if gain, loss := b.Gain(r.Node), b.Loss(r.Node); gain != limits || loss != limits {
			t.Errorf("node %d: prices %d and %d, want %d", i+1, gain, loss, limits)
		}
		if full := b.Full(zone, r.Node); full != (limits == 0) {
			t.Errorf("node %d: its zone is full: %v", i+1, full)
		}
	}
	if until := b.Until(node(5)); until == nil || until.Cmp(big.NewRat(5*terabyte, 1)) != 0 {
		t.Errorf("the price of node 5 holds for %v more, want 5 TB, until jupiter limits too", until)
	}
	two := DefaultParams()
	two.MinZones = 2
	if b, err = NewBound(talk(), two); err != nil || b.Usable.Cmp(big.NewRat(25*terabyte, 1)) != 0 {
		t.Errorf("in two zones: bound %v, %v; want 25 TB", b, err)
	}
}

// TestBoundGreatest: sums of the greatest capacities need more than 64 bits.
func TestBoundGreatest(t *testing.T) {
	var roles []Role
	for i := range 300 {
		roles = append(roles, role(i, fmt.Sprintf("z%d", i%3), CapacityMax))
	}
	b, err := NewBound(roles, DefaultParams())
	if err != nil {
		t.Fatal(err)
	}
	want := new(big.Rat).SetInt(new(big.Int).Mul(big.NewInt(100), big.NewInt(CapacityMax)))
	if b.Usable.Cmp(want) != 0 {
		t.Errorf("bound %v, want %v", b.Usable, want)
	}
}

func BenchmarkBound(b *testing.B) {
	roles := bigCluster(1000, 10)
	params := Params{Replicas: 3, Partitions: 1024}
	b.Run("size", func(b *testing.B) {
		for b.Loop() {
			if _, err := Optimum(roles, params); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bound", func(b *testing.B) {
		for b.Loop() {
			if _, err := NewBound(roles, params); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("refusal", func(b *testing.B) {
		params := params
		params.MinZones, params.Replicas = 11, 11
		for b.Loop() {
			if _, err := NewBound(roles, params); err == nil {
				b.Fatal("11 zones found in 10")
			}
		}
	})
}
