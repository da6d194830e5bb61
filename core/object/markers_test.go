package object

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"granary/core/hlc"
	"granary/core/kv"
	"granary/core/table"
)

// collectCluster runs anti-entropy, and collects deletion markers that are a minute old.
func collectCluster(t *testing.T, seed uint64) *testCluster {
	t.Helper()
	c := newReclaimCluster(t, seed, 16*kib, quick())
	c.markers = table.Tombstones{Keep: time.Minute, Every: 20 * time.Second}
	for _, n := range c.nodes {
		n.crash()
		n.boot()
		n.tables.Start()
	}
	c.run(10 * time.Second)
	return c
}

// remove deletes an object.
func (n *testNode) remove(k Key) {
	n.c.t.Helper()
	n.must(func(ctx context.Context, s *Store) error { return s.Delete(ctx, testBucket, k) })
}

// collected waits until no node has a row of any of these keys.
func (c *testCluster) collected(keys ...Key) {
	c.t.Helper()
	for end := c.s.Now() + 10*time.Minute; ; c.run(10 * time.Second) {
		left := 0
		for _, n := range c.nodes {
			rows := n.rows()
			for _, k := range keys {
				if _, ok := rows.objects[string(k)]; ok {
					left++
				}
			}
		}
		if left == 0 {
			return
		}
		if c.s.Now() > end {
			c.t.Fatalf("%d rows of %q are left", left, keys)
		}
	}
}

// TestMarkersGo: the markers of deleted objects go, also of keys that never were, and nothing else does; what
// the objects had is freed although nothing tells any more what replaced them; and the keys can be written
// again.
func TestMarkersGo(t *testing.T) {
	c := collectCluster(t, 41)
	a := c.nodes[0]
	big, small := content(1, 50*kib), []byte("small")
	a.must(func(ctx context.Context, s *Store) error {
		var errs []error
		for i, k := range []Key{"big", "small", "stays"} {
			_, err := put(ctx, s, k, [][]byte{big, small, big}[i])
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
	for _, k := range []Key{"big", "small", "never"} {
		a.remove(k)
	}
	c.collected("big", "small", "never")
	c.nodes[1].absent("big")
	c.nodes[2].wants("stays", big)
	if n := a.references(); n != 8 {
		t.Errorf("%d references before anything was reclaimed, want 8", n)
	}
	c.settle()
	c.clean()
	if n := a.references(); n != 4 {
		t.Errorf("%d references of one object, want 4", n)
	}
	a.must(func(ctx context.Context, s *Store) error {
		_, err := put(ctx, s, "big", small)
		return errors.Join(err, s.tables.CheckDigests())
	})
	c.nodes[1].wants("big", small)
	c.run(5 * time.Minute)
	c.nodes[2].wants("big", small)
	c.lingering()
}

// TestMarkerOfAnUpload: while an upload of a deleted key goes on its marker stays, and what is committed then
// is there.
func TestMarkerOfAnUpload(t *testing.T) {
	c := collectCluster(t, 42)
	a := c.nodes[0]
	data := content(2, 50*kib)
	goOn, wait := a.startPut("k", data)
	c.run(5 * time.Minute)
	goOn()
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	a.remove("gone")
	c.collected("gone")
	c.nodes[1].wants("k", data)
}

// TestWhatAGraveTookWithIt: a replica accepts a version that is dead, as one does that lost its memory, and
// the grave takes the row. What the row held before is below the floor, and comes back all the same.
func TestWhatAGraveTookWithIt(t *testing.T) {
	c := collectCluster(t, 43)
	a, b := c.nodes[0], c.nodes[1]
	a.must(func(ctx context.Context, s *Store) error {
		_, err := put(ctx, s, "k", []byte("old"))
		return err
	})
	a.remove("gone")
	c.collected("gone")
	dead := version{ID: VersionID{3}, State: complete, Size: 5, BlockSize: 5, Blocks: make([]byte, hashLen)}
	b.must(func(ctx context.Context, s *Store) (err error) {
		if dead.Stamp, err = s.clock.Now(ctx); err != nil {
			return err
		}
		sort := garbageSort([]byte("k"), dead.ID)
		object, err := s.rows.objects.Row([]byte("k"), objectRow{Winner: dead})
		if err != nil {
			return err
		}
		grave, err := s.rows.graves.Row(sort, graveRow{Emptied: true})
		if err != nil {
			return err
		}
		return b.tables.Change(ctx, func(rows func([]byte) *table.Tx) error {
			tx := rows(testBucket[:])
			if floor, err := s.rows.objects.Floor(&tx.Reader, []byte("k")); floor == 0 || err != nil {
				return errors.Join(err, errors.New("no story: there is no floor"))
			}
			if err := tx.ApplyRows([]table.Row{object}); err != nil {
				return err
			}
			if err := tx.ApplyRows([]table.Row{grave}); err != nil {
				return err
			}
			if _, ok, err := s.rows.objects.GetRow(&tx.Reader, []byte("k")); ok || err != nil {
				return errors.Join(err, errors.New("no story: the row is there"))
			}
			return nil
		})
	})
	b.wants("k", []byte("old"))
	c.run(2 * time.Minute)
	if o := b.rows().objects["k"]; !o.Winner.exists() || o.Winner.ID == dead.ID {
		t.Errorf("it did not come back: %+v", o)
	}
	b.wants("k", []byte("old"))
	err := b.local.View(func(r kv.Reader) error {
		r.Ascend([]byte("\x01table/hole/"), []byte("\x01table/hole0"), func(k, _ []byte) bool {
			t.Errorf("the hole stays after an epoch: %x", k)
			return true
		})
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestCompletedAndCollected: a Complete that is repeated after the object was deleted, and its marker
// collected, is told what the first was, and brings nothing back.
func TestCompletedAndCollected(t *testing.T) {
	c := collectCluster(t, 44)
	a := c.nodes[0]
	id := a.upload("k", content(1, 50*kib), 1)
	finish := func(ctx context.Context, s *Store) error {
		info, err := s.Complete(ctx, testBucket, "k", id, CompleteOptions{Parts: []PartRef{{Number: 1,
			ETag: "etag"}}, Size: -1, Combine: combineNothing})
		if err == nil && info.Size != 50*kib {
			err = errors.New("another object")
		}
		return err
	}
	a.must(finish)
	a.remove("k")
	c.collected("k")
	c.nodes[1].must(finish)
	again := c.nodes[2].do(func(ctx context.Context, s *Store) error { // as one that began with the first
		up, f, err := s.upload(ctx, testBucket, "k", id, fetchUpload, uploadSort("k", id))
		if err != nil {
			return err
		}
		f.Close()
		done := *up.Done
		up.Try++
		_, err = s.commitWith(ctx, testBucket, "k", done, nil, nil, func(v version) ([]table.Row, error) {
			return s.doneRow("k", id, up, v)
		})
		return err
	})
	if !errors.Is(again, &table.Refusal{Code: refusedOverwritten}) {
		t.Errorf("completed anew: %v", again)
	}
	c.run(time.Minute)
	for _, n := range c.nodes {
		n.absent("k")
	}
	if empty, err := c.emptied(a); err != nil || !empty {
		t.Errorf("empty %v, %v", empty, err)
	}
}

// emptied reports whether a node finds the bucket empty.
func (c *testCluster) emptied(n *testNode) (empty bool, err error) {
	err = n.do(func(ctx context.Context, s *Store) (err error) {
		empty, err = s.Empty(ctx, testBucket)
		return err
	})
	return empty, err
}

// TestAboveIsAMarker: what is left of a row above a floor is what its join with a marker of that age says,
// but for the marker.
func TestAboveIsAMarker(t *testing.T) {
	gen := genObject()
	rapid.Check(t, func(t *rapid.T) {
		o := gen.Draw(t, "row").Join(objectRow{}) // as rows are kept: no mark older than the winner
		floor := hlc.Stamp(rapid.Uint64Range(1, 12).Draw(t, "floor"))
		gone := version{ID: VersionID{0xff, 0xff}, Stamp: floor, State: marker}
		want := o.Join(objectRow{Winner: gone})
		above, left := o.above(floor)
		if want.Winner.ID == gone.ID {
			want.Winner = version{}
		}
		if d := cmp.Diff(want, above); d != "" || left != (want.Winner.State != 0 || len(want.Uploads) > 0) {
			t.Fatalf("%+v above %v: left %v, %s", o, floor, left, d)
		}
		if whole := o.oldest() > floor; whole != (cmp.Diff(o, above) == "" && left) && left {
			t.Fatalf("%+v above %v: oldest %v", o, floor, o.oldest())
		}
		if o.newest() <= floor && left {
			t.Fatalf("%+v above %v: newest %v", o, floor, o.newest())
		}
	})
}
