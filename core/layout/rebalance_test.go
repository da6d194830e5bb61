package layout

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestRebalance: within its budget, a rebalance never makes loads less level, and can be made anew.
func TestRebalance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genCluster().Draw(t, "cluster")
		prev, err := Assign(c.Roles, c.Params, nil)
		if err != nil {
			return
		}
		c = changeCluster(t, c)
		if prev, err = Assign(c.Roles, c.Params, prev); err != nil {
			return
		}
		budget := rapid.IntRange(1, 50).Draw(t, "budget")
		v, err := Rebalance(prev, budget)
		if errors.Is(err, ErrParams) && prev.Split > 0 {
			return // the budget does not cover what the doubling has put off
		}
		if err != nil {
			t.Fatal(err)
		}
		if moves := v.Moves(prev); moves > budget {
			t.Fatalf("%d moves, the budget is %d", moves, budget)
		}
		if before, after := unlevel(t, prev), unlevel(t, v); after > before {
			t.Fatalf("%d replicas above their targets, %d before", after, before)
		}
		if err := v.Verify(prev); err != nil {
			t.Fatal(err)
		}
		if again := assign(t, c.Roles, c.Params, v); again.Moves(v) != 0 {
			t.Fatalf("the next table moves %d replicas back", again.Moves(v))
		}
	})
}

// unlevel counts the replicas by which nodes are above their targets.
func unlevel(t *rapid.T, v *Version) int {
	c, err := newCluster(v.Roles, v.Params)
	if err != nil {
		t.Fatal(err)
	}
	targets, n := c.targets(c.optimum()), 0
	for i, load := range v.Loads() {
		if at := slices.Index(c.index, uint16(i)); at >= 0 {
			n += max(0, load-targets[at])
		}
	}
	return n
}

// TestRebalanceGains: a node that was added without need gets its share, and a striped table is dispersed.
func TestRebalanceGains(t *testing.T) {
	idle := append(talk(), role(8, "atuin", 10*terabyte))
	v := assign(t, idle, DefaultParams(), assign(t, talk(), DefaultParams(), nil))
	if got := v.Loads()[7]; got != 0 {
		t.Fatalf("the new node got %d partitions", got)
	}
	level, err := Rebalance(v, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if got := level.Loads()[7]; got < 45 {
		t.Errorf("after the rebalance the new node has %d partitions, want about 51", got)
	}

	rng := rand.New(rand.NewPCG(7, 8))
	var roles []Role
	for i := range 20 {
		roles = append(roles, role(i, fmt.Sprintf("z%d", i%5), uint64(2+rng.IntN(10))*terabyte))
	}
	striped := assign(t, roles, DefaultParams(), nil)
	c, err := newCluster(striped.Roles, striped.Params)
	if err != nil {
		t.Fatal(err)
	}
	striped.Table, striped.Size = c.table(c.deal(c.targets(c.optimum())))
	before, _ := overlap(striped)
	worst := before
	for _, budget := range []int{20, 100, 400} {
		v, err := Rebalance(striped, budget)
		if err != nil {
			t.Fatal(err)
		}
		after, _ := overlap(v)
		if moves := v.Moves(striped); after > worst || moves > budget || moves == 0 {
			t.Errorf("budget %d: worst pair %d %%, %d before, %d moves", budget, after, worst, moves)
		}
		worst = after
	}
	if worst > before/2 {
		t.Errorf("worst pair %d %% of the expected after 400 moves, %d before", worst, before)
	}
}

func TestRebalanceRefuses(t *testing.T) {
	v := assign(t, talk(), DefaultParams(), nil)
	for _, budget := range []int{0, -1, 1 << 30} {
		if _, err := Rebalance(v, budget); !errors.Is(err, ErrParams) {
			t.Errorf("budget %d: %v, want ErrParams", budget, err)
		}
	}
}

// TestVerify: a version is made anew as it is, and a valid one that another function made is told.
func TestVerify(t *testing.T) {
	first := assign(t, talk(), DefaultParams(), nil)
	second := assign(t, append(talk(), role(8, "mars", 10*terabyte)), DefaultParams(), first)
	if err := errors.Join(first.Verify(nil), second.Verify(first)); err != nil {
		t.Error(err)
	}
	foreign := *first
	foreign.Table = slices.Clone(first.Table)
	for p := 0; p < len(foreign.Table); p += 3 { // rows reversed: the same loads, other partitions
		copy(foreign.Table[p:p+3], first.Table[len(first.Table)-p-3:])
	}
	if err := foreign.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := foreign.Verify(nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("another table: %v, want ErrInvalid", err)
	}
	foreign.Algorithm++
	if err := foreign.Verify(nil); err != nil {
		t.Errorf("a table of another algorithm: %v", err)
	}
}
