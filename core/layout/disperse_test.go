package layout

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// overlap returns how often the most entangled pair of nodes in different zones shares a partition, as a
// multiple, in hundredths, of what their loads let expect, and the least share of its possible partners
// that a node has, in hundredths. Pairs that are expected to share less than one partition count as
// sharing one.
func overlap(v *Version) (worst, partners int) {
	shared, loads := map[[2]uint16]int{}, v.Loads()
	for p := range Partition(v.Params.Partitions) {
		for i, a := range v.Row(p) {
			for _, b := range v.Row(p)[i+1:] {
				shared[[2]uint16{a, b}]++
			}
		}
	}
	partners = 100
	for i, a := range v.Roles {
		elsewhere, met, possible := 0, 0, 0
		for j, b := range v.Roles {
			if b.Zone != a.Zone && loads[j] > 0 {
				elsewhere += loads[j]
			}
		}
		for j, b := range v.Roles {
			if b.Zone == a.Zone || loads[i] == 0 || loads[j] == 0 {
				continue
			}
			n := shared[[2]uint16{uint16(min(i, j)), uint16(max(i, j))}]
			expected := 100 * loads[i] * (v.Params.Replicas - 1) * loads[j] / elsewhere
			worst = max(worst, 10000*n/max(expected, 100))
			possible++
			if n > 0 {
				met++
			}
		}
		if possible > 0 && possible <= loads[i] {
			partners = min(partners, 100*met/possible)
		}
	}
	return worst, partners
}

// TestDispersion: fresh tables are spread well, and stay so through 30 changes of the least movement.
func TestDispersion(t *testing.T) {
	if worst, partners := overlap(assign(t, talk(), DefaultParams(), nil)); worst > 105 || partners < 100 {
		t.Errorf("talk: worst pair %d %% of the expected, partners %d %%", worst, partners)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	capacity := func() uint64 { return uint64(2+rng.IntN(10)) * terabyte }
	for range 5 {
		var roles []Role
		for i := range 20 {
			roles = append(roles, role(i, fmt.Sprintf("z%d", i%5), capacity()))
		}
		v := assign(t, roles, DefaultParams(), nil)
		if worst, partners := overlap(v); worst > 175 || partners < 80 {
			t.Errorf("fresh: worst pair %d %% of the expected, partners %d %%", worst, partners)
		}
		for event := range 30 {
			roles = slices.Clone(v.Roles)
			switch i := rng.IntN(len(roles)); event % 3 {
			case 0:
				roles[i].Capacity = capacity()
			case 1:
				roles = slices.Delete(roles, i, i+1)
			case 2:
				roles = append(roles, role(1000+event, fmt.Sprintf("z%d", event/3%5), capacity()))
			}
			v = assign(t, roles, DefaultParams(), v)
		}
		if worst, partners := overlap(v); worst > 225 || partners < 70 {
			t.Errorf("drifted: worst pair %d %% of the expected, partners %d %%", worst, partners)
		}
	}
}

// TestGain compares the gain of every swap that is made with the sum it is to lower, counted anew.
func TestGain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genCluster().Draw(t, "cluster")
		c, err := newCluster(in.Roles, in.Params)
		if err != nil || c.optimum() == 0 {
			return
		}
		rows, nothing := c.deal(c.targets(c.optimum())), make([][]int, c.partitions)
		d := newDispersion(c, rows, nothing)
		a, b := d.fresh[d.random.below(len(d.fresh))], d.fresh[d.random.below(len(d.fresh))]
		if !d.allowed(a, b) {
			return
		}
		before, gain := d.sum(), d.gain(a, b)
		d.swap(a, b)
		if again := newDispersion(c, d.rows, nothing); again.sum() != before-gain || d.sum() != again.sum() {
			t.Fatalf("sum %d, gain %d, then %d; counted anew %d", before, gain, d.sum(), again.sum())
		}
	})
}

// sum is what swaps lower.
func (d *dispersion) sum() int64 {
	sum := int64(0)
	for v := range d.holds {
		for w := range v {
			if n := d.shared[pairOf(v, w)]; n > 0 {
				sum += n * n * d.weight(v, w)
			}
		}
	}
	return sum
}
