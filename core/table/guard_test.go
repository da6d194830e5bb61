package table

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"granary/core/cluster"
	"granary/core/hlc"
	"granary/core/kv"
	"granary/core/layout"
	"granary/core/rt"
)

// guards sets what a node knows of the layouts.
func (c *testCluster) guards(n *testNode, g cluster.Guard) {
	c.t.Helper()
	c.do(n, func(ctx context.Context) {
		if err := n.store.Update(ctx, func(w kv.Writer) error { g.Put(w); return nil }); err != nil {
			c.t.Error(err)
		}
	})
}

// change is a story of a change of the layout, step by step: nodes 0 and 1 are the old set, 1 and 2 the new
// one, of which node 2 is new. Writers are at node 0 and know the old layout alone.
type change struct {
	*testCluster
	before, both, after cluster.View
}

func newChange(t *testing.T, mutants ...string) *change {
	c := &change{testCluster: newTestCluster(t, 1, false, mutants...)}
	ids := c.view.Live[0].Nodes
	before, after := layout.Majority(1, ids[:2]), layout.Majority(2, ids[1:])
	c.before = cluster.View{Layout: 1, Live: []layout.Set{before}}
	c.both = cluster.View{Layout: 2, Live: []layout.Set{before, after}}
	c.after = cluster.View{Layout: 2, Live: []layout.Set{after}}
	c.view = c.before
	for _, n := range c.nodes[:2] {
		c.guards(n, cluster.Guard{Newest: 1, Synced: 1})
	}
	c.guards(c.nodes[2], cluster.Guard{Newest: 2})
	return c
}

// put writes a mark with a view and reports whether it was acknowledged.
func (c *change) put(v cluster.View, name string) (err error) {
	c.view = v
	n := c.nodes[0]
	c.do(n, func(ctx context.Context) {
		item := Item{Voted: func(s hlc.Stamp) ([]Row, error) {
			row, err := n.marks.Row([]byte(name), mark{Stamp: uint64(s)})
			return []Row{row}, err
		}}
		ctx, cancel := n.env.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_, err = n.tables.WriteOne(ctx, Write{Subject: name, PK: markPK, Items: []Item{item}})
	})
	return err
}

// take has node 2 take over from one of the old set.
func (c *change) take(from int) (err error) {
	c.do(c.nodes[2], func(ctx context.Context) {
		peer := c.nodes[from].env.Self()
		_, err = c.nodes[2].tables.TakeOver(ctx, peer, []Span{SpanOf(0, 0xffff)},
			cluster.Source{Fenced: 2, Synced: 1}, func(context.Context, int) error { return nil })
	})
	return err
}

// has reports whether node 2 has a mark.
func (c *change) has(name string) (has bool) {
	n := c.nodes[2]
	c.do(n, func(context.Context) {
		err := n.tables.Local(markPK, func(r *Reader) (err error) {
			_, has, err = n.marks.Get(r, []byte(name))
			return err
		})
		if err != nil {
			c.t.Error(err)
		}
	})
	return has
}

// TestFence: what somebody who does not know the new layout writes is either taken over, or refused. Without
// the fence, or with one that goes up after the rows were taken over, it is acknowledged and not there.
func TestFence(t *testing.T) {
	tests := map[string]struct{ early, acked bool }{ // taken over before the fence; acknowledged after it
		"":                         {false, false},
		"layout: fence after push": {true, false},
		"layout: no fence":         {false, true},
	}
	for mutant, want := range tests {
		c := newChange(t, mutant)
		early := c.take(0)
		if (early == nil) != want.early || early != nil && !errors.Is(early, cluster.ErrOldLayout) {
			t.Errorf("mutant %q: taken over from a node without fence: %v", mutant, early)
		}
		if err := c.put(c.before, "between"); err != nil {
			t.Errorf("mutant %q: between: %v", mutant, err)
		}
		for _, n := range c.nodes[:2] {
			c.guards(n, cluster.Guard{Newest: 2, Synced: 1})
		}
		if early != nil {
			if err := c.take(0); err != nil {
				t.Errorf("mutant %q: %v", mutant, err)
			}
		}
		if has := c.has("between"); has == want.early {
			t.Errorf("mutant %q: acknowledged before the fence, and taken over: %v", mutant, has)
		}
		if err := c.put(c.before, "late"); (err == nil) != want.acked ||
			err != nil && !errors.Is(err, cluster.ErrOldLayout) {
			t.Errorf("mutant %q: a write behind the fence: %v", mutant, err)
		}
		if err := c.put(c.both, "known"); err != nil || !c.has("known") {
			t.Errorf("mutant %q: a write that knows both: %v", mutant, err)
		}
	}
}

// TestReadFence: a read that asks a set which was left out since is refused; else it misses what the new set
// acknowledged.
func TestReadFence(t *testing.T) {
	for _, mutant := range []string{"", "layout: no read fence"} {
		c := newChange(t, mutant)
		for _, n := range c.nodes[:2] {
			c.guards(n, cluster.Guard{Newest: 2, Closed: 2, Synced: 2})
		}
		c.guards(c.nodes[2], cluster.Guard{Newest: 2, Synced: 2})
		if err := c.put(c.after, "new"); err != nil {
			t.Fatal(err)
		}
		c.view = c.before
		var err error
		found := false
		c.do(c.nodes[0], func(ctx context.Context) {
			var f *Fetched
			if f, err = c.nodes[0].tables.Fetch(ctx, "row", markPK, []byte("new"), "a mark"); err == nil {
				_, found, err = Joined(f, c.nodes[0].marks, []byte("new"))
				f.Close()
			}
		})
		stale := err == nil && !found
		if stale != (mutant != "") || mutant == "" && !errors.Is(err, cluster.ErrOldLayout) {
			t.Errorf("mutant %q: read of the old set: found %v, %v", mutant, found, err)
		}
	}
}

// changing is a store that changes behind the first read transaction.
type changing struct {
	kv.Store
	change func()
}

func (s *changing) View(f func(kv.Reader) error) error {
	err := s.Store.View(f)
	if change := s.change; change != nil {
		s.change = nil
		change()
	}
	return err
}

// TestPageAdmitsEveryScan: a replica that closes between two scans of a page may have dropped what the second
// looks for. It refuses the page.
func TestPageAdmitsEveryScan(t *testing.T) {
	c := newChange(t)
	n, rows := c.nodes[0], marks{}
	for i := range 2 * pageViewMax {
		rows[fmt.Sprintf("%06d", i)] = mark{Stamp: 1}
	}
	c.have(n, n.lists, markPK, rows)
	req := &pageRequest{Table: 200, PK: markPK, All: true, Plan: c.before.Plan(),
		Asks: []pageAsk{{Live: pageViewMax + 1, Dead: 1}}}
	for _, tt := range []struct {
		then cluster.Guard
		want error
	}{
		{cluster.Guard{Newest: 2, Synced: 2, Closed: 2}, cluster.ErrOldLayout},
		{cluster.Guard{Newest: 2}, cluster.ErrSyncing},
	} {
		c.guards(n, cluster.Guard{Newest: 1, Synced: 1})
		c.do(n, func(ctx context.Context) {
			n.tables.store = &changing{n.store, func() {
				err := n.store.Update(ctx, func(w kv.Writer) error { tt.then.Put(w); return nil })
				if err != nil {
					t.Error(err)
				}
			}}
			if _, err := n.tables.handlePage(ctx, n.env.Self(), req); !errors.Is(err, tt.want) {
				t.Errorf("guard %+v behind the first scan: %v; want %v", tt.then, err, tt.want)
			}
		})
	}
}

// TestUnsyncedIsNotClean: a replica that does not know everything stores a write and casts no vote, reads no
// answer, and is nobody's source.
func TestUnsyncedIsNotClean(t *testing.T) {
	for _, mutant := range []string{"", "layout: a syncing store votes"} {
		c := newChange(t, mutant)
		c.guards(c.nodes[1], cluster.Guard{Newest: 2, Synced: 2})
		if err := c.put(c.after, "one"); (err == nil) != (mutant != "") {
			t.Errorf("mutant %q: acknowledged with one vote: %v", mutant, err)
		}
		if !c.has("one") {
			t.Errorf("mutant %q: not stored", mutant)
		}
		alone := []rt.NodeID{c.nodes[2].env.Self()}
		c.view = cluster.View{Layout: 2, Live: []layout.Set{layout.Majority(2, alone)}}
		var err error
		c.do(c.nodes[0], func(ctx context.Context) {
			var f *Fetched
			if f, err = c.nodes[0].tables.Fetch(ctx, "row", markPK, []byte("one"), "a mark"); err == nil {
				f.Close()
			}
		})
		if errors.Is(err, cluster.ErrSyncing) != (mutant == "") {
			t.Errorf("mutant %q: read of an unsynced replica: %v", mutant, err)
		}
	}
}

// TestClosedIsNoSource: a replica that is closed for a version is nobody's source as a member of the set
// before, which others leave out by then: who believes that set to be live may be a store that was lost, and
// has forgotten what it acknowledged without it.
func TestClosedIsNoSource(t *testing.T) {
	for _, mutant := range []string{"", "layout: taken over from the closed"} {
		c := newChange(t, mutant)
		c.guards(c.nodes[0], cluster.Guard{Newest: 2, Closed: 2, Synced: 2})
		c.guards(c.nodes[1], cluster.Guard{Newest: 2, Synced: 2})
		if err := c.take(0); errors.Is(err, cluster.ErrOldLayout) != (mutant == "") {
			t.Errorf("mutant %q: taken over from a replica that is closed: %v", mutant, err)
		}
		if err := c.take(1); err != nil {
			t.Errorf("mutant %q: taken over from one that is not: %v", mutant, err)
		}
	}
}

// TestCarryIsAdmitted: rows that a replica takes over are read in the transaction that finds their source
// fenced and in sync.
func TestCarryIsAdmitted(t *testing.T) {
	c := newChange(t)
	n := c.nodes[0]
	c.guards(c.nodes[2], cluster.Guard{Newest: 2, Since: 2, Synced: 2})
	c.do(c.nodes[2], func(context.Context) {
		if _, err := c.nodes[2].tables.carry(nil, 0, cluster.Source{}); err != nil {
			t.Errorf("nothing wanted of a store in sync since a later version: %v", err)
		}
	})
	c.do(n, func(context.Context) {
		for want, source := range map[error]cluster.Source{nil: {Fenced: 1, Synced: 1},
			cluster.ErrOldLayout: {Fenced: 2, Synced: 1}, cluster.ErrSyncing: {Fenced: 1, Synced: 2}} {
			if _, err := n.tables.carry(nil, 0, source); !errors.Is(err, want) {
				t.Errorf("%+v: %v, want %v", source, err, want)
			}
		}
	})
}
