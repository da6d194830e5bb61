package table

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"granary/core/job"
	"granary/core/kv"
	"granary/core/layout"
	"granary/core/quorum"
)

// rot turns over a bit of a node's stored row.
func (n *testNode) rot(t *testing.T, tab *Table[mark], sort string) {
	t.Helper()
	key := appendLocal(nil, layout.PrefixOf(markPK), tab.def.ID, Address{markPK, []byte(sort)})
	draws := 0
	if !n.image.FlipBitFrom(key, func() uint64 { draws++; return uint64(draws-1) * 77 }) {
		t.Fatalf("no row %q", sort)
	}
}

// mends starts the repair of rows at every node.
func (c *testCluster) mends() {
	for _, n := range c.nodes {
		c.do(n, func(context.Context) { n.tables.group.Keep(MendJob, n.tables.mender.run) })
	}
}

// filled is a cluster whose nodes have so many rows, all the same, and repair what cannot be read.
func filled(t *testing.T, seed uint64, n int) (c *testCluster, rows marks) {
	t.Helper()
	c, rows = newTestCluster(t, seed, false), marks{}
	c.warm()
	c.mends()
	for i := range n {
		rows[fmt.Sprintf("%04d", i)] = mark{Stamp: 5}
	}
	for _, n := range c.nodes {
		c.have(n, n.marks, markPK, rows)
	}
	return c, rows
}

// fetch reads a voted row at a quorum.
func (c *testCluster) fetch(n *testNode, sort string) (v mark, ok bool, err error) {
	c.t.Helper()
	c.do(n, func(ctx context.Context) {
		var f *Fetched
		if f, err = n.tables.Fetch(ctx, "row", markPK, []byte(sort), "a row"); err == nil {
			v, ok, err = Joined(f, n.marks, []byte(sort))
			f.Close()
		}
	})
	return v, ok, err
}

// A row that two replicas have acknowledged rots at one of them, and the other is away: the third, which
// missed it, must not be believed. When the other is back the row is repaired, and may then do without it.
func TestStoryUnreadableRow(t *testing.T) {
	const mutant = "table: an unreadable row is absent"
	for _, m := range []string{"", mutant} {
		for seed := range uint64(3) {
			c := newTestCluster(t, seed, false, m)
			c.warm()
			c.mends()
			a, b, late := c.nodes[0], c.nodes[1], c.nodes[2]
			for _, n := range []*testNode{a, b} {
				c.have(n, n.marks, markPK, marks{"k": {Stamp: 5}})
			}
			a.rot(t, a.marks, "k")
			if err := c.model.Isolate("b"); err != nil {
				t.Fatal(err)
			}
			_, ok, err := c.fetch(late, "k")
			if denied := !ok && err == nil; denied != (m != "") {
				t.Fatalf("seed %d, mutant %q: denied %v, %v", seed, m, denied, err)
			}
			if m != "" {
				continue
			}
			if !errors.Is(err, ErrUnreadable) || !errors.Is(err, quorum.ErrUnavailable) {
				t.Errorf("seed %d: %v", seed, err)
			}
			c.do(a, func(ctx context.Context) { a.env.Sleep(ctx, time.Minute) })
			if s := a.tables.mender.job.State(); s.Done != 0 || s.Total != 1 || s.Cause == "" {
				t.Errorf("seed %d: repaired from too few: %+v", seed, s)
			}
			if err := c.model.Rejoin("b"); err != nil {
				t.Fatal(err)
			}
			c.do(a, func(ctx context.Context) { a.env.Sleep(ctx, 2*mendRetry) })
			if err := c.model.Isolate("b"); err != nil {
				t.Fatal(err)
			}
			if v, ok, err := c.fetch(late, "k"); !ok || v.Stamp != 5 {
				t.Errorf("seed %d: after the repair: %+v, %v, %v", seed, v, ok, err)
			}
			if s := a.tables.mender.job.State(); s.Done != 1 || s.Cause != "" {
				t.Errorf("seed %d: job %+v", seed, s)
			}
		}
	}
}

// An unreadable row does not vote, nor is it overwritten; a repaired one holds what the others have, however
// many rows are beside it, and the digests are those of the rows. What nobody else has goes.
func TestMend(t *testing.T) {
	for seed := range uint64(3) {
		c, rows := filled(t, seed, 2000)
		a := c.nodes[0]
		c.have(c.nodes[1], a.marks, markPK, marks{"0700": {Stamp: 7}})
		c.have(a, a.marks, markPK, marks{"only here": {Stamp: 3}})
		bad := []string{"0000", "0001", "0700", "0701", "1999", "only here"}
		for _, k := range bad {
			a.rot(t, a.marks, k)
		}
		c.do(a, func(ctx context.Context) {
			err := a.store.Update(ctx, func(w kv.Writer) error {
				tx := &Tx{Reader: *newReader(w, markPK), w: w}
				return a.marks.Merge(tx, []byte("0000"), mark{Stamp: 9})
			})
			if !errors.Is(err, ErrUnreadable) {
				t.Errorf("seed %d: merged into what cannot be read: %v", seed, err)
			}
			for range bad { // each walk ends at the first
				_ = a.tables.Local(markPK, func(r *Reader) error {
					for _, k := range bad {
						if _, _, err := a.marks.Get(r, []byte(k)); err != nil && !a.tables.mender.has(k) {
							return err
						}
					}
					return nil
				})
			}
			a.env.Sleep(ctx, time.Minute)
		})
		rows["0700"] = mark{Stamp: 7}
		got := c.local(a, a.marks, markPK)
		if len(got) != len(rows) {
			t.Errorf("seed %d: %d rows, want %d", seed, len(got), len(rows))
		}
		for _, k := range bad {
			if got[k].Stamp != rows[k].Stamp {
				t.Errorf("seed %d: row %s is %+v, want %+v", seed, k, got[k], rows[k])
			}
		}
		if err := a.tables.CheckDigests(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// has reports whether a row waits for repair, by its sort key.
func (m *mender) has(sort string) bool {
	for _, q := range m.queue {
		if string(q.key[len(q.key)-len(sort):]) == sort {
			return true
		}
	}
	return false
}

// A row that nobody reads rots: a scrub finds it, and it is repaired; what is whole is left alone.
func TestScrubFindsWhatNobodyReads(t *testing.T) {
	for seed := range uint64(3) {
		c, rows := filled(t, seed, 3000)
		a := c.nodes[0]
		bad := []string{"0000", "1500", "2999"}
		for _, k := range bad {
			a.rot(t, a.marks, k)
		}
		c.do(a, func(ctx context.Context) {
			s := newScrub(a.tables, job.NewBook(a.env))
			a.tables.scrub = s
			a.tables.group.Keep(ScrubJob, s.run)
			a.env.Sleep(ctx, time.Minute)
			if n := len(a.tables.mender.queue); n != 0 {
				t.Errorf("seed %d: %d rows to be repaired before any scrub", seed, n)
			}
			a.tables.StartScrub()
			a.env.Sleep(ctx, 2*mendWait)
			if state := s.job.State(); state.Done != prefixes || state.Total != prefixes || state.Bytes == 0 {
				t.Errorf("seed %d: job %+v", seed, state)
			}
		})
		if got := c.local(a, a.marks, markPK); len(got) != len(rows) {
			t.Errorf("seed %d: %d rows after the scrub, want %d", seed, len(got), len(rows))
		}
		if done := a.tables.mender.job.State().Done; done != int64(len(bad)) {
			t.Errorf("seed %d: %d rows were repaired, want %d", seed, done, len(bad))
		}
	}
}

// A scrub begins by itself two weeks after the last, and goes on with the rest of its pass after a restart.
func TestScrubPasses(t *testing.T) {
	c := newTestCluster(t, 1, false)
	a := c.nodes[0]
	c.do(a, func(ctx context.Context) {
		s := newScrub(a.tables, job.NewBook(a.env))
		step := func() time.Duration {
			rest, err := s.turn(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return rest
		}
		step()
		if rest := step(); rest != scrubLook || s.shown {
			t.Errorf("rest %v after the first start, want %v", rest, scrubLook)
		}
		s.save(ctx, scrubState{Began: a.env.Wall().Add(-scrubEvery).UnixMilli()}) // the last one is long ago
		step()
		s = newScrub(a.tables, job.NewBook(a.env)) // another life
		for step() == 0 {
		}
		if state := s.job.State(); state.Done != prefixes {
			t.Errorf("job %+v after a pass that was due", state)
		}
		if state, err := s.load(); err != nil || len(state.Next) != 0 {
			t.Errorf("state %+v, %v", state, err)
		}
	})
}
