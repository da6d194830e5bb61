package object

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"granary/core/block"
	"granary/core/kv"
	"granary/core/quorum"
	"granary/core/table"
)

// isolate cuts a node off; heal ends all cuts.
func (c *testCluster) isolate(n *testNode) {
	c.t.Helper()
	if err := c.model.Isolate(n.name); err != nil {
		c.t.Fatal(err)
	}
}

func (c *testCluster) heal() {
	c.model.Clear()
	c.run(10 * time.Second)
}

// reads says how an object is read at a node: nil for these bytes.
func (n *testNode) reads(k Key, data []byte) error {
	return n.do(func(ctx context.Context, s *Store) error {
		got, err := get(ctx, s, k)
		if err == nil && string(got) != string(data) {
			err = fmt.Errorf("%d bytes that differ from the %d stored", len(got), len(data))
		}
		return err
	})
}

// story is an interleaving that a careless reclaim loses data in. It returns what was lost, nil for nothing.
// Anti-entropy does not run in it.
type story struct {
	name    string
	mutants []string // each of which makes it lose something
	tell    func(*testCluster) error
}

var stories = []story{
	{"superseder at one replica", []string{"reclaim: superseder at one replica",
		"reclaim: from local transition"}, supersederAtOne},
	{"commit that one replica missed", []string{"reclaim: seal by one replica"}, commitMissed},
	{"abort at two, completion at one", []string{"reclaim: abort beats commit"}, abortAgainstCompletion},
	{"part uploaded twice", []string{"reclaim: references keyed by upload"}, partTwice},
}

// TestStories tells every story as the code is, and broken.
func TestStories(t *testing.T) {
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			if err := s.tell(newReclaimCluster(t, 31, 16*kib, quick())); err != nil {
				t.Errorf("lost: %v", err)
			}
		})
	}
}

// TestMutants breaks the reclaim in ways that its stories must notice.
func TestMutants(t *testing.T) {
	for _, s := range stories {
		for _, m := range s.mutants {
			t.Run(m, func(t *testing.T) {
				if err := s.tell(newReclaimCluster(t, 31, 16*kib, quick(), m)); err != nil {
					t.Logf("noticed: %v", err)
				} else {
					t.Errorf("the story %q does not notice", s.name)
				}
			})
		}
	}
}

// supersederAtOne: X is acknowledged, Y reaches C alone. If C's reclaim took X for garbage, and C then lost
// its disk, X would be gone although one node failed.
func supersederAtOne(c *testCluster) error {
	a, last := c.nodes[0], c.nodes[2]
	data := content(1, 50*kib)
	a.must(func(ctx context.Context, s *Store) error { _, err := put(ctx, s, "k", data); return err })
	c.run(time.Second)
	last.merge("k", version{ID: VersionID{9}, Stamp: 1 << 62, State: complete, Size: 1, Inline: true},
		[]byte("y"))
	last.reclaimAt(15 * time.Minute)
	last.crash()
	return a.reads("k", data)
}

// commitMissed: an upload takes long; its mark reaches everybody, its commit all but B. B alone must not
// take it for abandoned.
func commitMissed(c *testCluster) error {
	a, b := c.nodes[0], c.nodes[1]
	data := content(1, 50*kib)
	goOn, wait := a.startPut("k", data)
	c.isolate(b)
	goOn()
	if err := wait(); err != nil {
		c.t.Fatal(err)
	}
	c.run(time.Minute)
	c.heal()
	b.reclaimAt(20 * time.Minute)
	return a.reads("k", data)
}

// complete1 applies the completion of an upload of one part to one node alone, as a batch would that reached
// only that.
func (n *testNode) complete1(k Key, id UploadID) {
	n.c.t.Helper()
	n.must(func(ctx context.Context, s *Store) error {
		refs := []PartRef{{Number: 1, ETag: "etag"}}
		up, all, err := s.listed(ctx, testBucket, k, id, refs)
		if err != nil {
			return err
		}
		v, _, err := assemble(all, CompleteOptions{Parts: refs, Size: -1})
		if err != nil {
			return err
		}
		v.ID, v.ETag, v.Upload, up.Try = completedID(id, refs), "whole", id[:], 1
		if v.Stamp, err = s.clock.Now(ctx); err != nil {
			return err
		}
		rows, err := s.doneRow(k, id, up, v)
		if err != nil {
			return err
		}
		row, err := s.rows.objects.Row([]byte(k), objectRow{Winner: v})
		if err != nil {
			return err
		}
		return n.local.Update(ctx, func(w kv.Writer) error {
			return n.tables.ApplyIn(w, testBucket[:], append(rows, row))
		})
	})
}

func (n *testNode) upload(k Key, data []byte, times int) (id UploadID) {
	n.c.t.Helper()
	n.must(func(ctx context.Context, s *Store) (err error) {
		if id, err = s.CreateUpload(ctx, testBucket, k, nil, "", ""); err != nil {
			return err
		}
		for range times {
			if _, err := s.PutPart(ctx, testBucket, k, id, 1, int64(len(data)), newBody(data)); err != nil {
				return err
			}
		}
		return nil
	})
	n.c.run(time.Second)
	return id
}

// abortAgainstCompletion: a completion reaches C, an abort A and B. Whichever is seen at last, an object
// that is seen must be whole.
func abortAgainstCompletion(c *testCluster) error {
	a, last := c.nodes[0], c.nodes[2]
	data := content(1, 50*kib)
	id := a.upload("k", data, 1)
	last.complete1("k", id)
	c.isolate(last)
	a.must(func(ctx context.Context, s *Store) error { return s.Abort(ctx, testBucket, "k", id) })
	c.heal()
	for _, n := range c.nodes {
		n.tables.Start()
	}
	c.settle()
	if c.nodes[1].references() == 0 {
		return errors.New("no reference to the completed object's blocks is left")
	}
	return a.reads("k", data)
}

// partTwice: a part is uploaded twice with the same bytes, as a retry does. The attempt that is not needed
// must not take the blocks of the other with it.
func partTwice(c *testCluster) error {
	a := c.nodes[0]
	data := content(1, 50*kib)
	id := a.upload("k", data, 2)
	a.must(func(ctx context.Context, s *Store) error {
		_, err := s.Complete(ctx, testBucket, "k", id, CompleteOptions{Parts: []PartRef{{Number: 1,
			ETag: "etag"}}, Size: -1, Combine: combineNothing})
		return err
	})
	c.settle()
	if c.nodes[1].references() == 0 {
		return errors.New("no reference to the completed object's blocks is left")
	}
	return a.reads("k", data)
}

// TestSealFirst: an upload that takes too long is given up by all; its late commit is refused, nothing of it
// is ever seen, and nothing is left over.
func TestSealFirst(t *testing.T) {
	c := reclaimCluster(t, 32)
	a, b := c.nodes[0], c.nodes[1]
	goOn, wait := a.startPut("k", content(1, 50*kib))
	for _, n := range c.nodes {
		n.reclaimAt(4 * time.Minute)
	}
	goOn()
	if err := wait(); !errors.Is(err, quorum.ErrUnavailable) {
		t.Errorf("commit after the seal: %v", err)
	}
	b.absent("k")
	c.settle()
	b.absent("k")
	c.clean()
	for _, n := range c.nodes {
		if rows := n.rows(); len(rows.objects) != 0 {
			t.Errorf("%s keeps a row of the upload: %+v", n.name, rows.objects)
		}
	}
	if c.s.Sometimes()["the audit released an orphan"] == 0 {
		t.Error("the audit had nothing to do")
	}
}

// TestSealedByTwo: B and C seal an upload while A, which is cut off, commits it. Nobody may take the data
// away: the commit, whose outcome is unknown, comes to all, whole.
func TestSealedByTwo(t *testing.T) {
	c := reclaimCluster(t, 33)
	a, b := c.nodes[0], c.nodes[1]
	data := content(1, 50*kib)
	goOn, wait := a.startPut("k", data)
	c.isolate(a)
	b.reclaimAt(15 * time.Minute)
	if err := b.do(func(ctx context.Context, s *Store) error { return s.reclaims.pass(ctx) }); err == nil ||
		!strings.Contains(err.Error(), a.name) {
		t.Errorf("a pass without one replica: %v, want it to be named", err)
	}
	goOn()
	if err := wait(); !errors.Is(err, quorum.ErrUnknown) {
		t.Errorf("commit while cut off: %v", err)
	}
	c.heal()
	c.settle()
	b.wants("k", data)
	c.clean()
}

// TestDelay: what was replaced stays for the delay, which begins anew when the node restarts.
func TestDelay(t *testing.T) {
	c := newReclaimCluster(t, 34, 16*kib, quick())
	a := c.nodes[0]
	twice := func(ctx context.Context, s *Store) error {
		if _, err := put(ctx, s, "k", content(1, 50*kib)); err != nil {
			return err
		}
		_, err := put(ctx, s, "k", []byte("small"))
		return err
	}
	a.must(twice)
	c.run(time.Second)
	var leader *testNode
	for _, n := range c.nodes {
		if placeIn(c.view.Live[0], n.id, testBucket) == 0 {
			leader = n
		}
	}
	leader.reclaimAt(90 * time.Second)
	if leader.references() != 4 {
		t.Errorf("%d references before the delay", leader.references())
	}
	leader.crash()
	leader.boot()
	leader.reclaimAt(90 * time.Second)
	if leader.references() != 4 {
		t.Errorf("%d references after a restart, before the delay", leader.references())
	}
	leader.reclaimAt(2 * time.Minute)
	if leader.references() != 0 {
		t.Errorf("%d references after the delay", leader.references())
	}
}

// TestReadEnds: a read that takes longer than it may ends with an error, since its blocks may go.
func TestReadEnds(t *testing.T) {
	c := newReclaimCluster(t, 35, 16*kib, quick())
	c.nodes[0].must(func(ctx context.Context, s *Store) error {
		if _, err := put(ctx, s, "k", content(1, 60*16*kib)); err != nil {
			return err
		}
		o, err := s.Get(ctx, testBucket, "k", GetOptions{})
		if err != nil {
			return err
		}
		defer o.Close()
		r, err := o.Open(ctx, 0, o.Info().Size)
		if err != nil {
			return err
		}
		defer r.Close()
		buf := make([]byte, 16*kib)
		for i := range 60 {
			if _, err := r.Read(buf); err != nil {
				if !errors.Is(err, context.DeadlineExceeded) || i < 5 {
					return fmt.Errorf("read %d: %w", i, err)
				}
				return nil
			}
			if err := s.env.Sleep(ctx, 5*time.Second); err != nil {
				return err
			}
		}
		return errors.New("a read of five minutes came to its end")
	})
	c.quiet()
}

// TestTakeover: when the replica that leads does nothing, the next one frees the space, later.
func TestTakeover(t *testing.T) {
	c := reclaimCluster(t, 36)
	c.nodes[0].must(func(ctx context.Context, s *Store) error {
		_, err := put(ctx, s, "k", content(1, 50*kib))
		return errors.Join(err, s.Delete(ctx, testBucket, "k"))
	})
	c.run(time.Second)
	for _, n := range c.nodes {
		if placeIn(c.view.Live[0], n.id, testBucket) == 1 {
			n.reclaimAt(3 * time.Minute)
			if n.references() == 0 {
				t.Error("the second replica did not wait")
			}
			n.reclaimAt(6 * time.Minute)
			if n.references() != 0 {
				t.Error("the second replica did not take over")
			}
		}
	}
}

// TestOrphans: references that nothing explains go, of plain objects, copies and parts, and whoever comes
// late is refused; those of what is there, or may yet come, stay.
func TestOrphans(t *testing.T) {
	c := reclaimCluster(t, 37)
	a := c.nodes[0]
	data := content(1, 50*kib)
	open := a.upload("open", data, 1)
	a.must(func(ctx context.Context, s *Store) error {
		_, err := put(ctx, s, "plain", content(2, 40*kib))
		return err
	})
	store := func(ref block.Ref) error {
		return a.do(func(ctx context.Context, s *Store) error {
			buf, err := s.blocks.Buffer(ctx)
			if err != nil {
				return err
			}
			defer buf.Release()
			buf.Data = append(buf.Data, "orphan"...)
			h := block.HashOf(buf.Data)
			return s.blocks.Put(ctx, h, buf, ref, nil)
		})
	}
	refs := []block.Ref{
		{Owner: block.Owner{1}, Bucket: testBucket, Key: "plain"},
		{Owner: block.Owner{2}, Bucket: testBucket, Key: "nowhere"},
		{Owner: block.Owner{3}, Bucket: testBucket, Key: "copy", Upload: [16]byte{4}},
		{Owner: block.Owner{5}, Bucket: testBucket, Key: "open", Upload: open, Part: 1},
		{Owner: block.Owner{6}, Bucket: testBucket, Key: "open", Upload: [16]byte{7}, Part: 1},
	}
	for _, ref := range refs {
		if err := store(ref); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.leaks()); n != 3*len(refs) {
		t.Errorf("%d orphans at three nodes", n)
	}
	c.settle()
	c.clean()
	for _, ref := range refs {
		if err := store(ref); !errors.Is(err, quorum.ErrUnavailable) {
			t.Errorf("late block of owner %x: %v", ref.Owner[:1], err)
		}
	}
	a.must(func(ctx context.Context, s *Store) error {
		_, err := s.savePart(ctx, testBucket, "open", open, 1, block.Owner{5}, uploadRow{}, partRow{}, nil,
			nil)
		if !errors.Is(err, ErrNoSuchUpload) {
			return fmt.Errorf("late attempt: %w", err)
		}
		_, err = s.Complete(ctx, testBucket, "open", open, CompleteOptions{Parts: []PartRef{{Number: 1,
			ETag: "etag"}}, Size: -1, Combine: combineNothing})
		return err
	})
	a.wants("open", data)
}

// TestDeadStayAway: a dead version that comes back with a replica that was away, or whose memory was lost,
// is not let in, and one that had it as its winner forgets it.
func TestDeadStayAway(t *testing.T) {
	c := newReclaimCluster(t, 38, 16*kib, quick())
	n := c.nodes[0]
	dead := version{ID: VersionID{3}, Stamp: 7, State: complete, Size: 5, BlockSize: 5,
		Blocks: make([]byte, hashLen)}
	bury := func(k Key) {
		n.must(func(ctx context.Context, s *Store) error {
			row, err := s.rows.graves.Row(garbageSort([]byte(k), dead.ID), graveRow{Emptied: true})
			if err != nil {
				return err
			}
			return n.tables.Change(ctx, func(rows func([]byte) *table.Tx) error {
				return rows(testBucket[:]).ApplyRows([]table.Row{row})
			})
		})
	}
	n.merge("late", dead, nil)
	bury("late")
	bury("early")
	n.must(func(ctx context.Context, s *Store) error {
		row, err := s.rows.objects.Row([]byte("early"), objectRow{Winner: dead})
		if err != nil {
			return err
		}
		return n.tables.Change(ctx, func(rows func([]byte) *table.Tx) error {
			return rows(testBucket[:]).ApplyRows([]table.Row{row})
		})
	})
	if rows := n.rows(); len(rows.objects) != 0 || len(rows.garbage) != 0 {
		t.Errorf("the dead are back: %+v", rows)
	}
	n.must(func(ctx context.Context, s *Store) error {
		err := s.tables.CheckDigests()
		if err == nil {
			_, err = put(ctx, s, "late", []byte("new"))
		}
		return err
	})
	n.wants("late", []byte("new"))
}
