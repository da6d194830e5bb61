package object

import (
	"bytes"
	"context"
	"testing"
	"time"

	"granary/core/block"
	"granary/sim/disk"
)

// opened is a cluster whose lanes are open: a first block measured the round trips, a second one asked for
// lanes.
func opened(t *testing.T, seed uint64) *testCluster {
	t.Helper()
	c := newTestCluster(t, seed, 0)
	c.open()
	return c
}

func (c *testCluster) open() {
	for i := range byte(2) {
		c.nodes[0].must(func(ctx context.Context, s *Store) error {
			_, err := put(ctx, s, "first", content(1+i, 1<<20))
			return err
		})
		c.run(10 * time.Second)
	}
}

// Blocks go to far nodes in pieces, and come back whole.
func TestFarBlocksGoInPieces(t *testing.T) {
	for seed := range uint64(4) {
		c := opened(t, seed)
		data := content(9, 2<<20+11)
		before := c.s.Counter("block_pieces_total")
		c.nodes[0].must(func(ctx context.Context, s *Store) error {
			_, err := put(ctx, s, "key", data)
			return err
		})
		if sent := c.s.Counter("block_pieces_total") - before; sent < 2*79*2 {
			t.Errorf("seed %d: %v pieces were sent to two nodes, want 79 for each of 2 blocks or more", seed,
				sent)
		}
		c.quiet()
		c.nodes[0].crash()
		for _, n := range c.nodes[1:] {
			n.wants("key", data)
		}
	}
}

// Of many blocks at once few go in pieces, and all arrive.
func TestManyFarBlocksGoWhole(t *testing.T) {
	for seed := range uint64(4) {
		c := opened(t, seed)
		data := content(9, 24<<20)
		before := c.s.Counter("block_pieces_total")
		c.nodes[0].must(func(ctx context.Context, s *Store) error {
			_, err := put(ctx, s, "key", data)
			return err
		})
		if sent := c.s.Counter("block_pieces_total") - before; sent < 2*79 || sent > 2*79*24/2 {
			t.Errorf("seed %d: %v pieces were sent to two nodes, want 79 for each of some of 24 blocks, and "+
				"of less than half", seed, sent)
		}
		c.quiet()
		c.nodes[0].crash()
		for _, n := range c.nodes[1:] {
			n.wants("key", data)
		}
	}
}

// A line that dies while pieces are under way costs neither the write, which the other node completes, nor
// memory; when it is healed blocks take it again.
func TestLanesDieUnderABlock(t *testing.T) {
	for seed := range uint64(4) {
		c := opened(t, seed)
		data := content(8, 1<<20)
		c.s.After(30*time.Millisecond, func() {
			if err := c.model.Cut("a", "b"); err != nil {
				t.Error(err)
			}
		})
		c.nodes[0].must(func(ctx context.Context, s *Store) error {
			_, err := put(ctx, s, "key", data)
			return err
		})
		c.run(2 * time.Minute)
		c.model.Clear()
		c.run(time.Minute)
		c.quiet()
		c.nodes[2].wants("key", data)
		for i := range byte(2) {
			c.nodes[0].must(func(ctx context.Context, s *Store) error {
				_, err := put(ctx, s, "later", content(4+i, 1<<20))
				return err
			})
			c.run(10 * time.Second)
		}
		c.nodes[1].must(func(ctx context.Context, s *Store) error {
			if got, err := get(ctx, s, "later"); err != nil || !bytes.Equal(got, content(5, 1<<20)) {
				t.Errorf("seed %d: %d bytes after the line was healed, %v", seed, len(got), err)
			}
			return nil
		})
		c.quiet()
	}
}

// Where both copies leave by one slow way, the one that makes the quorum goes first: a write waits for one
// passage of its block, not two, and the third replica gets it all the same.
func TestQuorumGoesFirst(t *testing.T) {
	topo := flat()
	topo.Zones[0].Up = 100e6 // 86 ms for a block and its headers
	c := newClusterOf(t, 1, 0, topo, nil)
	c.open()
	var took time.Duration
	c.nodes[0].must(func(ctx context.Context, s *Store) error {
		start := c.nodes[0].env.Now()
		_, err := put(ctx, s, "key", content(9, 1<<20))
		took = c.nodes[0].env.Now() - start
		return err
	})
	if passage := took - roundTrip; passage < 80*time.Millisecond || passage > 120*time.Millisecond {
		t.Errorf("%v over a round trip, want the 86 ms of one block", passage)
	}
	c.quiet()
	for _, n := range c.nodes {
		n.must(func(ctx context.Context, s *Store) error {
			d, err := disk.Open(n.env, n.disk)
			if err != nil {
				return err
			}
			blocks, err := d.List(ctx, block.Hash{}, 10)
			if len(blocks) != 3 {
				t.Errorf("%s has %d blocks, want 3", n.name, len(blocks))
			}
			return err
		})
	}
}
