package table

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"granary/core/cluster"
	"granary/core/kv"
	"granary/core/quorum"
)

// fresh asks a node for leave to act on its rows, and how many round trips that took.
func (c *testCluster) fresh(n *testNode) (trips int, err error) {
	c.t.Helper()
	trips = c.do(n, func(ctx context.Context) { err = n.tables.Fresh(ctx) })
	return trips, err
}

// revoke marks a row dead at a majority of the voters, through n.
func (c *testCluster) revoke(n *testNode, sort string) {
	c.t.Helper()
	c.do(n, func(ctx context.Context) {
		row, err := n.lists.Row([]byte(sort), mark{Stamp: 2, Dead: true})
		if err == nil {
			_, err = n.tables.WriteOne(ctx, Write{Subject: "row", PK: fullPK, Full: true,
				Items: []Item{{With: []Row{row}}}})
		}
		if err != nil {
			c.t.Error(err)
		}
	})
}

// TestLeaseCostsNothing: at rest the lease never ends.
func TestLeaseCostsNothing(t *testing.T) {
	c := newTestCluster(t, 1, true)
	c.warm()
	for range 20 {
		if err := c.s.Run(3700 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
		for _, n := range c.nodes {
			if trips, err := c.fresh(n); err != nil || trips != 0 {
				t.Errorf("%s: %v after %d round trips", n.name, err, trips)
			}
		}
	}
}

// TestRevocationIsBounded: a node cut off while the others revoke something acts on what it knows for
// LeaseFor, and not longer; when it is back it knows before it acts again. With a lease for ever it goes on.
func TestRevocationIsBounded(t *testing.T) {
	for _, mutants := range [][]string{nil, {"full-copy lease: for ever"}} {
		c := newTestCluster(t, 2, true, mutants...)
		for _, n := range c.nodes {
			c.have(n, n.lists, fullPK, marks{"key": {Stamp: 1}})
		}
		c.warm()
		cut, other := c.nodes[0], c.nodes[1]
		if err := c.model.Isolate("a"); err != nil {
			t.Fatal(err)
		}
		c.revoke(other, "key")
		acts := func() bool {
			_, err := c.fresh(cut)
			if err != nil && !errors.Is(err, quorum.ErrUnavailable) {
				t.Errorf("refused with %v, want unavailable", err)
			}
			return err == nil && !c.local(cut, cut.lists, fullPK)["key"].Dead
		}
		if !acts() {
			t.Error("it refuses at once")
		}
		if err := c.s.Run(LeaseFor); err != nil {
			t.Fatal(err)
		}
		if got := acts(); got != (mutants != nil) {
			t.Errorf("mutants %v: after the lease it acts on what was revoked: %v", mutants, got)
		}
		if err := c.model.Rejoin("a"); err != nil {
			t.Fatal(err)
		}
		if mutants != nil {
			continue
		}
		for back, n := false, 0; !back; n++ {
			if n == 600 {
				_, err := c.fresh(cut)
				t.Fatalf("a minute later: %v", err)
			}
			if acts() {
				t.Error("back, and acts on what was revoked")
			}
			c.do(cut, func(context.Context) { cut.tables.endpoint.Warm(other.env.Self()) })
			_, err := c.fresh(cut)
			back = err == nil
			if err := c.s.Run(100 * time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestLeaseIsOver: a request waits a while for a lease that has just ended, and a shorter one later, while
// the voters are asked.
func TestLeaseIsOver(t *testing.T) {
	c := newTestCluster(t, 3, true)
	c.warm()
	if err := c.s.Run(2 * time.Second); err != nil {
		t.Fatal(err)
	}
	n := c.nodes[0]
	if err := c.model.Isolate("a"); err != nil {
		t.Fatal(err)
	}
	if err := c.s.Run(LeaseFor); err != nil {
		t.Fatal(err)
	}
	start := c.s.Now()
	if _, err := c.fresh(n); !errors.Is(err, quorum.ErrUnavailable) {
		t.Errorf("when the lease is over: %v", err)
	}
	if took := c.s.Now() - start; took < leasePatience/2 || took > leasePatience {
		t.Errorf("refused after %v, want not much less than %v", took, leasePatience)
	}
	start = c.s.Now()
	if _, err := c.fresh(n); err == nil || !strings.Contains(err.Error(), "2 of 3 replicas needed") {
		t.Errorf("later: %v", err)
	}
	if took := c.s.Now() - start; took > leaseRetry {
		t.Errorf("later: refused after %v, want at most %v", took, leaseRetry)
	}
	c.model.Clear()
	if err := c.s.Run(leaseRetry); err != nil {
		t.Fatal(err)
	}
	if trips, err := c.fresh(n); err != nil || trips > 8 {
		t.Errorf("healed: %v after %d round trips, want the voters to be asked", err, trips)
	}
}

// TestVotersThatDoNotCount: a lease rests on voters that know all that was acknowledged: not on one whose
// store is not in sync, and not on one that knows a newer layout.
func TestVotersThatDoNotCount(t *testing.T) {
	for _, guard := range []cluster.Guard{{Newest: 1, Amnesiac: true}, {Newest: 2, Synced: 2}} {
		c := newTestCluster(t, 4, true)
		n := c.nodes[0]
		for i, other := range c.nodes {
			g := cluster.Guard{Newest: 1, Synced: 1}
			if i > 0 {
				g = guard
			}
			c.do(other, func(ctx context.Context) {
				err := other.store.Update(ctx, func(w kv.Writer) error { g.Put(w); return nil })
				if err != nil {
					t.Error(err)
				}
			})
		}
		for _, other := range c.nodes[1:] {
			c.do(n, func(context.Context) { n.tables.endpoint.Warm(other.env.Self()) })
		}
		if err := c.s.Run(2 * LeaseFor); err != nil {
			t.Fatal(err)
		}
		if _, err := c.fresh(n); !errors.Is(err, quorum.ErrUnavailable) {
			t.Errorf("voters with %+v: %v", guard, err)
		}
	}
}
