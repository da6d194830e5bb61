package disktest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"granary/core/block"
	"granary/core/rt"
)

func testBasics(t *testing.T, m Machine) {
	check(t, m, func(ctx context.Context, _ rt.Env, d block.Disk) error {
		h := hash(7)
		steps := []func() error{
			func() error { return want(ctx, d, h, nil) },
			func() error { return d.Remove(ctx, h) },
			func() error { return d.Write(ctx, h, content(1, 10_000)) },
			func() error { return want(ctx, d, h, content(1, 10_000)) },
			func() error { return d.Write(ctx, h, content(2, 3)) }, // shorter: no tail of the old one is left
			func() error { return want(ctx, d, h, content(2, 3)) },
			func() error { return d.Write(ctx, h, nil) },
			func() error { return want(ctx, d, h, []byte{}) },
			func() error { return d.Write(ctx, h, content(3, 1<<20)) },
			func() error { return want(ctx, d, h, content(3, 1<<20)) },
			func() error { return d.Remove(ctx, h) },
			func() error { return want(ctx, d, h, nil) },
			func() error { return d.Remove(ctx, h) },
			func() error { return d.Write(ctx, h, content(4, 5)) },
			func() error { return want(ctx, d, h, content(4, 5)) },
		}
		for i, step := range steps {
			if err := step(); err != nil {
				return fmt.Errorf("step %d: %w", i, err)
			}
		}
		return nil
	})
}

func testNoAlias(t *testing.T, m Machine) {
	check(t, m, func(ctx context.Context, _ rt.Env, d block.Disk) error {
		data := content(1, 9000)
		if err := d.Write(ctx, hash(3), data); err != nil {
			return err
		}
		clear(data)
		got, err := d.Read(ctx, hash(3), make([]byte, 0, 20_000))
		if err != nil {
			return err
		}
		clear(got)
		return want(ctx, d, hash(3), content(1, 9000))
	})
}

func testEndedContext(t *testing.T, m Machine) {
	check(t, m, func(ctx context.Context, env rt.Env, d block.Disk) error {
		if err := d.Write(ctx, hash(3), content(1, 100)); err != nil {
			return err
		}
		ended, cancel := env.WithCancel(ctx)
		cancel()
		calls := []struct {
			name string
			call func() error
		}{
			{"write", func() error { return d.Write(ended, hash(3), content(2, 100)) }},
			{"remove", func() error { return d.Remove(ended, hash(3)) }},
			{"read", func() error { _, err := d.Read(ended, hash(3), nil); return err }},
			{"list", func() error { _, err := d.List(ended, block.Hash{}, 9); return err }},
			{"usage", func() error { _, err := d.Usage(ended); return err }},
		}
		for _, c := range calls {
			if err := c.call(); !errors.Is(err, context.Canceled) {
				return fmt.Errorf("%s with an ended context: %v", c.name, err)
			}
		}
		return want(ctx, d, hash(3), content(1, 100))
	})
}

func testList(t *testing.T, m Machine) {
	check(t, m, func(ctx context.Context, _ rt.Env, d block.Disk) error {
		var all []block.Hash
		for n := range 25 {
			all = append(all, hash(n))
			if err := d.Write(ctx, hash(n), content(n, 10)); err != nil {
				return err
			}
		}
		slices.SortFunc(all, block.Hash.Compare)
		for _, size := range []int{1, 2, 7, 25, 26, 1000} {
			if err := wantPages(ctx, d, all, size); err != nil {
				return fmt.Errorf("pages of %d: %w", size, err)
			}
		}
		for _, size := range []int{0, -1} {
			if page, err := d.List(ctx, block.Hash{}, size); err != nil || len(page) != 0 {
				return fmt.Errorf("a page of %d: %d hashes, error %v", size, len(page), err)
			}
		}
		absent := all[3]
		absent[20]++ // an address between two files
		page, err := d.List(ctx, absent, 2)
		if err != nil || !slices.Equal(page, all[4:6]) {
			return fmt.Errorf("after an absent hash: %v, error %v", page, err)
		}
		return nil
	})
}

// wantPages lists the disk by pages of size and compares with all, sorted.
func wantPages(ctx context.Context, d block.Disk, all []block.Hash, size int) error {
	var got []block.Hash
	for after := (block.Hash{}); ; after = got[len(got)-1] {
		page, err := d.List(ctx, after, size)
		if err != nil {
			return err
		}
		if len(page) > size {
			return fmt.Errorf("a page of %d hashes", len(page))
		}
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
		if len(got) > len(all) {
			break
		}
	}
	if !slices.Equal(got, all) {
		return fmt.Errorf("listed %d hashes %v, want %d", len(got), got, len(all))
	}
	return nil
}

func testUsage(t *testing.T, m Machine) {
	check(t, m, func(ctx context.Context, _ rt.Env, d block.Disk) error {
		u, err := d.Usage(ctx)
		if err != nil {
			return err
		}
		if u.Total <= 0 || u.Free <= 0 || u.Free > u.Total {
			return fmt.Errorf("usage of a new disk: %+v", u)
		}
		return nil
	})
}

func testReopen(t *testing.T, m Machine) {
	check(t, m, func(ctx context.Context, _ rt.Env, d block.Disk) error {
		for n := range 6 {
			if err := d.Write(ctx, hash(n), content(n, 5000*n)); err != nil {
				return err
			}
		}
		return nil
	})
	for range 2 {
		check(t, m, func(ctx context.Context, _ rt.Env, d block.Disk) error {
			var all []block.Hash
			for n := range 6 {
				all = append(all, hash(n))
				if err := want(ctx, d, hash(n), content(n, 5000*n)); err != nil {
					return err
				}
			}
			slices.SortFunc(all, block.Hash.Compare)
			return wantPages(ctx, d, all, 4)
		})
	}
}

func testFull(t *testing.T, m Machine) {
	a, b, c := hash(3), hash(4), hash(50)
	check(t, m, func(ctx context.Context, _ rt.Env, d block.Disk) error {
		return errors.Join(d.Write(ctx, a, content(1, 9000)), d.Write(ctx, b, content(2, 9000)))
	})
	m.Fill()
	check(t, m, func(ctx context.Context, _ rt.Env, d block.Disk) error {
		if u, err := d.Usage(ctx); err != nil || u.Free != 0 {
			return fmt.Errorf("usage of a full disk: %+v, error %v", u, err)
		}
		for _, h := range []block.Hash{a, c} {
			if err := d.Write(ctx, h, content(9, 9000)); !errors.Is(err, block.ErrDiskFull) {
				return fmt.Errorf("write to a full disk: %v", err)
			}
		}
		return errors.Join(want(ctx, d, a, content(1, 9000)), want(ctx, d, b, content(2, 9000)),
			want(ctx, d, c, nil), wantPages(ctx, d, []block.Hash{a, b}, 10),
			d.Remove(ctx, b), want(ctx, d, b, nil))
	})
}
