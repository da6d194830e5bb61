package object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"granary/core/block"
	"granary/core/quorum"
	"granary/core/rt"
)

const kib = 1 << 10

// TestSizes stores and reads objects around every boundary of the layout, at other nodes than the writer.
func TestSizes(t *testing.T) {
	c := newTestCluster(t, 1, 4*kib)
	sizes := []int{0, 1, InlineMax - 1, InlineMax, InlineMax + 1, 40 * kib, 32 * 4 * kib, 32*4*kib + 1,
		33 * 4 * kib, 33*4*kib - 1}
	for i, n := range sizes {
		data, k := content(byte(i), n), Key(fmt.Sprint("object", n))
		c.nodes[i%3].must(func(ctx context.Context, s *Store) error {
			info, err := put(ctx, s, k, data)
			if err == nil && (info.Size != int64(n) || info.ETag != tagOf(data)) {
				err = fmt.Errorf("put answered %+v", info)
			}
			return err
		})
		c.nodes[(i+1)%3].wants(k, data)
	}
	c.lingering()
	c.quiet()
}

// TestUnknownLength: without an announced size the same objects arise.
func TestUnknownLength(t *testing.T) {
	c := newTestCluster(t, 2, 64*kib)
	for _, n := range []int{0, 5, InlineMax, InlineMax + 1, 64 * kib, 128 * kib, 128*kib + 1} {
		data, k := content(3, n), Key(fmt.Sprint(n))
		c.nodes[0].must(func(ctx context.Context, s *Store) error {
			_, err := s.Put(ctx, testBucket, k, nil, -1, newBody(data))
			return err
		})
		c.nodes[1].wants(k, data)
		inline := c.nodes[2].rows().objects[string(k)].Winner.Inline
		if inline != (n <= InlineMax) {
			t.Errorf("%d bytes: inline %v", n, inline)
		}
	}
	c.quiet()
}

// TestSegments reads an object of more than two segments of its block list, whole and in ranges.
func TestSegments(t *testing.T) {
	c := newTestCluster(t, 3, 64)
	data := bytes.Repeat(content(1, 64*8), (2*segmentBlocks+40)/8)
	data = append(data, 1, 2, 3)
	c.nodes[0].must(func(ctx context.Context, s *Store) error {
		_, err := s.Put(ctx, testBucket, "big", nil, -1, newBody(data))
		return err
	})
	c.nodes[1].wants("big", data)
	size := int64(len(data))
	c.nodes[2].must(func(ctx context.Context, s *Store) error {
		for _, at := range []int64{0, 64*headBlocks - 1, 64 * headBlocks, 64*segmentBlocks - 10,
			64 * segmentBlocks,
			64*2*segmentBlocks - 1, size - 1, size, -1, -100, -size - 5} {
			o, err := s.Get(ctx, testBucket, "big", GetOptions{Offset: at})
			if err != nil {
				return err
			}
			off := at
			if off < 0 {
				off = max(0, size+at)
			}
			n := min(200, size-off)
			got, err := readRange(ctx, o, off, n)
			o.Close()
			if err != nil || !bytes.Equal(got, data[off:off+n]) {
				return fmt.Errorf("range at %d: %d bytes differ, error %v", at, len(got), err)
			}
		}
		return nil
	})
	c.nodes[1].must(func(ctx context.Context, s *Store) error {
		_, err := s.Copy(ctx, testBucket, "copy", CopySource{Bucket: testBucket, Key: "big",
			Check: func(Info) error { return nil }}, nil)
		return err
	})
	c.nodes[2].wants("copy", data)
	c.quiet()
}

// TestRefusedBody: what a body or its sums refuse is returned as it is, and nothing becomes visible (store
// contract 1).
func TestRefusedBody(t *testing.T) {
	c := newTestCluster(t, 4, 4*kib)
	broken := errors.New("broken")
	n := c.nodes[0]
	for name, body := range map[string]Body{
		"inline sums": &testBody{Reader: bytes.NewReader(content(1, 10)), fail: broken},
		"block sums":  &testBody{Reader: bytes.NewReader(content(1, 100*kib)), fail: broken},
		"body": &testBody{Reader: io.MultiReader(bytes.NewReader(content(1, 50*kib)),
			failingReader{broken})},
		"first read": &testBody{Reader: failingReader{broken}},
	} {
		err := n.do(func(ctx context.Context, s *Store) error {
			_, err := s.Put(ctx, testBucket, Key(name), nil, -1, body)
			return err
		})
		if err != broken {
			t.Errorf("%s: %v, want the body's error itself", name, err)
		}
		n.absent(Key(name))
	}
	for _, announced := range []int64{5, 15, 90 * kib, 110 * kib} {
		err := n.do(func(ctx context.Context, s *Store) error {
			data := content(1, 10)
			if announced > kib {
				data = content(1, 100*kib)
			}
			_, err := s.Put(ctx, testBucket, "short", nil, announced, newBody(data))
			return err
		})
		if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d bytes announced: %v", announced, err)
		}
	}
	panics := n.do(func(ctx context.Context, s *Store) error {
		return rt.Guard(n.env, "request", func() error {
			_, err := s.Put(ctx, testBucket, "panic", nil, -1, newPanicBody())
			return err
		})
	})
	if panics == nil {
		t.Error("a panic of the body vanished")
	}
	n.absent("short")
	c.quiet()
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

type panicReader struct{}

func (panicReader) Read([]byte) (int, error) { panic("bug in a body") }

func newPanicBody() Body {
	return &testBody{Reader: io.MultiReader(bytes.NewReader(content(1, 50*kib)), panicReader{})}
}

// TestDeleteMany: duplicates share their result, invalid keys fail alone, no keys are no panic.
func TestDeleteMany(t *testing.T) {
	c := newTestCluster(t, 5, 0)
	n := c.nodes[0]
	n.must(func(ctx context.Context, s *Store) error {
		if errs := s.DeleteMany(ctx, testBucket, nil); len(errs) != 0 {
			return fmt.Errorf("nothing deleted: %v", errs)
		}
		for _, k := range []Key{"a", "b"} {
			if _, err := put(ctx, s, k, []byte(k)); err != nil {
				return err
			}
		}
		errs := s.DeleteMany(ctx, testBucket, []Key{"a", "", "b", "a"})
		for i, err := range errs {
			if (err != nil) != (i == 1) || i == 1 && !errors.Is(err, ErrBadKey) {
				return fmt.Errorf("key %d: %v", i, err)
			}
		}
		return nil
	})
	n.absent("a")
	c.nodes[1].absent("b")
	for _, other := range c.nodes[1:] {
		if err := c.model.Isolate(other.name); err != nil {
			t.Fatal(err)
		}
	}
	n.must(func(ctx context.Context, s *Store) error {
		errs := s.DeleteMany(ctx, testBucket, []Key{"x", "x"})
		if errs[0] == nil || errs[1] == nil {
			return fmt.Errorf("without a quorum: %v", errs)
		}
		return nil
	})
	c.model.Clear()
	c.lingering()
}

// TestClientHangsUp ends requests in the middle; memory comes back and nothing becomes visible half.
func TestClientHangsUp(t *testing.T) {
	c := newTestCluster(t, 6, 4*kib)
	n := c.nodes[0]
	data := content(9, 600*kib)
	n.must(func(ctx context.Context, s *Store) error { _, err := put(ctx, s, "there", data); return err })
	n.must(func(ctx context.Context, s *Store) error {
		for reads := range 20 {
			ctx, cancel := n.env.WithCancel(ctx)
			body := &hangup{Reader: bytes.NewReader(data), after: reads * 7, cancel: cancel}
			_, err := s.Put(ctx, testBucket, "half", nil, -1, body)
			cancel()
			if body.after < 0 && err == nil {
				return fmt.Errorf("hung up after %d reads: no error", reads*7)
			}
		}
		return nil
	})
	n.absent("half")
	n.must(func(ctx context.Context, s *Store) error {
		for blocks := range 20 {
			ctx, cancel := n.env.WithCancel(ctx)
			o, err := s.Get(ctx, testBucket, "there", GetOptions{})
			if err != nil {
				return err
			}
			r, err := o.Open(ctx, 0, int64(len(data)))
			if err != nil {
				return err
			}
			if _, err := io.CopyN(io.Discard, r, int64(blocks)*5*kib); err != nil {
				return err
			}
			cancel()
			if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
				return fmt.Errorf("read after the end of the request: %v", err)
			}
			r.Close()
			o.Close()
		}
		return nil
	})
	c.quiet()
}

// hangup is a body whose client goes away after some reads.
type hangup struct {
	io.Reader
	after  int
	cancel func()
}

func (h *hangup) Read(p []byte) (int, error) {
	if h.after--; h.after < 0 {
		h.cancel()
		return 0, context.Canceled
	}
	return h.Reader.Read(p[:min(len(p), 1000)])
}

func (h *hangup) Sums() (Sums, error) { return Sums{}, nil }

// TestDiskFaults: a damaged or missing copy is passed over, on dead and full disks a quorum is enough, and
// without one the error says why.
func TestDiskFaults(t *testing.T) {
	c := newTestCluster(t, 7, 0)
	data := content(4, 100*kib)
	n := c.nodes[0]
	n.must(func(ctx context.Context, s *Store) error { _, err := put(ctx, s, "x", data); return err })
	c.run(2e9)
	h := block.HashOf(data)
	if !n.disk.FlipBit(h, 12345) || !c.nodes[1].disk.BreakSector(h) {
		t.Fatal("the block is not where it should be")
	}
	n.wants("x", data)
	if c.s.Counter("block_damaged_total") == 0 {
		t.Error("the damage was not counted")
	}
	n.must(func(ctx context.Context, s *Store) error { _, err := put(ctx, s, "again", data); return err })
	c.run(2e9)
	for _, m := range c.nodes {
		if got := m.disk.Peek(h); len(got) != len(data)+1 || !bytes.Equal(got[:len(data)], data) {
			t.Errorf("%s: a damaged copy was not written anew", m.name)
		}
	}
	c.nodes[2].disk.Dead = true
	n.must(func(ctx context.Context, s *Store) error {
		_,
			err := put(ctx, s, "y", content(5, 80*kib))
		return err
	})
	c.nodes[1].disk.Capacity = c.nodes[1].disk.Used()
	err := n.do(func(ctx context.Context, s *Store) error {
		_, err := put(ctx, s, "z", content(6, 80*kib))
		return err
	})
	if !errors.Is(err, block.ErrDiskFull) || !errors.Is(err, block.ErrDisk) {
		t.Errorf("without a quorum of disks: %v", err)
	}
	n.absent("z")
	c.quiet()
}

// TestNoQuorum: a write that fails before its last batch certainly changed nothing, so its outcome is known;
// that of a last batch that went out is not.
func TestNoQuorum(t *testing.T) {
	c := newTestCluster(t, 8, 4*kib)
	n := c.nodes[0]
	n.must(func(ctx context.Context, s *Store) error {
		_,
			err := put(ctx, s, "warm", content(1, 90*kib))
		return err
	})
	for _, m := range c.nodes[1:] {
		if err := c.model.Isolate(m.name); err != nil {
			t.Fatal(err)
		}
	}
	for size, unknown := range map[int]bool{100: true, 100 * kib: false} {
		err := n.do(func(ctx context.Context, s *Store) error {
			_, err := put(ctx, s, "k", content(2, size))
			return err
		})
		if !errors.Is(err, quorum.ErrUnavailable) || errors.Is(err, quorum.ErrUnknown) != unknown {
			t.Errorf("%d bytes without a quorum: %v", size, err)
		}
		err = n.do(func(ctx context.Context, s *Store) error {
			return harmless(s.markUploading(ctx, testBucket, "k", VersionID{1}))
		})
		if !errors.Is(err, quorum.ErrUnavailable) || errors.Is(err, quorum.ErrUnknown) {
			t.Errorf("a mark without a quorum: %v", err)
		}
	}
	c.model.Clear()
	c.quiet()
}
