package cluster

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"granary/core/hlc"
	"granary/core/kv"
	"granary/core/layout"
	"granary/core/rt"
	simnet "granary/sim/net"
)

// TestConvergence: what both sides of a partition do is known to all soon after it heals.
func TestConvergence(t *testing.T) {
	for seed := range uint64(6) {
		w := newTown(t, seed, 5)
		w.form(3)
		for _, m := range w.machines[3:] {
			w.join(m, m.gateway())
		}
		w.within(time.Minute, func() bool { return w.agree(5) })
		for _, zone := range []string{"a", "b"} {
			for _, other := range []string{"c", "d", "e"} {
				if err := w.net.Model().Cut(zone, other); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i, m := range w.machines {
			w.must(m, func(ctx context.Context, c *Cluster) error {
				role := m.role()
				role.Node, role.Capacity = c.env.Self(), uint64(i+1)<<40
				return c.Stage(ctx, role)
			})
		}
		w.run(30 * time.Second)
		if w.agree(5) {
			t.Fatal("the partition does nothing")
		}
		w.net.Model().Clear()
		w.within(time.Minute, func() bool { return w.agree(5) })
		for _, m := range w.machines {
			pending := m.c.Status().Pending
			if len(pending) != 4 { // the first says what is already so
				t.Errorf("seed %d: %v: pending %v", seed, m, pending)
			}
		}
	}
}

// TestNewerLayoutIsFetched: a node that hears of a newer layout asks the one that knows it, at once.
func TestNewerLayoutIsFetched(t *testing.T) {
	w := newTown(t, 0, 3)
	w.form(3)
	w.run(10 * time.Second)
	second := w.machines[1]
	first := simnet.PeerOf(w.machines[0].id)
	w.must(second, func(ctx context.Context, c *Cluster) error {
		c.heardLayout(rt.NodeID{9}, 5) // nobody we know
		c.heardLayout(first, 1)        // nothing new
		if c.ahead != (rt.NodeID{}) {
			t.Error("it will ask somebody who knows nothing new")
		}
		c.heardLayout(first, 2)
		if peer, ok := c.nextPeer(); !ok || peer != first {
			t.Errorf("it would ask %v", peer)
		}
		if c.ahead != (rt.NodeID{}) {
			t.Error("it asks again and again")
		}
		return nil
	})
}

// TestClustersDoNotMix: documents of two clusters are never joined.
func TestClustersDoNotMix(t *testing.T) {
	w := newTown(t, 2, 2)
	w.found(1, 0)
	other := w.machines[1]
	w.must(other, func(ctx context.Context, c *Cluster) error {
		return c.Found(ctx, layout.DefaultParams(),
			other.role())
	})
	before := other.c.cache.digest
	err := w.on(other, func(ctx context.Context, c *Cluster) error {
		_,
			err := c.merge(ctx, w.machines[0].c.doc)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "peer belongs to cluster") ||
		other.c.cache.digest != before {
		t.Errorf("got %v", err)
	}
	if err := w.on(other, func(ctx context.Context, c *Cluster) error {
		return c.Found(ctx, layout.DefaultParams(), other.role())
	}); !errors.Is(err, ErrInCluster) {
		t.Errorf("a second founding: %v", err)
	}
}

// TestUpdate: a node that comes back under another name and address says so, even by a clock that is behind.
func TestUpdate(t *testing.T) {
	w := newTown(t, 3, 3)
	w.form(3)
	second := w.machines[1]
	id := simnet.PeerOf(second.id)
	second.env.Kill()
	second.label = "renamed"
	w.boot(second)
	second.env.SetWallOffset(-time.Hour)
	second.c.self.Addr = "elsewhere"
	w.must(second, func(ctx context.Context, c *Cluster) error { return c.Update(ctx) })
	w.within(time.Minute, func() bool { return w.agree(3) })
	for _, m := range w.machines {
		i := slices.IndexFunc(m.c.Status().Nodes, func(n NodeStatus) bool { return n.ID == id })
		if got := m.c.Status().Nodes[i].Member; got.Name != "renamed" || got.Addr != "elsewhere" {
			t.Errorf("%v knows %+v", m, got)
		}
		if got := m.c.Describe(id); got != "renamed (zone b)" {
			t.Errorf("%v calls it %s", m, got)
		}
	}
	digest := second.c.cache.digest
	w.must(second, func(ctx context.Context, c *Cluster) error { return c.Update(ctx) })
	if second.c.cache.digest != digest {
		t.Error("saying the same again is a change")
	}
}

// TestApply: the layout changes with data in it and a node down, not while the last change is going on, and
// not without need (invariant 4).
func TestApply(t *testing.T) {
	w := newTown(t, 4, 5)
	w.form(3)
	apply := func() (number uint64, err error) {
		err = w.on(w.machines[2], func(ctx context.Context, c *Cluster) (err error) {
			number, err = c.Apply(ctx)
			return err
		})
		return number, err
	}
	if number, err := apply(); number != 1 || err != nil {
		t.Errorf("with nothing staged: version %d, %v", number, err)
	}
	w.join(w.machines[3], w.machines[3].role())
	w.machines[1].env.Kill()
	w.run(5 * time.Second)
	w.stay = true
	if number, err := apply(); number != 2 || err != nil {
		t.Errorf("version %d, %v", number, err)
	}
	w.join(w.machines[4], w.machines[4].role())
	if _, err := apply(); !errors.Is(err, ErrUnsettled) {
		t.Errorf("while the last change is going on: %v", err)
	}
	w.stay = false
	w.boot(w.machines[1])
	for _, m := range w.machines {
		for _, wake := range m.c.waiting {
			wake.Unpark()
		}
	}
	w.within(time.Minute, func() bool { return w.agree(5) })
	if number, err := apply(); number != 3 || err != nil {
		t.Errorf("version %d, %v", number, err)
	}
	w.within(time.Minute, func() bool { return w.agree(5) })
	if n := len(w.machines[1].c.Status().Layout.StorageNodes()); n != 5 {
		t.Errorf("%d storage nodes", n)
	}
}

// TestAppliesAtOnce: of several Applies at once, wherever, one version comes out, which all know; who wanted
// another is told (invariant 4).
func TestAppliesAtOnce(t *testing.T) {
	for seed := range uint64(6) {
		w := newTown(t, seed, 4)
		w.form(3)
		w.join(w.machines[3], w.machines[3].role())
		w.within(time.Minute, func() bool { return w.agree(4) })
		at := append(w.machines[:4:4], w.machines[0], w.machines[0])
		for i, err := range w.all(at, func(ctx context.Context, c *Cluster) error {
			_, err := c.Apply(ctx)
			return err
		}) {
			if err != nil && !errors.Is(err, ErrChanged) && !errors.Is(err, ErrUnsettled) {
				t.Errorf("seed %d, %v: %v", seed, at[i], err)
			}
		}
		w.within(time.Minute, func() bool { return w.agree(4) })
		if n := w.machines[0].c.LayoutNumber(); n != 2 {
			t.Errorf("seed %d: version %d", seed, n)
		}
	}
}

// TestClockOffset: each node knows how far its clock is from the median, and says so (invariant 5).
func TestClockOffset(t *testing.T) {
	w := newTown(t, 5, 5)
	w.form(5)
	offsets := []time.Duration{0, 90 * time.Second, -2 * time.Hour, 100 * time.Millisecond,
		-50 * time.Millisecond}
	for i, m := range w.machines {
		m.env.SetWallOffset(offsets[i])
	}
	w.run(2 * time.Minute)
	for i, m := range w.machines {
		got := m.c.Status().ClockOffset
		if off := got - offsets[i]; max(off, -off) > 20*time.Millisecond {
			t.Errorf("%v: offset %v, want %v", m, got, offsets[i])
		}
		if m.c.clocks.warned != (i == 1 || i == 2) {
			t.Errorf("%v: offset %v, warned %v", m, got, m.c.clocks.warned)
		}
		m.env.SetWallOffset(0)
	}
	w.run(2 * time.Minute)
	for _, m := range w.machines {
		if off := m.c.ClockOffset(); max(off, -off) > 20*time.Millisecond || m.c.clocks.warned {
			t.Errorf("%v: offset %v after all were set right", m, off)
		}
	}
}

// TestBadClockCarriesNobodyAway: the stamps of one clock far ahead move no other, and the node whose clock is
// far behind follows the others (invariant 5).
func TestBadClockCarriesNobodyAway(t *testing.T) {
	w := newTown(t, 6, 5)
	w.form(5)
	w.machines[1].env.SetWallOffset(24 * time.Hour)
	w.machines[2].env.SetWallOffset(-24 * time.Hour)
	right := func() hlc.Stamp { return hlc.At(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(w.s.Now())) }
	for range 30 {
		for _, m := range w.machines {
			w.must(m, func(ctx context.Context, c *Cluster) error { _, err := c.clock.Now(ctx); return err })
		}
		w.run(2 * time.Second)
	}
	for i, m := range w.machines {
		ahead := m.c.clock.Last().Sub(right())
		switch {
		case i == 1:
			if ahead < 23*time.Hour {
				t.Errorf("%v is %v ahead: the test tests nothing", m, ahead)
			}
		case ahead > 0, ahead < -10*time.Second:
			t.Errorf("%v: stamps are %v ahead", m, ahead)
		}
	}
}

// TestMajorityMovesClocks: what a majority of the members has reached is merged, however far ahead.
func TestMajorityMovesClocks(t *testing.T) {
	w := newTown(t, 7, 3)
	w.form(3)
	far := hlc.At(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	w.machines[0].c.clock.Merge(far)
	w.run(time.Minute)
	for _, m := range w.machines[1:] {
		if m.c.clock.Last() >= far {
			t.Fatalf("%v followed one", m)
		}
	}
	w.machines[1].c.clock.Merge(far)
	w.run(time.Minute)
	if got := w.machines[2].c.clock.Last(); got < far {
		t.Errorf("%v is at %v after two of three are at %v", w.machines[2], got, far)
	}
}

func TestNearest(t *testing.T) {
	w := newTown(t, 8, 4)
	w.form(3)
	first, second, third := w.machines[0], w.machines[1], w.machines[2]
	role := third.role()
	role.Node, role.Zone = simnet.PeerOf(third.id), first.role().Zone
	w.must(second, func(ctx context.Context, c *Cluster) error {
		if err := c.Stage(ctx, role); err != nil {
			return err
		}
		number, err := c.Apply(ctx) // the founder need not have heard of the change before
		if number != 2 {
			t.Errorf("version %d", number)
		}
		return err
	})
	w.within(time.Minute, func() bool { return w.agree(3) })
	ids := []rt.NodeID{simnet.PeerOf(second.id), simnet.PeerOf(third.id), simnet.PeerOf(first.id), {77}, {88}}
	want := []rt.NodeID{ids[2], ids[1], ids[0], {77}, {88}}
	if got := first.c.Nearest(ids); !slices.Equal(got, want) {
		t.Errorf("nearest %v, want %v", got, want)
	}
	if !first.c.SameZone(ids[1]) || first.c.SameZone(ids[0]) || first.c.SameZone(rt.NodeID{77}) {
		t.Error("SameZone")
	}
	outsider := w.machines[3]
	if outsider.c.SameZone(rt.NodeID{77}) || !outsider.c.SameZone(simnet.PeerOf(outsider.id)) {
		t.Error("two unknown zones are not one")
	}
	if d := first.c.Patience(ids[:3]); d < 20*time.Millisecond || d > 200*time.Millisecond {
		t.Errorf("patience %v with 20 ms of round trip", d)
	}
	if d := first.c.Patience(ids); d != patienceUnknown {
		t.Errorf("patience %v with strangers", d)
	}
}

// TestDamagedDocument: a node does not start on a document that it cannot trust.
func TestDamagedDocument(t *testing.T) {
	w := newTown(t, 9, 1)
	w.found(1, 0)
	m := w.machines[0]
	var err error
	w.must(m, func(ctx context.Context, c *Cluster) error {
		if uerr := c.store.Update(ctx, func(w kv.Writer) error {
			w.Put(keyDocument,
				[]byte("damage"))
			return nil
		}); uerr != nil {
			return uerr
		}
		_, err = Open(Config{Env: m.env, Store: c.store, Clock: c.clock, Group: c.group, Identity: m.id,
			Self: c.self})
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "cluster document") {
		t.Errorf("got %v", err)
	}
}

// TestOneChild: of two versions that are applied at once to the same parent, one is chosen, and who wanted
// the other is told. If each were live where it was applied, both would be.
func TestOneChild(t *testing.T) {
	for _, mutant := range []string{"", "layout: not chosen"} {
		w := newTown(t, 31, 4, mutant)
		w.form(4)
		live := w.machines[0].c.Status().Layout
		tolerant := func(p *layout.Params) { p.Tolerance = 100 }
		w.must(w.machines[0], func(ctx context.Context, c *Cluster) error {
			return c.StageParams(ctx, tolerant)
		})
		w.within(time.Minute, func() bool { return w.agree(4) })
		wanted := map[*machine]*layout.Version{} // what is staged, and what is live, placed anew
		for i, m := range w.machines[1:3] {
			params := live.Params
			if i == 1 {
				tolerant(&params)
			}
			v, err := layout.Assign(live.Roles, params, live)
			if err != nil {
				t.Fatal(err)
			}
			wanted[m] = v
		}
		w.stay = true
		live1, live2 := w.machines[1], w.machines[2]
		errs := w.all([]*machine{live1, live2}, func(ctx context.Context, c *Cluster) error {
			m := live1
			if c == live2.c {
				m = live2
			}
			return c.Adopt(ctx, wanted[m])
		})
		told := 0
		for _, err := range errs {
			if errors.Is(err, ErrChanged) {
				told++
			} else if err != nil {
				t.Errorf("mutant %q: %v", mutant, err)
			}
		}
		if (told == 1) != (mutant == "") {
			t.Errorf("mutant %q: %d of 2 were told that another version was chosen", mutant, told)
		}
	}
}
