package array_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"granary/core/block"
	"granary/core/block/array"
	"granary/core/block/disktest"
	"granary/core/rt"
	"granary/sim/disk"
	"granary/sim/sched"
)

// rig is a machine with several disks in a simulation.
type rig struct {
	t       testing.TB
	images  []*disk.Image
	weights []int64
	seed    uint64
}

func newRig(t testing.TB, weights ...int64) *rig {
	m := &rig{t: t, weights: weights}
	for range weights {
		m.images = append(m.images, disk.NewImage())
	}
	return m
}

// open makes the array of a node.
func (m *rig) open(env rt.Env) (*array.Array, error) {
	var parts []block.Part
	for i, image := range m.images {
		d, err := disk.Open(env, image)
		p := block.Part{ID: fmt.Sprint("disk ", i), Name: fmt.Sprint("/mnt/", i), Weight: m.weights[i],
			Failed: err}
		if err == nil {
			p.Disk = d
		}
		parts = append(parts, p)
	}
	return array.New(env, parts)
}

// run runs f as a task of a node, for at most so many steps; it reports whether f was cut short.
func (m *rig) run(crashAt int, f disktest.Task) (cut bool) {
	m.t.Helper()
	m.seed++
	s := sched.New(sched.Options{Seed: m.seed})
	defer s.Stop()
	env := s.NewEnv(rt.NodeID{1}, "node")
	done := false
	env.Go("node", func() {
		a, err := m.open(env)
		if err != nil {
			m.t.Error(err)
			return
		}
		f(env.Background(), env, a)
		done = true
	})
	if crashAt < 0 {
		if err := s.RunUntil(time.Hour, func() bool { return done }); err != nil {
			m.t.Fatal(err)
		}
		return false
	}
	if err := s.Run(time.Duration(crashAt)); err != nil {
		m.t.Fatal(err)
	}
	env.Kill()
	for _, image := range m.images {
		image.PowerCut(s.Rand("power"))
	}
	return !done
}

// An array is a disk.
func TestConformance(t *testing.T) {
	disktest.Run(t, func(t *testing.T) disktest.Machine {
		m := newRig(t, 3<<40, 1<<40, 5<<38)
		return disktest.Machine{
			Run:   func(f disktest.Task) { m.run(-1, f) },
			Crash: func(n int, f disktest.Task) bool { return m.run(n, f) },
			Fill: func() {
				for _, image := range m.images {
					image.Capacity = max(1, image.Used()) // 0 would be without end
				}
			},
		}
	})
}

// hash is the nth of many hashes.
func hash(n int) block.Hash { return block.HashOf([]byte(fmt.Sprint("block ", n))) }

// Blocks whose disk is full, or dies, go to the others; those of a dead disk are absent; with the last disk
// the array fails, and no earlier.
func TestFullAndDead(t *testing.T) {
	m := newRig(t, 1, 1, 1)
	m.images[0].Capacity = 4 * disk.PageSize
	m.run(-1, func(ctx context.Context, _ rt.Env, d block.Disk) {
		a := d.(*array.Array)
		failed := 0
		a.Watch(func() { failed++ })
		for n := range 30 {
			if err := d.Write(ctx, hash(n), []byte{byte(n)}); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(m.images[0].Files()); n != 4 {
			t.Errorf("%d files on a disk with room for 4", n)
		}
		onOne := m.images[1].Files()
		m.images[1].Dead = true
		if _, err := d.Read(ctx, onOne[0], nil); !errors.Is(err, block.ErrDisk) {
			t.Errorf("read from a dead disk: %v", err)
		}
		if _, err := d.Read(ctx, onOne[0], nil); !errors.Is(err, block.ErrNotFound) || failed != 1 {
			t.Errorf("read again: %v, %d disks failed", err, failed)
		}
		if parts := a.Parts(); parts[1].Failed == nil || parts[0].Failed != nil || parts[2].Failed != nil {
			t.Errorf("parts %+v", parts)
		}
		page, err := d.List(ctx, block.Hash{}, 100)
		if err != nil || len(page) != 30-len(onOne) {
			t.Errorf("%d listed, %v", len(page), err)
		}
		for _, h := range onOne {
			if err := d.Write(ctx, h, []byte("again")); err != nil {
				t.Fatal(err)
			}
			if got, err := d.Read(ctx, h, nil); err != nil || string(got) != "again" {
				t.Errorf("%q, %v", got, err)
			}
		}
		m.images[2].FailSync(0)
		m.images[0].Capacity = 0
		if err := d.Write(ctx, onOne[0], []byte("once more")); err != nil {
			t.Errorf("with one disk of three: %v", err)
		}
		m.images[0].Dead = true
		if err := d.Write(ctx, onOne[0], nil); !errors.Is(err, block.ErrDisk) {
			t.Errorf("with no disk: %v", err)
		}
	})
}

// What is on the wrong disk is found, and a write brings it home.
func TestMisplaced(t *testing.T) {
	m := newRig(t, 1, 1)
	m.run(-1, func(ctx context.Context, _ rt.Env, d block.Disk) {
		a := d.(*array.Array)
		h := hash(1)
		home := a.Home(h)
		if err := a.Parts()[1-home].Disk.Write(ctx, h, []byte("old")); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Read(ctx, h, nil); err != nil || string(got) != "old" {
			t.Errorf("%q, %v", got, err)
		}
		if err := d.Write(ctx, h, []byte("new")); err != nil {
			t.Fatal(err)
		}
		if len(m.images[1-home].Files()) != 0 || len(m.images[home].Files()) != 1 {
			t.Error("not at home, or not only there")
		}
	})
}

// A disk that is not there is out of use; without any the array is refused, as is one that is there twice.
func TestNew(t *testing.T) {
	s := sched.New(sched.Options{Seed: 1})
	t.Cleanup(s.Stop)
	env := s.NewEnv(rt.NodeID{1}, "node")
	var d *disk.Disk
	env.Go("open", func() { d, _ = disk.Open(env, disk.NewImage()) })
	if err := s.RunUntil(time.Minute, func() bool { return d != nil }); err != nil {
		t.Fatal(err)
	}
	gone := errors.New("is it mounted?")
	if a, err := array.New(env, []block.Part{{ID: "a", Disk: d, Weight: 1},
		{ID: "b", Failed: gone, Weight: 9}}); err != nil || a.Home(hash(1)) != 0 ||
		!errors.Is(a.Parts()[1].Failed, gone) {
		t.Errorf("%v", err)
	}
	if _, err := array.New(env, []block.Part{{ID: "b", Failed: gone}}); !errors.Is(err, gone) {
		t.Errorf("without any disk: %v", err)
	}
	if _, err := array.New(env, []block.Part{{ID: "a", Disk: d}, {ID: "a", Disk: d}}); err == nil {
		t.Error("one disk twice")
	}
}
