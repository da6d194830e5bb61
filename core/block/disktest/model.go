package disktest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"granary/core/block"
	"granary/core/rt"
)

// op is one call of a plan. Plans are drawn before they run, so that a failing one shrinks.
type op struct {
	Kind string // write, read, remove, list
	File int    // number of the hash; of a list: the one to begin after
	Size int    // of a write: bytes; of a list: hashes
}

// files is how many addresses the plans use.
const files = 9

// drawPlan draws up to n calls.
func drawPlan(t *rapid.T, n int, kinds ...string) []op {
	one := rapid.Custom(func(t *rapid.T) op {
		o := op{
			Kind: rapid.SampledFrom(kinds).Draw(t, "kind"),
			File: rapid.IntRange(0, files-1).Draw(t, "file"),
		}
		switch o.Kind {
		case "write":
			o.Size = rapid.SampledFrom([]int{0, 1, 100, 4095, 4096, 4097, 9000}).Draw(t, "size")
		case "list":
			o.Size = rapid.IntRange(1, files+1).Draw(t, "max")
		}
		return o
	})
	return rapid.SliceOfN(one, 1, n).Draw(t, "plan")
}

// twin is the slow obvious disk.
type twin map[block.Hash][]byte

func (w twin) list(after block.Hash, limit int) []block.Hash {
	var all []block.Hash
	for h := range w {
		all = append(all, h)
	}
	slices.SortFunc(all, block.Hash.Compare)
	all = slices.DeleteFunc(all, func(h block.Hash) bool { return h.Compare(after) <= 0 })
	return all[:min(limit, len(all))]
}

// play runs a plan on the disk and on the twin and compares. file maps the plan's numbers to addresses.
func play(ctx context.Context, d block.Disk, w twin, plan []op, file func(int) block.Hash) error {
	for i, o := range plan {
		if err := playOne(ctx, d, w, i, o, file(o.File)); err != nil {
			return fmt.Errorf("call %d, %+v: %w", i, o, err)
		}
	}
	return nil
}

func playOne(ctx context.Context, d block.Disk, w twin, i int, o op, h block.Hash) error {
	switch o.Kind {
	case "write":
		w[h] = content(i, o.Size)
		return d.Write(ctx, h, w[h])
	case "remove":
		delete(w, h)
		return d.Remove(ctx, h)
	case "list":
		got, err := d.List(ctx, h, o.Size)
		if expected := w.list(h, o.Size); err != nil || !slices.Equal(got, expected) {
			return fmt.Errorf("listed %v, error %v; want %v", got, err, expected)
		}
		return nil
	}
	return want(ctx, d, h, w[h])
}

func testModel(t *testing.T, m Machine) {
	rapid.Check(t, func(t *rapid.T) {
		plan := drawPlan(t, 25, "write", "write", "read", "read", "remove", "list")
		check(t, m, func(ctx context.Context, _ rt.Env, d block.Disk) error {
			if err := empty(ctx, d); err != nil {
				return err
			}
			w := twin{}
			if err := play(ctx, d, w, plan, hash); err != nil {
				return err
			}
			return wantPages(ctx, d, w.list(block.Hash{}, files), 3)
		})
	})
}

// testConcurrent plays several plans at once, each on addresses of its own in common folders.
func testConcurrent(t *testing.T, m Machine) {
	const tasks = 5
	rapid.Check(t, func(t *rapid.T) {
		var plans [tasks][]op
		for i := range plans {
			plans[i] = drawPlan(t, 6, "write", "write", "read", "remove")
		}
		check(t, m, func(ctx context.Context, env rt.Env, d block.Disk) error {
			if err := empty(ctx, d); err != nil {
				return err
			}
			var twins [tasks]twin
			g := rt.NewGroup(env, ctx)
			for i, plan := range plans {
				twins[i] = twin{}
				g.Go("plan", func(ctx context.Context) error {
					return play(ctx, d, twins[i], plan, func(n int) block.Hash { return ownHash(i, n) })
				})
			}
			if err := g.Wait(); err != nil {
				return err
			}
			return wantTwins(ctx, d, twins[:])
		})
	})
}

// ownHash returns an address that no other task uses, in a folder that every task uses.
func ownHash(task, n int) block.Hash {
	h := hash(n)
	h[15] = byte(task) + 1
	return h
}

func wantTwins(ctx context.Context, d block.Disk, twins []twin) error {
	all := twin{}
	for _, w := range twins {
		for _, h := range w.list(block.Hash{}, files) {
			all[h] = w[h]
			if err := want(ctx, d, h, w[h]); err != nil {
				return err
			}
		}
	}
	return wantPages(ctx, d, all.list(block.Hash{}, len(all)), 7)
}
