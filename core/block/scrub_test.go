package block_test

import (
	"context"
	"testing"
	"time"

	"granary/core/block"
	"granary/sim/disk"
	"granary/sim/sched"
)

// stocked is a town of three whose nodes hold blocks.
func stocked(t *testing.T, o sched.Options, blocks [][]byte) *town {
	t.Helper()
	c := newTown(t, 3, o)
	for _, b := range blocks {
		if err := c.nodes[0].put(b, 1); err != nil {
			t.Fatal(err)
		}
	}
	c.run(time.Minute)
	c.wantAll(blocks...)
	return c
}

// scrubbed runs until a scrub of the node is over, and returns what it found.
func (h *house) scrubbed(names bool) block.ScrubPass {
	h.c.t.Helper()
	over := func() bool {
		now, _ := h.store.Scrubs()
		return now.Ended != 0 && now.Names == names
	}
	before, _ := h.store.Scrubs()
	if !names {
		h.store.StartScrub()
	}
	err := h.c.s.RunUntil(time.Hour, func() bool {
		now, _ := h.store.Scrubs()
		return over() && now.Began != before.Began
	})
	if err != nil {
		h.c.t.Fatal(err)
	}
	now, _ := h.store.Scrubs()
	if now.Names != names {
		h.c.t.Errorf("pass %+v", now)
	}
	return now
}

// Bits that rotted, sectors that cannot be read and files that vanished are found by a scrub, and healed by
// resync from the other replicas.
func TestScrubHeals(t *testing.T) {
	for _, mutant := range []string{"", "block: scrub looks and does nothing"} {
		blocks := some(90, 5000)
		c := stocked(t, sched.Options{Seed: 1, Mutants: []string{mutant}}, blocks)
		a := c.nodes[0]
		for i, b := range blocks[:30] {
			h := block.HashOf(b)
			switch i % 3 {
			case 0:
				a.disk.FlipBit(h, uint64(i*977))
			case 1:
				a.disk.BreakSector(h)
			case 2:
				a.must(func(ctx context.Context, s *block.Store) error { return s.DiskOf().Remove(ctx, h) })
			}
		}
		pass := a.scrubbed(false)
		found := pass.Disks[0]
		if found.Bad != 20 || pass.Missing != 10 || found.Checked != 60 || found.Bytes < 300_000 {
			t.Errorf("found %+v", found)
		}
		c.run(time.Minute)
		if now, last := a.store.Scrubs(); mutant == "" && (now.Healed != 30 || last.Began != now.Began) {
			t.Errorf("pass %+v, last %+v", now, last)
		}
		bad := 0
		for _, b := range blocks {
			if !a.whole(block.HashOf(b)) {
				bad++
			}
		}
		if (bad > 0) != (mutant != "") {
			t.Errorf("mutant %q: %d blocks are still damaged", mutant, bad)
		}
		if mutant == "" {
			c.wantAll(blocks...)
		}
	}
}

// A reader that finds a block damaged has it healed, without waiting for a scrub.
func TestReaderFindsDamage(t *testing.T) {
	blocks := some(3, 5000)
	c := stocked(t, sched.Options{Seed: 2}, blocks)
	a := c.nodes[0]
	a.disk.FlipBit(block.HashOf(blocks[1]), 8)
	a.must(func(ctx context.Context, s *block.Store) error {
		buf, err := s.Get(ctx, block.HashOf(blocks[1]), 5000)
		if err == nil {
			buf.Release()
		}
		return err
	})
	c.run(time.Minute)
	c.wantAll(blocks...)
}

// What is told to be at two replicas, and is damaged at one and missing at the other, is found out by the
// first who needs it: none has it then, and nobody waits for it.
func TestHoldersLookWhenAsked(t *testing.T) {
	blocks := some(1, 5000)
	h := block.HashOf(blocks[0])
	c := stocked(t, sched.Options{Seed: 4}, blocks)
	remove := func(ctx context.Context, s *block.Store) error { return s.DiskOf().Remove(ctx, h) }
	c.nodes[0].disk.FlipBit(h, 8)
	c.nodes[1].must(remove)
	c.nodes[2].must(remove)
	c.nodes[2].scrubbed(false)
	c.run(10 * time.Minute)
	for i, n := range c.nodes {
		n.must(func(_ context.Context, s *block.Store) error {
			missing, err := s.Missing(0, 0xffff)
			if err != nil {
				return err
			}
			awaited, err := s.Awaited(0, 0xffff)
			if missing != 1 || awaited != 0 {
				t.Errorf("node %d misses %d blocks and waits for %d", i, missing, awaited)
			}
			return err
		})
	}
}

// Files that the store does not know go away after a day; what something refers to is adopted at once, if it
// is whole.
func TestScrubUnknownFiles(t *testing.T) {
	for _, mutant := range []string{"", "block: unknown files stay"} {
		blocks := some(9, 5000)
		c := stocked(t, sched.Options{Seed: 3, Mutants: []string{mutant}}, blocks)
		a := c.nodes[0]
		junk := block.Hash{1, 2, 3}
		a.must(func(ctx context.Context, s *block.Store) error {
			if err := s.Forget(ctx, block.HashOf(blocks[0])); err != nil {
				return err
			}
			return s.DiskOf().Write(ctx, junk, []byte("of a write that a crash cut off"))
		})
		found := a.scrubbed(false).Disks[0]
		if found.Unknown != 2 || found.Adopted != 1 || found.Removed != 0 || found.Checked != 8 {
			t.Errorf("found %+v", found)
		}
		c.wantAll(blocks...)
		a.env.SetWallOffset(block.ScrubGrace / 2)
		if found := a.scrubbed(false).Disks[0]; found.Unknown != 1 || found.Removed != 0 {
			t.Errorf("found %+v", found)
		}
		a.env.SetWallOffset(block.ScrubGrace + time.Hour)
		a.scrubbed(false)
		if gone := a.disk.Peek(junk) == nil; gone != (mutant == "") {
			t.Errorf("mutant %q: file gone: %v", mutant, gone)
		}
		c.wantAll(blocks...)
	}
}

// A scrub comes by itself, keeps its place over a restart, and its job has the speed that was asked for.
func TestScrubPlace(t *testing.T) {
	blocks := some(200, 5000)
	c := newTown(t, 1, sched.Options{Seed: 4})
	a := c.nodes[0]
	for _, b := range blocks {
		if err := a.put(b, 1); err != nil {
			t.Fatal(err)
		}
	}
	job := a.jobs.Find(block.ScrubJob)
	job.SetSpeed(10_000)
	a.env.SetWallOffset(block.ScrubEvery - 2*time.Hour)
	c.run(time.Hour)
	if now, _ := a.store.Scrubs(); now.Began != 0 {
		t.Error("a scrub began too early")
	}
	over := func() bool { now, _ := a.store.Scrubs(); return now.Began != 0 }
	if err := c.s.RunUntil(2*time.Hour, over); err != nil {
		t.Fatal(err)
	}
	c.run(50 * time.Second)
	now, _ := a.store.Scrubs()
	checked := now.Disks[0].Checked
	if s := job.State(); now.Ended != 0 || checked < 64 || checked > 150 || s.Done < 200+64 ||
		s.Total != 400 {
		t.Errorf("pass %+v, job %+v", now, s)
	}
	a.crash()
	a.boot()
	a.env.SetWallOffset(block.ScrubEvery)
	c.run(30 * time.Second)
	now, _ = a.store.Scrubs()
	if now.Ended == 0 || now.Disks[0].Checked != 200 {
		t.Errorf("pass %+v", now)
	}
	if s := a.jobs.Find(block.ScrubJob).State(); s.Done != 400 || s.Bytes > 700_000 {
		t.Errorf("job %+v: it began anew", s)
	}
}

// A disk comes, and gets its share; another is drained; and one dies, and its blocks are fetched onto the
// others.
func TestDisksComeAndGo(t *testing.T) {
	blocks := some(120, 5000)
	c := stocked(t, sched.Options{Seed: 5}, blocks)
	a := c.nodes[0]
	a.crash()
	a.more = []*disk.Image{disk.NewImage(), disk.NewImage()}
	a.boot()
	moved := int64(0)
	for _, d := range a.scrubbed(true).Disks {
		moved += d.Moved
	}
	first, second, third := len(a.disk.Files()), len(a.more[0].Files()), len(a.more[1].Files())
	if first+second+third != 120 || min(first, second, third) < 25 || moved != int64(second+third) {
		t.Errorf("%d, %d and %d files, %d moved", first, second, third, moved)
	}
	c.wantAll(blocks...)

	a.crash()
	a.drain = true
	a.boot()
	a.scrubbed(true)
	if n := len(a.disk.Files()); n != 0 {
		t.Errorf("%d files on a drained disk", n)
	}
	c.wantAll(blocks...)

	lost := len(a.more[0].Files())
	a.more[0].Dead = true
	a.store.StartScrub() // meets the dead disk, and begins again without it
	err := c.s.RunUntil(time.Hour, func() bool {
		now, _ := a.store.Scrubs()
		return now.Names && now.Ended != 0 && now.Disks[1].Failed != ""
	})
	if err != nil {
		t.Fatal(err)
	}
	c.run(time.Minute)
	if s := a.jobs.Find(block.ResyncJob).State(); s.Done < int64(lost) || s.Done != s.Total {
		t.Errorf("lost %d, job %+v", lost, s)
	}
	c.wantAll(blocks...)
}
