package table

import (
	"context"
	"errors"
	"testing"
	"time"

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
		for back := false; !back; {
			if acts() {
				t.Error("back, and acts on what was revoked")
			}
			_, err := c.fresh(cut)
			back = err == nil
			if err := c.s.Run(100 * time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestLeaseIsAskedForOnce: requests that come when the lease is over share one comparison, and its failure.
func TestLeaseIsAskedForOnce(t *testing.T) {
	c := newTestCluster(t, 3, false) // nobody renews
	c.warm()
	n := c.nodes[0]
	if trips, err := c.fresh(n); err != nil || trips != 1 {
		t.Errorf("%v after %d round trips", err, trips)
	}
	if err := c.s.Run(LeaseFor); err != nil {
		t.Fatal(err)
	}
	if err := c.model.Isolate("a"); err != nil {
		t.Fatal(err)
	}
	start, refused := c.s.Now(), 0
	for range 100 {
		n.env.Go("request", func() {
			if n.tables.Fresh(n.env.Background()) != nil {
				refused++
			}
		})
	}
	if err := c.s.RunUntil(time.Minute, func() bool { return refused == 100 }); err != nil {
		t.Fatal(err)
	}
	if took := c.s.Now() - start; took > renewTimeout+time.Second {
		t.Errorf("100 requests were refused after %v", took)
	}
}
