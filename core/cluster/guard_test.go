package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	"granary/core/kv"
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
		if s.Since != tt.since || s.Synced != tt.version || s.holds(tt.since-1) || !s.holds(tt.since) ||
			!s.holds(tt.version) || s.holds(tt.version+1) {
			t.Errorf("in sync with version %d: %+v; want since %d", tt.version, s, tt.since)
		}
	}
	if first := (standing{Synced: 1}).inSync(2); !first.holds(1) || !first.holds(2) {
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
