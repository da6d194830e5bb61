package block_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"granary/core/block"
	"granary/core/cluster"
	"granary/core/kv"
	"granary/core/rt"
	"granary/sim/sched"
)

// met asks a node for blocks that a row refers to, as if they were on their way to it, and returns what it
// says and how long it took.
func (h *house) met(p cluster.Plan, blocks ...[]byte) (took time.Duration, err error) {
	h.c.t.Helper()
	err = h.do(func(ctx context.Context, s *block.Store) error {
		ctx, cancel := h.env.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		start := h.env.Now()
		var pending []block.Pending
		for _, b := range blocks {
			pending = append(pending, block.Pending{Hash: block.HashOf(b), Owner: block.Owner{1},
				Holders: []rt.NodeID{h.id}, Plan: p})
		}
		err := s.Met(ctx, pending...)
		took = h.env.Now() - start
		return err
	})
	return took, err
}

// A block that is here counts for the plan it was sent with until the store is fenced off from that, and
// while its reference lives.
func TestMet(t *testing.T) {
	old, later := cluster.Plan{Newest: 1, Anchor: 1}, cluster.Guard{Newest: 2, Since: 1, Synced: 2}
	for _, mutant := range []string{"", "ahead: copies of any layout count"} {
		c := newTown(t, 3, sched.Options{Seed: 1, Mutants: []string{mutant}})
		b, data := c.nodes[1], some(1, 4000)[0]
		if err := c.nodes[0].put(data, 1); err != nil {
			t.Fatal(err)
		}
		c.run(time.Second)
		if _, err := b.met(old, data); err != nil {
			t.Errorf("a block that is here: %v", err)
		}
		b.fence(later)
		if _, err := b.met(old, data); errors.Is(err, cluster.ErrOldLayout) != (mutant == "") {
			t.Errorf("mutant %q: fenced off: %v", mutant, err)
		}
		if err := c.nodes[0].release(1, block.HashOf(data)); err != nil {
			t.Fatal(err)
		}
		c.run(time.Second)
		if _, err := c.nodes[2].met(old, data); !errors.Is(err, block.ErrGivenUp) {
			t.Errorf("a reference that was deleted: %v", err)
		}
	}
}

// Who waits for the blocks of a row is told at once that one will not come: since the disk is full, or the
// store was fenced off.
func TestMetInVain(t *testing.T) {
	for why, spoil := range map[error]func(h *house) error{
		block.ErrDiskFull: func(h *house) error { h.disk.Capacity = 1; return nil },
		cluster.ErrOldLayout: func(h *house) error {
			return h.local.Update(h.env.Background(), func(w kv.Writer) error {
				cluster.Guard{Newest: 2, Since: 1, Synced: 2}.Put(w)
				return nil
			})
		},
	} {
		c := newTown(t, 3, sched.Options{Seed: 1})
		a, b, blocks := c.nodes[0], c.nodes[1], some(2, 4000)
		c.s.After(time.Second, func() {
			b.env.Go("spoil", func() {
				if err := spoil(b); err != nil {
					t.Error(err)
				}
			})
		})
		c.s.After(2*time.Second, func() {
			a.env.Go("put", func() { _ = put(a.env.Background(), a.store, blocks[1], 1) })
		})
		took, err := b.met(cluster.Plan{Newest: 1, Anchor: 1}, blocks...)
		if !errors.Is(err, why) || took > 3*time.Second {
			t.Errorf("%v after %v, want %v as soon as it is known", err, took, why)
		}
	}
}
