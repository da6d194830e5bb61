package object

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"granary/core/block"
	"granary/core/cluster"
	"granary/core/kv"
	"granary/core/rt"
	"granary/sim/check"
)

// quick are times of reclaim that a test can wait for. Passes are made by the tests.
func quick() *Reclaim {
	return &Reclaim{Every: time.Minute, Delay: 2 * time.Minute, ReadMax: time.Minute,
		Abandoned: 2 * time.Minute, Refresh: time.Minute, Takeover: 4 * time.Minute,
		AuditEvery: time.Minute, AuditAge: 2 * time.Minute}
}

func reclaimCluster(t *testing.T, seed uint64, mutants ...string) *testCluster {
	t.Helper()
	c := newReclaimCluster(t, seed, 16*kib, quick(), mutants...)
	for _, n := range c.nodes {
		n.tables.Start()
	}
	return c
}

// reclaimAt makes passes of one node's reclaim and audit for d.
func (n *testNode) reclaimAt(d time.Duration) (failed error) {
	n.c.t.Helper()
	for end := n.c.s.Now() + d; n.c.s.Now() < end; n.c.run(20 * time.Second) {
		failed = n.do(func(ctx context.Context, s *Store) error {
			return errors.Join(s.reclaims.pass(ctx), s.audits.pass(ctx))
		})
	}
	return failed
}

// settle makes passes everywhere, until every replica has had the time to take over from the others.
func (c *testCluster) settle() {
	c.t.Helper()
	for end := c.s.Now() + 12*time.Minute; c.s.Now() < end; c.run(30 * time.Second) {
		for _, n := range c.nodes {
			n.must(func(ctx context.Context, s *Store) error {
				return errors.Join(s.reclaims.pass(ctx), s.audits.pass(ctx))
			})
		}
	}
}

// leaks is what check.Leaks says of the cluster, all of whose nodes hold everything.
func (c *testCluster) leaks() []check.Violation {
	c.t.Helper()
	var all []check.Holding
	for _, n := range c.nodes {
		h := check.Holding{Node: n.name, Refs: map[check.Claim]bool{},
			Mine: func(block.Hash) bool { return true }}
		n.must(func(ctx context.Context, s *Store) error {
			mine, err := s.Holdings()
			h.Needs, h.Loose = mine.Needs, mine.Loose
			for from, more := []byte(nil), true; more && err == nil; more = from != nil {
				var page []block.Reference
				page, from, err = s.blocks.References(from, 100)
				for _, r := range page {
					h.Refs[check.Claim{Hash: r.Hash, Owner: r.Owner}] = true
				}
			}
			return err
		})
		all = append(all, h)
	}
	return check.Leaks(all)
}

func (c *testCluster) clean() {
	c.t.Helper()
	for i, v := range c.leaks() {
		if i < 10 {
			c.t.Error(v.Text)
		}
	}
}

// references is how many live references a node holds.
func (n *testNode) references() (live int) {
	n.must(func(_ context.Context, s *Store) error {
		page, _, err := s.blocks.References(nil, 10_000)
		live = len(page)
		return err
	})
	return live
}

// slowBody is a body whose sums are known only when it is told to go on: all blocks are stored by then, and
// nothing is committed.
type slowBody struct {
	io.Reader
	goOn *rt.Future[struct{}]
}

func (b slowBody) Sums() (Sums, error) {
	_, err := b.goOn.Get(rt.Forever)
	return Sums{ETag: "slow"}, err
}

// startPut begins a PUT that commits only after goOn; wait returns how it ended.
func (n *testNode) startPut(k Key, data []byte) (goOn func(), wait func() error) {
	told := rt.NewFuture[struct{}](n.env)
	done := false
	var result error
	n.env.Go("slow put", func() {
		_, result = n.store.Put(n.env.Background(), testBucket, k, nil, int64(len(data)),
			slowBody{bytes.NewReader(data), told})
		done = true
	})
	n.c.run(time.Second)
	return func() { n.env.Go("go on", func() { told.Set(struct{}{}, nil) }) }, func() error {
		if err := n.c.s.RunUntil(time.Minute, func() bool { return done }); err != nil {
			n.c.t.Fatal(err)
		}
		return result
	}
}

// TestReclaim: what was replaced, deleted, aborted or not needed by a completed upload leaves nothing
// behind, and what is there stays whole.
func TestReclaim(t *testing.T) {
	c := reclaimCluster(t, 21)
	a, b := c.nodes[0], c.nodes[1]
	big := content(5, 40*16*kib) // more than its row lists
	a.must(func(ctx context.Context, s *Store) error {
		for i, k := range []Key{"replaced", "replaced", "deleted", "inline", "kept"} {
			if _, err := put(ctx, s, k, content(byte(i), 50*kib)); err != nil {
				return err
			}
		}
		_, err := put(ctx, s, "big", big)
		return err
	})
	b.must(func(ctx context.Context, s *Store) error {
		if err := s.Delete(ctx, testBucket, "deleted"); err != nil {
			return err
		}
		_, err := put(ctx, s, "inline", []byte("small"))
		if err == nil {
			_, err = put(ctx, s, "big", big[:50*kib])
		}
		return err
	})
	part := content(7, PartSizeMin)
	a.must(func(ctx context.Context, s *Store) error {
		id, err := s.CreateUpload(ctx, testBucket, "multi", nil, "", "")
		if err != nil {
			return err
		}
		for _, n := range []int{1, 1, 2, 3} { // the first twice, the third not needed
			_, err := s.PutPart(ctx, testBucket, "multi", id, n, int64(len(part)), newBody(part))
			if err != nil {
				return err
			}
		}
		_, err = s.Complete(ctx, testBucket, "multi", id, CompleteOptions{Parts: []PartRef{{Number: 1,
			ETag: "etag"}, {Number: 2, ETag: "etag"}}, Size: -1, Combine: combineNothing})
		if err != nil {
			return err
		}
		gone, err := s.CreateUpload(ctx, testBucket, "aborted", nil, "", "")
		if err == nil {
			_, err = s.PutPart(ctx, testBucket, "aborted", gone, 1, 100, newBody(part[:100]))
		}
		if err != nil {
			return err
		}
		return s.Abort(ctx, testBucket, "aborted", gone)
	})
	if len(c.leaks()) == 0 {
		t.Error("nothing to reclaim")
	}
	c.settle()
	c.clean()
	c.nodes[2].wants("replaced", content(1, 50*kib))
	c.nodes[2].wants("kept", content(4, 50*kib))
	c.nodes[2].wants("big", big[:50*kib])
	c.nodes[2].wants("multi", bytes.Repeat(part, 2))
	c.nodes[2].absent("deleted")
	for _, name := range []string{"a replaced version was reclaimed", "an upload was reclaimed"} {
		if c.s.Sometimes()[name] == 0 {
			t.Errorf("not reached: %s", name)
		}
	}
	b.must(func(ctx context.Context, s *Store) error { return s.Delete(ctx, testBucket, "multi") })
	c.settle()
	c.clean()
	c.quiet()
}

func combineNothing(UploadInfo, []PartInfo) (Sums, error) { return Sums{ETag: "whole"}, nil }

// TestUsesOfWhoKnows: a replica that does not know every version does not say which owners are needed.
func TestUsesOfWhoKnows(t *testing.T) {
	c := newTestCluster(t, 1, 1<<20)
	set := c.view.Live[0]
	ask := func() error {
		return c.nodes[0].do(func(ctx context.Context, s *Store) error {
			_, err := s.used(ctx, set, testBucket, "key", make([]byte, len(UploadID{})), VersionID{})
			return err
		})
	}
	for _, tt := range []struct {
		guard cluster.Guard
		want  error
	}{
		{cluster.Guard{Newest: 1, Synced: 1}, nil},
		{cluster.Guard{Newest: 1}, cluster.ErrSyncing},
		{cluster.Guard{Newest: 2, Closed: 2, Synced: 2}, cluster.ErrOldLayout},
	} {
		n := c.nodes[1]
		n.must(func(ctx context.Context, _ *Store) error {
			return n.local.Update(ctx, func(w kv.Writer) error { tt.guard.Put(w); return nil })
		})
		if err := ask(); !errors.Is(err, tt.want) {
			t.Errorf("guard %+v: %v, want %v", tt.guard, err, tt.want)
		}
	}
}
