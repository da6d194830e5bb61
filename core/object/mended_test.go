package object

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"granary/core/layout"
	"granary/core/rt"
	"granary/core/table"
)

// rot turns over a bit of a row of the node's store.
func (n *testNode) rot(id table.ID, sort []byte) {
	n.c.t.Helper()
	p := layout.PrefixOf(testBucket[:])
	key := slices.Concat([]byte{table.RowPrefix, byte(p >> 8), byte(p), byte(id)}, testBucket[:], sort)
	was := n.kv.Reader().Get(key)
	draws := []uint64{0, 77} // the first record from key on, and the bit
	n.kv.FlipBitFrom(key, func() uint64 { draw := draws[0]; draws = draws[1:]; return draw })
	if bytes.Equal(was, n.kv.Reader().Get(key)) {
		n.c.t.Fatalf("%s: table %d, row %x did not rot", n.name, id, sort)
	}
}

// mend has the node find its rotten rows, and waits until they are repaired.
func (n *testNode) mend() {
	n.tables.StartScrub()
	n.c.run(3 * time.Minute)
}

// object completes a multipart upload of a key of two parts, and leaves a third one over.
func (n *testNode) object(k Key, part []byte) (id UploadID) {
	n.must(func(ctx context.Context, s *Store) (err error) {
		if id, err = s.CreateUpload(ctx, testBucket, k, nil, "", ""); err != nil {
			return err
		}
		for i := range 3 {
			_, err := s.PutPart(ctx, testBucket, k, id, i+1, int64(len(part)), newBody(part))
			if err != nil {
				return err
			}
		}
		_, err = s.Complete(ctx, testBucket, k, id, CompleteOptions{Parts: []PartRef{{Number: 1,
			ETag: "etag"}, {Number: 2, ETag: "etag"}}, Size: -1, Combine: combineNothing})
		return err
	})
	return id
}

// A replica is away while objects are replaced and an upload is aborted, or is the last one to tidy up what
// others are through with, and its rows of them rot: nobody can tell it any more which payloads, block lists
// and attempts it has. Nothing of them stays, at any replica.
func TestStoryRottenRowLeavesNothing(t *testing.T) {
	for _, mutant := range []string{"", "reclaim: what a rotten row knew stays"} {
		c := reclaimCluster(t, 51, mutant)
		a, late := c.nodes[0], c.nodes[2]
		long, part := content(5, 40*16*kib), content(7, PartSizeMin)
		var aborted UploadID
		var attempt []byte
		a.must(func(ctx context.Context, s *Store) (err error) {
			_, first := put(ctx, s, "inline", []byte("old"))
			_, second := put(ctx, s, "long", long)
			if aborted, err = s.CreateUpload(ctx, testBucket, "aborted", nil, "", ""); err == nil {
				_, err = s.PutPart(ctx, testBucket, "aborted", aborted, 1, 100, newBody(part[:100]))
			}
			return errors.Join(first, second, err)
		})
		a.object("parts", part)
		c.settle() // of the parts' attempts nothing is left but what the object needs
		one, two := a.object("one", part), a.object("two", part)
		c.run(30 * time.Second)
		for _, n := range []*testNode{a, c.nodes[1], a} { // are through with what the objects did not need
			if err := n.reclaimAt(6 * time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		late.must(func(context.Context, *Store) error {
			return late.tables.Local(testBucket[:], func(r *table.Reader) error {
				start, end := partsRange("aborted", aborted, 0, PartMax)
				attempt = late.store.rows.uploads.Sorts(r, start, end)[0]
				return nil
			})
		})
		c.isolate(late)
		a.must(func(ctx context.Context, s *Store) error {
			_, first := put(ctx, s, "inline", []byte("new"))
			_, second := put(ctx, s, "long", long[:50*kib])
			_, third := put(ctx, s, "parts", long[:60*kib])
			return errors.Join(first, second, third, s.Abort(ctx, testBucket, "aborted", aborted))
		})
		for _, k := range []string{"inline", "long", "parts"} {
			late.rot(table.Object, []byte(k))
		}
		late.rot(table.Upload, uploadSort("aborted", aborted))
		late.rot(table.Upload, attempt)
		late.rot(table.Garbage, garbageSort([]byte("one"), one))
		late.rot(table.Garbage, garbageSort([]byte("two"), two))
		late.rot(table.Upload, uploadSort("two", two))
		late.mend()
		c.heal()
		late.mend()
		c.settle()
		if mutant != "" {
			if len(c.leaks()) == 0 {
				t.Errorf("mutant %q: nothing is left over", mutant)
			}
			continue
		}
		c.clean()
		for _, n := range c.nodes {
			n.wants("inline", []byte("new"))
			n.wants("long", long[:50*kib])
			n.wants("parts", long[:60*kib])
			n.wants("one", bytes.Repeat(part, 2))
			n.wants("two", bytes.Repeat(part, 2))
		}
	}
}

// A write reaches one replica alone, which is cut off, and the payload rots there. When it is back the
// version has no content anywhere: it must not win over what was acknowledged. Once the row rots too.
func TestStoryRottenPayloadOfOne(t *testing.T) {
	for _, both := range []bool{false, true} {
		c := reclaimCluster(t, 53)
		late := c.nodes[2]
		c.nodes[0].must(func(ctx context.Context, s *Store) error {
			_, err := put(ctx, s, "k", []byte("acknowledged"))
			return err
		})
		c.run(20 * time.Second)
		c.isolate(late)
		before := late.rows().objects["k"].Winner.ID
		err := late.do(func(ctx context.Context, s *Store) error {
			_, err := put(ctx, s, "k", []byte("lonely"))
			return err
		})
		lonely := late.rows().objects["k"].Winner.ID
		if err == nil || lonely == before {
			t.Fatalf("the write went elsewhere: %v", err)
		}
		late.rot(table.Payload, garbageSort([]byte("k"), lonely))
		if both {
			late.rot(table.Object, []byte("k"))
		}
		late.tables.StartScrub()
		c.run(time.Second)
		c.heal()
		late.mend()
		c.settle()
		c.clean()
		for _, n := range c.nodes {
			n.wants("k", []byte("acknowledged"))
		}
	}
}

// While a part is uploaded, of which a replica has a segment of the block list and no row yet, a row of its
// key rots there and is repaired. The part is noted as one that nobody knows, for a while, and becomes an
// object.
func TestStoryRottenRowBesideAnUpload(t *testing.T) {
	c := newReclaimCluster(t, 52, kib, quick())
	for _, n := range c.nodes {
		n.tables.Start()
	}
	a, b := c.nodes[0], c.nodes[1]
	data := content(3, (segmentBlocks+10)*kib)
	var id UploadID
	a.must(func(ctx context.Context, s *Store) (err error) {
		if _, err = put(ctx, s, "k", []byte("old")); err == nil {
			id, err = s.CreateUpload(ctx, testBucket, "k", nil, "", "")
		}
		return err
	})
	told, uploaded := rt.NewFuture[struct{}](a.env), false
	a.env.Go("slow part", func() {
		_, err := a.store.PutPart(a.env.Background(), testBucket, "k", id, 1, int64(len(data)),
			slowBody{bytes.NewReader(data), told})
		uploaded = err == nil
	})
	c.run(10 * time.Second)
	b.rot(table.Object, []byte("k"))
	b.tables.StartScrub()
	c.run(time.Minute)
	if b.loose() != 1 {
		t.Fatalf("%d owners are noted, want that of the part", b.loose())
	}
	a.env.Go("go on", func() { told.Set(struct{}{}, nil) })
	if err := c.s.RunUntil(time.Minute, func() bool { return uploaded }); err != nil {
		t.Fatal(err)
	}
	c.settle()
	if b.loose() != 0 {
		t.Error("what is known is still noted")
	}
	a.must(func(ctx context.Context, s *Store) error {
		_, err := s.Complete(ctx, testBucket, "k", id, CompleteOptions{Parts: []PartRef{{Number: 1,
			ETag: "slow"}}, Size: -1, Combine: combineNothing})
		return err
	})
	c.settle()
	c.clean()
	for _, n := range c.nodes {
		n.wants("k", data)
	}
}

// loose is how many owners of which nothing is known the node has noted.
func (n *testNode) loose() (owners int) {
	for _, g := range n.rows().garbage {
		if g.loose() {
			owners++
		}
	}
	return owners
}
