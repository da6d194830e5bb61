package block_test

import (
	"slices"
	"testing"
	"time"

	"granary/core/block"
	"granary/core/layout"
	"granary/core/table"
	"granary/sim/sched"
)

// A block is released while a replica is away, where its reference rots. The repair brings it back deleted,
// as the others have it; that it was not before is known to nobody. The block goes.
func TestStoryRottenReference(t *testing.T) {
	c := newTown(t, 3, sched.Options{Seed: 12})
	a, late := c.nodes[0], c.nodes[2]
	blocks := some(2, 600)
	for i, b := range blocks {
		if err := a.put(b, byte(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	c.run(10 * time.Second)
	if err := c.model.Isolate(late.name); err != nil {
		t.Fatal(err)
	}
	if err := a.release(1, block.HashOf(blocks[0])); err != nil {
		t.Fatal(err)
	}
	for i, b := range blocks {
		h, owner := block.HashOf(b), block.Owner{byte(i + 1)}
		p := layout.PrefixOf(h[:])
		head := []byte{table.RowPrefix, byte(p >> 8), byte(p), byte(table.BlockRef)}
		row := slices.Concat(head, h[:], owner[:])
		draws := []uint64{0, 77} // the first record from the row on, and the bit
		late.kv.FlipBitFrom(row, func() uint64 { draw := draws[0]; draws = draws[1:]; return draw })
	}
	if err := c.model.Rejoin(late.name); err != nil {
		t.Fatal(err)
	}
	late.rows.StartScrub()
	c.run(3*time.Minute + 2*block.RemoveDelay)
	for _, h := range c.nodes {
		if files := h.disk.Files(); len(files) != 1 || files[0] != block.HashOf(blocks[1]) {
			t.Errorf("%s: %d files", h.name, len(files))
		}
	}
	c.wantAll(blocks[1])
}
