package object

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"granary/core/block"
	"granary/core/quorum"
)

// slowly is a cluster in which a sync of the disks of all but the first node takes so long.
func slowly(t *testing.T, sync time.Duration, mutants ...string) *testCluster {
	t.Helper()
	c := newClusterOf(t, 1, 0, flat(), nil, mutants...)
	c.open()
	for _, n := range c.nodes[1:] {
		n.disk.Timing.Sync = func(*rand.Rand) time.Duration { return sync }
	}
	return c
}

// putAt stores a block's worth of data at the first node and returns how long it took.
func (c *testCluster) putAt(k Key, data []byte) (took time.Duration, err error) {
	a := c.nodes[0]
	err = a.do(func(ctx context.Context, s *Store) error {
		start := a.env.Now()
		_, err := put(ctx, s, k, data)
		took = a.env.Now() - start
		return err
	})
	return took, err
}

// TestAhead: A has the block, B and C have its bytes but not yet on their disks when the row comes. A
// acknowledges and is gone: the block must be where the row is.
func TestAhead(t *testing.T) {
	const sync = 300 * time.Millisecond
	data := content(3, 1<<20)
	c := slowly(t, sync)
	took, err := c.putAt("k", data)
	if err != nil {
		t.Fatal(err)
	}
	if took < roundTrip+sync || took > roundTrip+2*sync+50*time.Millisecond {
		t.Errorf("put took %v, want a round trip and the syncs of a file and its folder", took)
	}
	c.isolate(c.nodes[0])
	if err := c.nodes[1].reads("k", data); err != nil {
		t.Error(err)
	}
	if c.s.Sometimes()["a row was there before its coordinator knew that it may be"] == 0 {
		t.Error("the row did not go ahead")
	}
	t.Run("mutant", func(t *testing.T) {
		c := slowly(t, sync, "ahead: rows do not wait")
		if took, err := c.putAt("k", data); err != nil || took > roundTrip+50*time.Millisecond {
			t.Fatalf("%v, %v", took, err)
		}
		c.isolate(c.nodes[0])
		for _, n := range c.nodes[1:] {
			n.crash()
		}
		for _, n := range c.nodes[1:] {
			n.boot()
		}
		if err := c.nodes[1].reads("k", data); err == nil {
			t.Error("a row that did not wait for its block is not noticed")
		}
	})
}

// Blocks that take longer than rows wait: these are refused everywhere, and sent again when all is durable.
func TestAheadInVain(t *testing.T) {
	c := slowly(t, 3*time.Second)
	data := content(4, 1<<20)
	took, err := c.putAt("k", data)
	if err != nil || took < 3*time.Second+2*roundTrip {
		t.Fatalf("%v, %v", took, err)
	}
	if c.s.Sometimes()["a batch sent ahead was refused everywhere"] == 0 {
		t.Error("the disks are not slow enough")
	}
	c.nodes[2].wants("k", data)
	c.quiet()
}

// A replica is gone while the row is on its way, and the block takes the other one longer than a write has:
// the write takes as long as its block does.
func TestAheadOfASlowBlock(t *testing.T) {
	c := slowly(t, 8*time.Second) // twice: a file and its folder
	c.s.After(30*time.Millisecond, func() {
		if err := c.model.Isolate("c"); err != nil {
			t.Error(err)
		}
	})
	data := content(4, 1<<20)
	took, err := c.putAt("k", data)
	if err != nil || took < 16*time.Second {
		t.Fatalf("%v, %v", took, err)
	}
	if c.s.Sometimes()["a batch sent ahead ran out of time"] == 0 {
		t.Error("the row did not run out of time")
	}
	c.nodes[1].wants("k", data)
}

// timedBody comes in parts, each at its time after the first read; the end is a part too.
type timedBody struct {
	etagBody
	n     *testNode
	parts [][]byte
	at    []time.Duration
	begun time.Duration
}

func (b *timedBody) Read(p []byte) (int, error) {
	if b.begun == 0 {
		b.begun = b.n.env.Now()
	}
	if len(b.at) > 0 {
		if err := b.n.env.Sleep(b.n.env.Background(), b.begun+b.at[0]-b.n.env.Now()); err != nil {
			return 0, err
		}
		b.at = b.at[1:]
	}
	if len(b.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.parts[0])
	b.parts = b.parts[1:]
	return n, nil
}

// A block that has failed when the last one lacks a copy: that one may not bring the row.
func TestAheadAfterAFailure(t *testing.T) {
	story := func(mutants ...string) error {
		c := slowly(t, 300*time.Millisecond, mutants...)
		full := func(is bool) {
			for _, n := range c.nodes[1:] {
				n.disk.Capacity = 0
				if is {
					n.disk.Capacity = n.disk.Used()
				}
			}
		}
		c.s.After(0, func() { full(true) })
		c.s.After(80*time.Millisecond, func() { full(false) })
		a := c.nodes[0]
		err := a.do(func(ctx context.Context, s *Store) error {
			body := &timedBody{n: a, parts: [][]byte{content(7, 1<<20), content(8, 1<<20)},
				at: []time.Duration{0, 90 * time.Millisecond, 250 * time.Millisecond}}
			_, err := s.Put(ctx, testBucket, "k", nil, 2<<20, body)
			return err
		})
		c.run(5 * time.Second)
		if err != nil {
			if errors.Is(err, quorum.ErrUnknown) {
				t.Errorf("%v, want a failure that is certain", err)
			}
			for _, n := range c.nodes {
				n.absent("k")
			}
		}
		return err
	}
	if err := story(); !errors.Is(err, block.ErrDiskFull) {
		t.Errorf("put of a block without room: %v", err)
	}
	if err := story("ahead: failures are forgotten"); err != nil {
		t.Errorf("%v, so the mutant is not noticed", err)
	}
}

// A block that cannot become durable: the row appears nowhere, and the client is told so for certain.
func TestAheadOfAFailure(t *testing.T) {
	c := newTestCluster(t, 1, 0)
	c.open()
	for _, n := range c.nodes[1:] {
		n.disk.Capacity = n.disk.Used()
	}
	_, err := c.putAt("k", content(5, 1<<20))
	if err == nil || errors.Is(err, quorum.ErrUnknown) {
		t.Errorf("put without room: %v, want a failure that is certain", err)
	}
	for _, n := range c.nodes {
		n.absent("k")
	}
	c.quiet()
	for _, n := range c.nodes[1:] {
		n.disk.Capacity = 0
	}
	data := content(6, 1<<20)
	if _, err := c.putAt("k", data); err != nil {
		t.Errorf("with room again: %v", err)
	}
	c.nodes[1].wants("k", data)
}
