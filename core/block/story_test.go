package block_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"granary/core/block"
	"granary/core/cluster"
	"granary/core/layout"
	"granary/core/rt"
	"granary/sim/disk"
	"granary/sim/sched"
)

// caught runs a story without and with a mutant: only the second may go wrong. bad tells how often it did.
func caught(t *testing.T, mutant string, bad func(t *testing.T, o sched.Options) int) {
	t.Helper()
	for _, m := range []string{"", mutant} {
		n := 0
		for seed := range uint64(4) {
			n += bad(t, sched.Options{Seed: seed, Shuffle: true, YieldPerMille: 30, Mutants: []string{m}})
		}
		if (n > 0) != (m != "") {
			t.Errorf("mutant %q: went wrong %d times", m, n)
		}
	}
}

// Another upload of a block while it is being removed: the file that was found, or written, under the mutex
// stays.
func TestStoryRemovalAndUpload(t *testing.T) {
	caught(t, "block: removal without the mutex", func(t *testing.T, o sched.Options) (bad int) {
		c := newTown(t, 1, o)
		a := c.nodes[0]
		c.commit = 3 * time.Millisecond
		a.crash()
		a.boot()
		blocks := some(60, 9000)
		var hashes []block.Hash
		for _, b := range blocks {
			hashes = append(hashes, block.HashOf(b))
			if err := a.put(b, 1); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.release(1, hashes...); err != nil {
			t.Fatal(err)
		}
		a.disk.Timing = disk.SSD()
		c.run(block.RemoveDelay - 6*time.Millisecond)
		a.must(func(ctx context.Context, s *block.Store) error {
			g := rt.NewGroup(a.env, ctx)
			for i, b := range blocks {
				g.Go("upload", func(ctx context.Context) error {
					if err := a.env.Sleep(ctx, time.Duration(i*200)*time.Microsecond); err != nil {
						return err
					}
					return put(ctx, s, b, 2)
				})
			}
			return g.Wait()
		})
		c.run(2 * block.RemoveDelay)
		for _, b := range blocks {
			if !a.known(block.HashOf(b)) || !a.whole(block.HashOf(b)) {
				bad++
			}
		}
		return bad
	})
}

// A copy refers to a block whose last reference was just deleted: it stays.
func TestStoryLastReferenceDeletedWhileCopied(t *testing.T) {
	caught(t, "block: references not looked at again", func(t *testing.T, o sched.Options) (bad int) {
		c := newTown(t, 3, o)
		a, b := c.nodes[0], c.nodes[1]
		data := some(1, 4000)[0]
		h := block.HashOf(data)
		if err := a.put(data, 1); err != nil {
			t.Fatal(err)
		}
		if err := a.release(1, h); err != nil {
			t.Fatal(err)
		}
		c.run(block.RemoveDelay / 2)
		b.must(func(ctx context.Context, s *block.Store) error { return s.Refer(ctx, h, refOf(2)) })
		c.run(2 * block.RemoveDelay)
		for _, n := range c.nodes {
			if !n.known(h) || !n.whole(h) {
				bad++
			}
		}
		return bad
	})
}

// A copy comes too late: the block is gone, so the reference is refused.
func TestStoryReferenceWithoutBody(t *testing.T) {
	caught(t, "block: reference without body acknowledged", func(t *testing.T, o sched.Options) (bad int) {
		c := newTown(t, 3, o)
		a, b := c.nodes[0], c.nodes[1]
		data := some(1, 4000)[0]
		h := block.HashOf(data)
		if err := a.put(data, 1); err != nil {
			t.Fatal(err)
		}
		if err := a.release(1, h); err != nil {
			t.Fatal(err)
		}
		c.run(2 * block.RemoveDelay)
		err := b.do(func(ctx context.Context, s *block.Store) error { return s.Refer(ctx, h, refOf(2)) })
		if err == nil {
			bad++
		}
		return bad
	})
}

// The sync of a new file's folder fails, so the upload does. Another upload of the same finds the file in the
// page cache, whole: it must not be taken for durable.
func TestStoryUnsyncedFile(t *testing.T) {
	caught(t, "block: a file is there, so it is durable", func(t *testing.T, o sched.Options) (bad int) {
		c := newTown(t, 1, o)
		a := c.nodes[0]
		data := some(1, 4000)[0]
		a.disk.FailSync(1)
		if err := a.put(data, 1); err == nil {
			t.Fatal("stored, though the folder was not synced")
		}
		if err := a.put(data, 2); err != nil {
			return 0
		}
		a.crash()
		a.boot()
		if !a.whole(block.HashOf(data)) {
			bad++
		}
		return bad
	})
}

// The power fails at any moment of a removal: what is known to be here is here.
func TestStoryCrashInRemoval(t *testing.T) {
	caught(t, "block: file removed before presence", func(t *testing.T, o sched.Options) (bad int) {
		for at := range 6 {
			c := newTown(t, 1, o)
			a := c.nodes[0]
			blocks := some(20, 500)
			for _, b := range blocks {
				if err := a.put(b, 1); err != nil {
					t.Fatal(err)
				}
			}
			c.commit = 5 * time.Millisecond
			a.crash()
			a.boot()
			a.disk.Timing = disk.SSD()
			for _, b := range blocks {
				if err := a.release(1, block.HashOf(b)); err != nil {
					t.Fatal(err)
				}
			}
			c.run(block.RemoveDelay - 100*time.Millisecond + time.Duration(at*19)*time.Millisecond)
			a.crash()
			a.boot()
			for _, b := range blocks {
				if a.known(block.HashOf(b)) && !a.whole(block.HashOf(b)) {
					bad++
				}
			}
			c.run(2 * block.RemoveDelay)
			for _, b := range blocks {
				if a.known(block.HashOf(b)) {
					t.Error("still there after another start")
				}
			}
		}
		return bad
	})
}

// A block is released by a node that does not know that the layout has changed: the fence of the replicas
// sends it to the new set, a write quorum of which has the reference marked when Release returns.
func TestStoryReleasePlannedWithAnOldLayout(t *testing.T) {
	caught(t, "block: marked past the fence", func(t *testing.T, o sched.Options) (bad int) {
		c := newTown(t, 4, o)
		a, data := c.nodes[0], some(1, 4000)[0]
		h := block.HashOf(data)
		set := func(version uint64, of ...*house) layout.Set {
			var ids []rt.NodeID
			for _, n := range of {
				ids = append(ids, n.id)
			}
			return layout.Majority(version, ids)
		}
		old, next := set(1, c.nodes[:3]...), set(2, c.nodes[1:]...)
		c.view = cluster.View{Layout: 2, Live: []layout.Set{old, next}}
		if err := a.put(data, 1); err != nil {
			t.Fatal(err)
		}
		c.run(time.Minute)
		a.stale = &cluster.View{Layout: 1, Live: []layout.Set{old}}
		for _, n := range c.nodes[1:] {
			n.fence(cluster.Guard{Newest: 2, Synced: 1})
		}
		c.nodes[2].crash()
		if err := a.release(1, h); err != nil {
			t.Fatal(err)
		}
		marked := 0
		for _, n := range []*house{c.nodes[1], c.nodes[3]} {
			if n.refers(h) == 0 {
				marked++
			}
		}
		if marked < next.Write {
			bad++
		}
		return bad
	})
}

// A block that was planned with an old layout is refused before its file is written.
func TestKeepLooksAtTheFenceFirst(t *testing.T) {
	c := newTown(t, 3, sched.Options{Seed: 1})
	a := c.nodes[0]
	wrote := 0
	for _, n := range c.nodes {
		n.fence(cluster.Guard{Newest: 2, Synced: 1})
		n.disk.Interrupt = func() { wrote++ }
	}
	if err := a.put(some(1, 4000)[0], 1); !errors.Is(err, cluster.ErrOldLayout) {
		t.Errorf("a block that was planned with an old layout: %v", err)
	}
	if wrote != 0 {
		t.Errorf("%d nodes wrote it", wrote)
	}
}

// Release returns when a write quorum has answered: it does not wait for a replica that is silent.
func TestReleaseWaitsForAQuorumOnly(t *testing.T) {
	c := newTown(t, 3, sched.Options{Seed: 1})
	a, data := c.nodes[0], some(1, 4000)[0]
	if err := a.put(data, 1); err != nil {
		t.Fatal(err)
	}
	if err := a.release(2, block.HashOf(data)); err != nil { // so that all connections are there
		t.Fatal(err)
	}
	c.run(time.Minute)
	c.s.After(0, c.nodes[2].env.Pause)
	c.run(time.Millisecond)
	start := a.env.Now()
	if err := a.release(1, block.HashOf(data)); err != nil {
		t.Fatal(err)
	}
	if took := a.env.Now() - start; took > 2*roundTrip {
		t.Errorf("released after %v, a round trip is %v", took, roundTrip)
	}
}
