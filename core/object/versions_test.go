package object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"granary/core/block"
	"granary/core/hlc"
	"granary/core/kv"
	"granary/core/quorum"
	"granary/core/table"
)

// merge applies an object version, with its payload, to one node alone, as a coordinator's late batch would.
func (n *testNode) merge(k Key, v version, data []byte) {
	n.c.t.Helper()
	n.must(func(ctx context.Context, s *Store) error {
		row, err := s.rows.objects.Row([]byte(k), objectRow{Winner: v})
		if err != nil {
			return err
		}
		rows := []table.Row{row}
		if data != nil {
			payload, err := s.rows.payloads.Row(garbageSort([]byte(k), v.ID), payloadRow{Data: data})
			if err != nil {
				return err
			}
			rows = []table.Row{payload, row}
		}
		return n.local.Update(ctx, func(w kv.Writer) error {
			return n.tables.ApplyIn(w, testBucket[:],
				rows)
		})
	})
}

// TestSuperseded walks through every way in which one version replaces another at a replica (store contract
// 3).
func TestSuperseded(t *testing.T) {
	c := newTestCluster(t, 11, 0)
	n := c.nodes[0]
	small := func(id byte, stamp hlc.Stamp) version {
		return version{ID: VersionID{id}, Stamp: stamp, State: complete, Size: 1, Inline: true}
	}
	large := func(id byte, stamp hlc.Stamp) version {
		return version{ID: VersionID{id}, Stamp: stamp, State: complete, Size: 1, BlockSize: 1,
			Blocks: make([]byte, hashLen)}
	}
	for i, test := range []struct {
		name     string
		versions []version
		payloads []byte // ids whose payloads stay
		garbage  []byte // ids that become garbage
	}{
		{"inline by inline", []version{small(1, 1), small(2, 2)}, []byte{2}, nil},
		{"inline by a lower stamp", []version{small(1, 2), small(2, 1)}, []byte{1}, nil},
		{"inline by blocks", []version{small(1, 1), large(2, 2)}, nil, nil},
		{"blocks by inline", []version{large(1, 1), small(2, 2)}, []byte{2}, []byte{1}},
		{"blocks by blocks", []version{large(1, 1), large(2, 2)}, nil, []byte{1}},
		{"blocks by a lower stamp", []version{large(1, 2), large(2, 1)}, nil, []byte{2}},
		{"inline deleted", []version{small(1, 1), {ID: VersionID{2}, Stamp: 2, State: marker}}, nil, nil},
		{"blocks deleted", []version{large(1, 1), {ID: VersionID{2}, Stamp: 2, State: marker}}, nil,
			[]byte{1}},
		{"inline under a marker", []version{{ID: VersionID{2}, Stamp: 2, State: marker}, small(1, 1)}, nil,
			nil},
		{"stamped anew", []version{large(1, 1), large(1, 2)}, nil, nil},
		{"inline stamped anew", []version{small(1, 1), small(1, 2)}, []byte{1}, nil},
		{"lost, then stamped anew", []version{large(1, 1), large(2, 2), large(1, 3)}, nil, []byte{2}},
		{"inline lost, then stamped anew", []version{small(1, 1), small(2, 2), small(1, 3)}, []byte{1}, nil},
		{"the same again", []version{large(1, 1), large(2, 2), large(1, 1)}, nil, []byte{1}},
		{"empty blocks", []version{{ID: VersionID{1}, Stamp: 1, State: complete, Multipart: true},
			small(2, 2)}, []byte{2}, nil},
	} {
		k, tag := Key(test.name), byte(i+1)
		for _, v := range test.versions {
			v.ID[1] = tag
			var data []byte
			if v.Inline {
				data = []byte{v.ID[0]}
			}
			n.merge(k, v, data)
		}
		rows := n.rows()
		for id := range byte(4) {
			vid := VersionID{id, tag}
			if got, want := rows.payloads[vid], bytes.IndexByte(test.payloads, id) >= 0; got != want {
				t.Errorf("%s: payload of %d there: %v", test.name, id, got)
			}
			_, got := rows.garbage[string(garbageSort([]byte(k), vid))]
			if want := bytes.IndexByte(test.garbage, id) >= 0; got != want {
				t.Errorf("%s: version %d in the garbage: %v", test.name, id, got)
			}
		}
	}
}

// TestReadRepair: a node that was down during writes is caught up by reads, object row and payload together,
// and nobody is sent the payload of a version that lost.
func TestReadRepair(t *testing.T) {
	c := newTestCluster(t, 12, 0)
	a, b, late := c.nodes[0], c.nodes[1], c.nodes[2]
	both := func(data []byte) {
		a.must(func(ctx context.Context, s *Store) error { _, err := put(ctx, s, "k", data); return err })
		c.run(time.Second)
	}
	both([]byte("one"))
	late.crash()
	both([]byte("two"))
	a.must(func(ctx context.Context, s *Store) error {
		_,
			err := put(ctx, s, "new", []byte("n"))
		return err
	})
	late.boot()
	b.wants("k", []byte("two"))
	b.wants("new", []byte("n"))
	c.run(10 * time.Second)
	c.lingering()
	if got, want := late.rows().objects["k"].Winner.ID, a.rows().objects["k"].Winner.ID; got != want {
		t.Errorf("the node that was down has version %v, the others %v", got, want)
	}
	if err := c.model.Isolate(a.name); err != nil {
		t.Fatal(err)
	}
	late.wants("k", []byte("two"))
	late.wants("new", []byte("n"))
}

// TestWinnerWithoutContent: a winner whose content no replica has is unavailable, not absent.
func TestWinnerWithoutContent(t *testing.T) {
	c := newTestCluster(t, 13, 0)
	n := c.nodes[0]
	n.merge("k", version{ID: VersionID{1}, Stamp: 5, State: complete, Size: 3, Inline: true}, nil)
	err := n.do(func(ctx context.Context, s *Store) error { _, err := get(ctx, s, "k"); return err })
	if !errors.Is(err, quorum.ErrUnavailable) || errors.Is(err, ErrNoSuchKey) {
		t.Errorf("content that is nowhere: %v", err)
	}
	v := version{ID: VersionID{2}, Stamp: 6, State: complete, Size: 9, BlockSize: 9,
		Blocks: make([]byte, hashLen)}
	n.merge("lost", v, nil)
	err = n.do(func(ctx context.Context, s *Store) error { _, err := get(ctx, s, "lost"); return err })
	if !errors.Is(err, quorum.ErrUnavailable) {
		t.Errorf("a block that is nowhere: %v", err)
	}
	c.quiet()
}

// TestSpeculation: the first block is guessed from the local row, and the guess is dropped when the quorum
// knows something newer.
func TestSpeculation(t *testing.T) {
	c := newTestCluster(t, 14, 0)
	a, stale := c.nodes[0], c.nodes[2]
	first, second := content(1, 80*kib), content(2, 90*kib)
	a.must(func(ctx context.Context, s *Store) error { _, err := put(ctx, s, "k", first); return err })
	c.run(time.Second)
	read := func(want []byte) time.Duration {
		start := c.s.Now()
		stale.wants("k", want)
		return (c.s.Now() - start + roundTrip/2) / roundTrip
	}
	read(first) // opens the connections
	if trips := read(first); trips != 1 || c.s.Sometimes()["guessed block was right"] != 2 {
		t.Errorf("%d round trips, guesses %v", trips, c.s.Sometimes())
	}
	if err := c.model.Isolate(stale.name); err != nil {
		t.Fatal(err)
	}
	a.must(func(ctx context.Context, s *Store) error { _, err := put(ctx, s, "k", second); return err })
	c.run(time.Minute)
	c.model.Clear()
	c.run(10 * time.Second)
	read(second)
	if c.s.Sometimes()["guessed block was right"] != 2 {
		t.Error("a guess about an older version was used")
	}
	c.quiet()
}

// TestLateLoser: an older version that arrives at a replica after a newer one leaves nothing but garbage, and
// the marks of uploads go with the completion of newer ones.
func TestLateLoser(t *testing.T) {
	c := newTestCluster(t, 15, 0)
	n := c.nodes[1]
	n.must(func(ctx context.Context, s *Store) error {
		if err := s.markUploading(ctx, testBucket, "k", VersionID{9}); err != nil {
			return err
		}
		_, err := put(ctx, s, "k", content(1, 50*kib))
		return err
	})
	c.run(time.Second)
	for _, m := range c.nodes {
		if o := m.rows().objects["k"]; len(o.Uploads) != 0 || !o.Winner.exists() {
			t.Errorf("%s: %+v", m.name, o)
		}
	}
	n.merge("k", version{ID: VersionID{1}, Stamp: 1, State: complete, Size: 1, Inline: true}, []byte("x"))
	c.lingering()
}

// TestCopies: inline and block objects, onto themselves and elsewhere, with new and old headers, through a
// body, and when replicas lack the blocks.
func TestCopies(t *testing.T) {
	c := newTestCluster(t, 16, 16*kib)
	n := c.nodes[0]
	small, large := content(1, 100), content(2, 700*kib)
	n.must(func(ctx context.Context, s *Store) error {
		_, err := s.Put(ctx, testBucket, "small", []Header{{"a", "b"}}, 100, newBody(small))
		if err == nil {
			_, err = put(ctx, s, "large", large)
		}
		return err
	})
	copyTo := func(from, to Key, headers *[]Header) error {
		return n.do(func(ctx context.Context, s *Store) error {
			info, err := s.Copy(ctx, testBucket, to, CopySource{Bucket: testBucket, Key: from,
				Check: func(Info) error { return nil }}, headers)
			if err == nil && headers != nil && fmt.Sprint(info.Headers) != fmt.Sprint(*headers) {
				err = fmt.Errorf("headers %v", info.Headers)
			}
			return err
		})
	}
	for _, k := range []Key{"small", "large"} {
		for _, to := range []Key{k, "copy of " + k} {
			for _, h := range []*[]Header{nil, {{"c", "d"}}} {
				if err := copyTo(k, to, h); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	c.nodes[1].wants("small", small)
	c.nodes[2].wants("copy of small", small)
	c.nodes[1].wants("large", large)
	c.nodes[2].wants("copy of large", large)
	refused := errors.New("refused")
	err := n.do(func(ctx context.Context, s *Store) error {
		_, err := s.Copy(ctx, testBucket, "no", CopySource{Bucket: testBucket, Key: "large",
			Check: func(Info) error { return refused }}, nil)
		return err
	})
	if err != refused {
		t.Errorf("refused copy: %v", err)
	}
	n.absent("no")
	for _, m := range c.nodes[1:] {
		if !m.disk.FlipBit(block.HashOf(large[:16*kib]), 99) {
			t.Fatal("the block is not where it should be")
		}
	}
	if err := copyTo("large", "healed", nil); err != nil || c.s.Sometimes()["reference needed a body"] == 0 {
		t.Errorf("copy with damaged replicas: %v", err)
	}
	c.nodes[1].wants("healed", large)
	c.lingering()
	c.quiet()
}
