package cluster

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"granary/core/kv"
	"granary/core/layout"
)

// guardOf is the guard of a machine's store.
func (w *town) guardOf(m *machine) (g Guard) {
	w.t.Helper()
	w.must(m, func(_ context.Context, c *Cluster) error {
		return c.store.View(func(r kv.Reader) error { g, _ = ReadGuard(r); return nil })
	})
	return g
}

// TestRestoredStoreIsGuarded: a store that comes back from a copy, under an id of its own, does not vote with
// the guard that came with it, not even before a peer was heard.
func TestRestoredStoreIsGuarded(t *testing.T) {
	w := newTown(t, 41, 3)
	w.form(3)
	m := w.machines[1]
	was := w.guardOf(m)
	if want := (Guard{Newest: 1, Closed: was.Closed, Synced: 1}); was != want {
		t.Fatalf("guard %+v, want %+v", was, want)
	}
	m.env.Kill()
	m.store = []byte("restored")
	for _, o := range w.machines {
		if err := w.net.Model().Isolate(o.name); err != nil {
			t.Fatal(err)
		}
	}
	w.boot(m)
	if now, want := w.guardOf(m), (Guard{Newest: 1, Closed: was.Closed, Amnesiac: true}); now != want {
		t.Errorf("guard %+v, want %+v", now, want)
	}
	m.env.Kill()
	w.boot(m)
	if now := w.guardOf(m); !now.Amnesiac {
		t.Errorf("guard after another start: %+v", now)
	}
}

// TestSince: a store that comes to hold what a version gives it does not hold, by that, what an earlier one
// gave it.
func TestSince(t *testing.T) {
	var s standing
	for _, tt := range []struct{ version, since uint64 }{{3, 3}, {4, 3}, {5, 3}, {7, 7}, {8, 7}} {
		s = s.inSync(tt.version)
		if s.Since != tt.since || s.Synced != tt.version || s.holds(tt.since-1, 0) || !s.holds(tt.since, 0) ||
			!s.holds(tt.version, 0) || s.holds(tt.version+1, 0) {
			t.Errorf("in sync with version %d: %+v; want since %d", tt.version, s, tt.since)
		}
	}
	if first := (standing{Synced: 1}).inSync(2); !first.holds(1, 0) || !first.holds(2, 0) {
		t.Errorf("in sync from the beginning: %+v", first)
	}
	anew := standing{Life: 2, Store: []byte("b")}
	if j := s.join(anew); j.Since != 0 || j.Synced != 0 {
		t.Errorf("another store holds what the one before held: %+v", j)
	}
}

// TestInSyncWithWhatLives: a node gets in sync with the newest version or, as long as that is live, with the
// one before; not with one that is over.
func TestInSyncWithWhatLives(t *testing.T) {
	for _, mutant := range []string{"", "layout: in sync with what is over"} {
		w := newTown(t, 43, 4, mutant)
		w.form(3)
		w.stay = true
		m := w.machines[0]
		w.join(w.machines[3], w.machines[3].role())
		w.must(m, func(ctx context.Context, c *Cluster) error {
			_, err := c.Apply(ctx)
			return err
		})
		mark := func(version uint64) error {
			return w.on(m, func(ctx context.Context, c *Cluster) error { return c.MarkSynced(ctx, version) })
		}
		if err := mark(1); err != nil || m.c.LayoutNumber() != 2 {
			t.Fatalf("in sync with the version before %d: %v", m.c.LayoutNumber(), err)
		}
		w.stay = false
		w.must(m, func(ctx context.Context, c *Cluster) error { return c.MarkSynced(ctx, 2) })
		for _, m := range w.machines {
			m.env.Go("follow", func() { _ = w.follow(m.env.Background(), m, m.env.NewWaiter()) })
		}
		w.within(time.Minute, func() bool { return w.agree(4) })
		if err := mark(1); errors.Is(err, ErrChanged) != (mutant == "") {
			t.Errorf("mutant %q: in sync with a version that is over: %v", mutant, err)
		}
	}
}

// TestGuardOfTurns: in the middle of a change a store answers for the parts that it has taken over, refuses
// what is anchored in a set that it has closed, and takes no word for the turn of a part from who knows
// another layout.
func TestGuardOfTurns(t *testing.T) {
	for _, mutant := range []string{"", "layout: in sync a turn early"} {
		w := newTown(t, 44, 1, mutant)
		env := w.machines[0].env
		g := Guard{Newest: 2, Since: 1, Synced: 1, SyncedTurn: 4, ClosedTurn: 3}
		for _, tt := range []struct {
			plan         Plan
			open, inSync bool
		}{
			{Plan{2, 2, 1}, true, true},
			{Plan{2, 2, 4}, true, true},
			{Plan{2, 2, 5}, true, mutant != ""},
			{Plan{2, 2, 0}, true, false}, // knows that the change is over
			{Plan{3, 2, 1}, true, false}, // a turn of the next change
			{Plan{2, 1, 3}, false, true},
			{Plan{2, 1, 4}, true, true},
			{Plan{2, 1, 0}, false, true},
			{Plan{1, 1, 0}, false, true}, // knows nothing of the change
			{Plan{1, 1, 9}, false, true}, // a turn of the one before
		} {
			err := g.open(tt.plan)
			if (err == nil) != tt.open || err != nil && !errors.Is(err, ErrOldLayout) {
				t.Errorf("%+v: open: %v", tt.plan, err)
			}
			if got := g.holds(env, tt.plan); got != tt.inSync {
				t.Errorf("mutant %q: %+v: in sync: %v", mutant, tt.plan, got)
			}
		}
		if g = (Guard{Newest: 2, Since: 1, Synced: 1}); g.open(Plan{1, 1, 0}) != nil {
			t.Error("nothing is closed, and what is anchored before the change is refused")
		}
	}
}

// TestLeastPlan: the least of two plans is refused by every guard that refuses one of them.
func TestLeastPlan(t *testing.T) {
	var plans []Plan
	for _, newest := range []uint64{1, 2} {
		for anchor := max(newest, 2) - 1; anchor <= newest; anchor++ {
			for turn := range 4 {
				plans = append(plans, Plan{newest, anchor, turn})
			}
		}
	}
	refuses := func(g Guard, p Plan) bool { return p.Newest < g.Newest || g.open(p) != nil }
	for _, a := range plans {
		for _, b := range plans {
			for closed := range 3 {
				g := Guard{Newest: 2, Closed: 1, ClosedTurn: closed}
				if (refuses(g, a) || refuses(g, b)) && !refuses(g, a.Least(b)) {
					t.Errorf("%+v and %+v: %+v is not refused by %+v", a, b, a.Least(b), g)
				}
			}
		}
	}
}

// TestClosedInParts: where all have taken over what is theirs the new sets are read and the old ones go,
// and not elsewhere; a node that lags, and is in reach, keeps its parts open.
func TestClosedInParts(t *testing.T) {
	w := newTown(t, 45, 4)
	w.form(3)
	w.stay = true
	w.join(w.machines[3], w.machines[3].role())
	m := w.machines[0]
	w.must(m, func(ctx context.Context, c *Cluster) error { _, err := c.Apply(ctx); return err })
	w.within(time.Minute, func() bool { return w.agree(4) })
	for _, m := range w.machines[:3] {
		w.must(m, func(ctx context.Context, c *Cluster) error { return c.MarkCarried(ctx, 2) })
	}
	mark := func(m *machine, turn int) {
		w.must(m, func(ctx context.Context, c *Cluster) error { return c.MarkPartly(ctx, 2, turn) })
	}
	last := 0
	m.c.EachView(func(_, _ layout.Prefix, v View) { last = max(last, v.Turn) })
	half := (layout.FullTurn + last) / 2
	for _, m := range w.machines[:3] {
		mark(m, last-1)
	}
	check := func(when string, upTo int) {
		t.Helper()
		w.run(30 * time.Second)
		full, _ := m.c.FullView()
		views := []View{full}
		m.c.EachView(func(_, _ layout.Prefix, v View) { views = append(views, v) })
		lags := w.machines[3].env.Self()
		for _, v := range views {
			set := v.Live[len(v.Live)-1]
			over := v.Turn <= upTo
			read := over || v.Turn < last && !slices.Contains(set.Nodes, lags)
			if (len(v.Live) == 1) != over || (v.ReadSet().Version == 2) != read {
				t.Fatalf("%s: part of turn %d, newly on %v: %+v", when, v.Turn, set.Nodes, v)
			}
		}
	}
	check("the new node has nothing", 0)
	mark(w.machines[3], half)
	check("it is half through", half)
	mark(w.machines[3], last-1)
	check("only the last turn is missing", last-1)
	if s := m.c.Status(); s.Before == nil || s.Change.Retired == 0 || s.Change.Retired == s.Change.Parts {
		t.Errorf("change: %+v", s.Change)
	}
	if _, _, n := m.c.Surplus(); n == 0 {
		t.Error("nothing is surplus yet where a part has left")
	}
	for _, m := range w.machines {
		w.must(m, func(ctx context.Context, c *Cluster) error { return c.MarkSynced(ctx, 2) })
	}
	w.within(time.Minute, func() bool { return m.c.Status().Before == nil })
}
