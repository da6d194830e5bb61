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
	"granary/sim/sched"
)

// bereft is a town in which the replicas of a block, all but the last two nodes, have lost it: only the
// reference is there. The last two nodes hold nothing.
func bereft(t *testing.T, o sched.Options) (c *town, data []byte) {
	c, data = newTown(t, 5, o), some(1, 4000)[0]
	h := block.HashOf(data)
	var ids []rt.NodeID
	for _, n := range c.nodes[:3] {
		ids = append(ids, n.id)
	}
	c.view = cluster.View{Layout: 1, Live: []layout.Set{layout.Majority(1, ids)}}
	if err := c.nodes[0].put(data, 1); err != nil {
		t.Fatal(err)
	}
	c.run(time.Minute)
	for _, n := range c.nodes[:3] {
		n.must(func(ctx context.Context, s *block.Store) error { return s.DiskOf().Remove(ctx, h) })
		n.must(func(_ context.Context, s *block.Store) error { s.Suspect(h); return nil })
	}
	c.run(10 * time.Second)
	for _, n := range c.nodes[:3] {
		n.wantMissing(1)
		if lost := n.lost(); len(lost) != 1 || lost[0].Hash != h || lost[0].GivenUp ||
			len(lost[0].Refs) != 1 || lost[0].Refs[0].Key != "key" {
			t.Fatalf("%s lists %+v", n.name, lost)
		}
	}
	return c, data
}

// lost lists what the node knows to be lost.
func (h *house) lost() (list []block.LostBlock) {
	h.c.t.Helper()
	h.must(func(_ context.Context, s *block.Store) (err error) {
		list, err = s.Lost(block.Hash{})
		return err
	})
	return list
}

// giveUp gives a block up, and returns why that was not done.
func (h *house) giveUp(hash block.Hash) (why error) {
	h.c.t.Helper()
	err := h.do(func(ctx context.Context, s *block.Store) error {
		whys, err := s.GiveUp(ctx, []block.Hash{hash})
		if err == nil {
			why = whys[0]
		}
		return err
	})
	return errors.Join(why, err)
}

// waits is for how many blocks the node waits.
func (h *house) waits() (n int64) {
	h.c.t.Helper()
	h.must(func(_ context.Context, s *block.Store) (err error) {
		n, err = s.Missing(0, 0xffff)
		return err
	})
	return n
}

func (h *house) read(hash block.Hash) error {
	return h.do(func(ctx context.Context, s *block.Store) error {
		buf, err := s.Get(ctx, hash, block.SizeMax)
		if err == nil {
			buf.Release()
		}
		return err
	})
}

// A block that is nowhere keeps nobody waiting once it was given up, on no node, not even on one that takes
// the references over later, nor after a restart. Reading it says so. Nothing is deleted, and an upload of
// the same content brings it back everywhere.
func TestGiveUp(t *testing.T) {
	c, data := bereft(t, sched.Options{Seed: 1, Shuffle: true, YieldPerMille: 30})
	h, a, late := block.HashOf(data), c.nodes[0], c.nodes[3]
	if err := a.read(h); err == nil || errors.Is(err, block.ErrLost) {
		t.Errorf("before it was given up: %v", err)
	}
	if err := a.giveUp(h); err != nil {
		t.Fatal(err)
	}
	c.run(time.Minute)
	a.crash()
	a.boot()
	c.view.Live = append(c.view.Live, layout.Majority(1, []rt.NodeID{a.id, late.id, c.nodes[4].id}))
	c.run(5 * time.Minute)
	for _, n := range c.nodes {
		if n.refers(h) != 1 {
			t.Errorf("%s has %d references", n.name, n.refers(h))
		}
		if lost := n.lost(); n.waits() != 0 || len(lost) != 1 || !lost[0].GivenUp {
			t.Errorf("%s waits for %d blocks, and lists %+v", n.name, n.waits(), lost)
		}
		if err := n.read(h); !errors.Is(err, block.ErrLost) {
			t.Errorf("%s reads it: %v", n.name, err)
		}
	}
	if err := a.put(data, 2); err != nil {
		t.Fatal(err)
	}
	c.run(5 * time.Minute)
	c.wantAll(data)
	for _, n := range c.nodes {
		if lost := n.lost(); len(lost) != 0 {
			t.Errorf("%s lists %+v", n.name, lost)
		}
	}
}

// A member that does not answer may have the block, and so may a disk that is not in use.
func TestGiveUpWantsEveryAnswer(t *testing.T) {
	c, data := bereft(t, sched.Options{Seed: 2})
	h, a, other := block.HashOf(data), c.nodes[0], c.nodes[4]
	other.crash()
	if err := a.giveUp(h); err == nil || errors.Is(err, block.ErrLost) {
		t.Errorf("with a member down: %v", err)
	}
	other.boot()
	other.disk.Dead = true
	c.run(time.Minute)
	if err := a.giveUp(h); !errors.Is(err, block.ErrDisk) {
		t.Errorf("with a disk out of use: %v", err)
	}
	other.disk.Dead = false
	for _, n := range c.nodes[:3] {
		n.wantMissing(1)
	}
	if err := a.giveUp(h); err != nil {
		t.Error(err)
	}
	if err := a.giveUp(block.HashOf([]byte("nobody's"))); err == nil {
		t.Error("a block was given up that nothing refers to")
	}
}

// A former owner, of which no layout knows any more, still has the file: the block is not lost.
func TestStoryFormerOwnerHasTheBlock(t *testing.T) {
	caught(t, "block: given up without asking everybody", func(t *testing.T, o sched.Options) (bad int) {
		c, data := bereft(t, o)
		h, a, former := block.HashOf(data), c.nodes[0], c.nodes[4]
		former.must(func(ctx context.Context, s *block.Store) error {
			return s.DiskOf().Write(ctx, h, append(append([]byte(nil), data...), 0))
		})
		if a.giveUp(h) == nil {
			bad++
		}
		return bad
	})
}

// The file of a block that was given up turns up: its node says so, and whoever takes the references over
// waits for it again.
func TestStoryGivenUpAndFound(t *testing.T) {
	const mutant = "block: a copy does not tell that it was given up"
	caught(t, mutant, func(t *testing.T, o sched.Options) (bad int) {
		c, data := bereft(t, o)
		h, a, b, late := block.HashOf(data), c.nodes[0], c.nodes[1], c.nodes[3]
		if err := a.giveUp(h); err != nil {
			t.Fatal(err)
		}
		c.run(time.Minute)
		for _, n := range []*house{a, c.nodes[2]} {
			n.jobs.Find(block.ResyncJob).Pause()
		}
		b.must(func(ctx context.Context, s *block.Store) error {
			err := s.DiskOf().Write(ctx, h, append(append([]byte(nil), data...), 0))
			s.StartScrub()
			return err
		})
		c.run(5 * time.Minute)
		if !b.holds(h) {
			t.Fatal("what turned up was not adopted")
		}
		b.crash() // before anybody else has it
		c.view.Live = append(c.view.Live, layout.Majority(1, []rt.NodeID{late.id}))
		c.run(5 * time.Minute)
		if late.refers(h) != 1 {
			t.Fatal("the references were not taken over")
		}
		if late.waits() != 1 {
			bad++
		}
		return bad
	})
}
