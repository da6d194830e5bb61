package world

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"granary/core/bucket"
	"granary/core/cluster"
	"granary/core/node"
	"granary/core/quorum"
	"granary/netsim"
)

// unevenWorld has two machines in zone a, one in b, one in c, and two in d that store nothing yet. It has a
// bucket, and a client of the third machine.
func unevenWorld(t *testing.T, mutants ...string) (*World, *client) {
	t.Helper()
	topology := netsim.Regular("uneven", 4, 2, netsim.Path{Delay: 10 * time.Millisecond}, netsim.Path{})
	n := topology.Nodes
	topology.Nodes = []netsim.Node{n[0], n[1], n[2], n[4], n[6], n[7]}
	o := Default(1, topology)
	o.Gateways = []string{n[6].Name, n[7].Name}
	o.Sched.Mutants = mutants
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	if err := w.Form(); err != nil {
		t.Fatal(err)
	}
	key, err := w.MakeBucket("photos")
	if err != nil {
		t.Fatal(err)
	}
	return w, &client{t: t, w: w, key: key, at: 2}
}

// manage runs f with the buckets of a machine.
func (w *World) manage(m *Machine, f func(context.Context, *bucket.Store) error) error {
	return w.Do(time.Minute, func(ctx context.Context) error {
		return w.On(ctx, m, func(ctx context.Context, n *node.Node) error { return f(ctx, n.Buckets()) })
	})
}

// A cluster of 2 + 1 + 1 nodes in three zones loses the zone with two, half of its nodes: a bucket is made, a
// key is revoked everywhere, and a layout is applied that puts others in their place, after which the cluster
// has what it had.
func TestZoneWithHalfOfTheNodesIsLost(t *testing.T) {
	w, c := unevenWorld(t)
	var revoked bucket.Key
	b, d := w.Machines[2], w.Machines[4]
	c.ok(w.manage(b, func(ctx context.Context, s *bucket.Store) (err error) {
		revoked, err = s.CreateKey(ctx, "thief", false)
		if err == nil {
			_, err = s.Change(ctx, "photos", revoked.ID, func(g *bucket.Grant) { g.Read = true })
		}
		return err
	}))
	for i := range 20 {
		c.expect(200, "PUT", fmt.Sprintf("/photos/%03d", i), []byte("meow"))
	}
	w.Crash(w.Machines[0])
	w.Crash(w.Machines[1])
	w.mustRun(t, 10*time.Second)

	c.expect(200, "PUT", "/films", nil)
	c.ok(w.manage(b, func(ctx context.Context, s *bucket.Store) error {
		return s.DeleteKey(ctx, revoked.ID)
	}))
	w.mustRun(t, time.Second)
	for at := 2; at < len(w.Machines); at++ {
		thief := &client{t: t, w: w, key: revoked, at: at}
		thief.expect(403, "GET", "/photos/000", nil)
	}
	before := b.Node.Cluster().LayoutNumber()
	c.ok(errors.Join(w.stage(b, w.Machines[0], -1), w.stage(b, w.Machines[1], -1), w.stage(b, d, 1<<40),
		w.stage(b, w.Machines[5], 1<<40), w.apply(b)))
	w.mustSettle(t, before)
	whole := func() bool { return synced(b) && synced(w.Machines[3]) && synced(d) && synced(w.Machines[5]) }
	if err := w.Sched.RunUntil(time.Minute, whole); err != nil {
		t.Fatal(w.Standings())
	}
	w.Crash(b)
	w.mustRun(t, 10*time.Second)
	c.at = 4
	for i := range 20 {
		c.expect(200, "GET", fmt.Sprintf("/photos/%03d", i), nil)
	}
	c.expect(200, "HEAD", "/films", nil)
	c.expect(200, "PUT", "/plays", nil)
}

// While more is lost than voters can do without, errors and the status say which zones are missing.
func TestMissingZonesAreNamed(t *testing.T) {
	w, c := unevenWorld(t)
	b := w.Machines[2]
	why := func() string {
		var s cluster.Status
		c.ok(w.operate(b, func(_ context.Context, cl *cluster.Cluster) error {
			s = cl.Status()
			return nil
		}))
		return s.Undecided
	}
	w.Crash(w.Machines[1])
	w.mustRun(t, 10*time.Second)
	if got := why(); got != "" {
		t.Errorf("with a node of four: %q", got)
	}
	w.Crash(w.Machines[3])
	w.mustRun(t, 10*time.Second)
	const zones = "missing zone a, 1 of 2 nodes of which 2 are needed and zone c, 0 of 1 nodes of which 1 " +
		"are needed"
	if got := why(); !strings.Contains(got, zones) {
		t.Errorf("status: %q, want %q", got, zones)
	}
	err := w.manage(b, func(ctx context.Context, s *bucket.Store) error {
		_, err := s.Create(ctx, "films", c.key.ID)
		return err
	})
	if !errors.Is(err, quorum.ErrUnavailable) ||
		!strings.Contains(err.Error(), "2 of 3 zones needed, 1 answered, "+zones) {
		t.Errorf("create: %v", err)
	}
	err = w.apply(b)
	if !errors.Is(err, cluster.ErrNotReady) || !strings.Contains(err.Error(), zones) {
		t.Errorf("apply: %v", err)
	}
}

// split cuts a cluster of 2 + 1 + 1 nodes in two, through the zone of two, has both sides make a bucket of
// one name, and returns how many did.
func split(t *testing.T, mutants ...string) (made int) {
	t.Helper()
	w, c := unevenWorld(t, mutants...)
	sides := [2][]*Machine{{w.Machines[0], w.Machines[2], w.Machines[4]},
		{w.Machines[1], w.Machines[3], w.Machines[5]}}
	for _, one := range sides[0] {
		for _, other := range sides[1] {
			c.ok(w.Net.Model().Cut(one.Name, other.Name))
		}
	}
	w.mustRun(t, 10*time.Second)
	for i, owner := range []bucket.KeyID{"one", "other"} {
		err := w.manage(sides[i][1], func(ctx context.Context, s *bucket.Store) error {
			_, err := s.Create(ctx, "films", owner)
			return err
		})
		if err == nil {
			made++
		} else if !errors.Is(err, quorum.ErrUnavailable) {
			t.Error(err)
		}
	}
	return made
}

// A zone counts when a majority of its nodes answers: else both halves of a cluster that is cut through a
// zone decide, each for itself.
func TestSplitThroughAZone(t *testing.T) {
	if made := split(t); made > 1 {
		t.Errorf("%d sides made a bucket of one name", made)
	}
	if made := split(t, "voters: a zone counts with one node"); made != 2 {
		t.Errorf("zones count with one node: %d sides made the bucket; nobody would notice", made)
	}
}
