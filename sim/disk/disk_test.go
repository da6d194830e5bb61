package disk

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"granary/core/block"
	"granary/core/block/disktest"
	"granary/core/rt"
	"granary/sim/sched"
)

// machine runs nodes on one image, each in a scheduler of its own.
type machine struct {
	t     *testing.T
	image *Image
	seed  uint64
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, image: NewImage()}
	m.image.Timing = Timing{
		Seek:           between(20*time.Microsecond, 40*time.Microsecond),
		Sync:           between(50*time.Microsecond, 90*time.Microsecond),
		BytesPerSecond: 1 << 30,
	}
	return m
}

// boot runs f on a node that is cut off after the given time, if that is not 0, and reports whether it was.
func (m *machine) boot(after time.Duration, f disktest.Task) (cut bool) {
	m.t.Helper()
	m.seed++
	s := sched.New(sched.Options{Seed: m.seed, Shuffle: true, YieldPerMille: 100})
	defer s.Stop()
	env := s.NewEnv(rt.NodeID{1}, "node")
	done := false
	env.Go("test", func() {
		d, err := Open(env, m.image)
		if err != nil {
			panic(err)
		}
		f(env.Background(), env, d)
		done = true
	})
	if after > 0 {
		s.After(after, func() {
			if !done {
				cut = true
				env.Kill()
				m.image.PowerCut(s.Rand("power"))
			}
		})
	}
	if err := s.RunUntil(time.Hour, func() bool { return done || cut }); err != nil {
		m.t.Fatal(err)
	}
	m.image.HealSync()
	return cut
}

func (m *machine) run(f disktest.Task) { m.boot(0, f) }

// crash cuts at the nth instant, 15 µs apart: several fall into every step.
func (m *machine) crash(n int, f disktest.Task) bool {
	return m.boot(time.Duration(n+1)*15*time.Microsecond, f)
}

func TestConformance(t *testing.T) {
	disktest.Run(t, func(t *testing.T) disktest.Machine {
		m := newMachine(t)
		return disktest.Machine{
			Run:      m.run,
			Crash:    m.crash,
			Fill:     func() { m.image.Capacity = m.image.Used() },
			FailSync: m.image.FailSync,
		}
	})
}

// do runs f on a node on the image and fails the test with its error.
func (m *machine) do(f func(ctx context.Context, d *Disk) error) {
	m.t.Helper()
	var err error
	m.run(func(ctx context.Context, _ rt.Env, d block.Disk) { err = f(ctx, d.(*Disk)) })
	if err != nil {
		m.t.Fatal(err)
	}
}

func write(h block.Hash, data string) func(context.Context, *Disk) error {
	return func(ctx context.Context, d *Disk) error { return d.Write(ctx, h, []byte(data)) }
}

func TestSpaceIsCounted(t *testing.T) {
	m := newMachine(t)
	m.image.Capacity = 5 * PageSize
	m.do(func(ctx context.Context, d *Disk) error {
		steps := []struct {
			call func() error
			free int64
		}{
			{func() error { return d.Write(ctx, block.Hash{1}, make([]byte, PageSize+1)) }, 3},
			{func() error { return d.Write(ctx, block.Hash{2}, nil) }, 2},
			{func() error { return d.Write(ctx, block.Hash{1}, make([]byte, 2*PageSize)) }, 2}, // replaces
			{func() error { return d.Remove(ctx, block.Hash{1}) }, 4},
			{func() error { return d.Write(ctx, block.Hash{3}, make([]byte, 4*PageSize)) }, 0},
		}
		for i, step := range steps {
			if err := step.call(); err != nil {
				return fmt.Errorf("step %d: %w", i, err)
			}
			if u, err := d.Usage(ctx); err != nil || u.Free != step.free*PageSize || u.Total != 5*PageSize {
				return fmt.Errorf("step %d: usage %+v, error %v, want %d pages free", i, u, err, step.free)
			}
		}
		return nil
	})
}

// TestSpaceOfTornWrite checks that a write cut in the middle leaves no temporary file behind.
func TestSpaceOfTornWrite(t *testing.T) {
	m := newMachine(t)
	for n := range 60 {
		m.crash(n, func(ctx context.Context, _ rt.Env, d block.Disk) {
			_ = d.Write(ctx, block.Hash{1}, make([]byte, 50_000))
		})
		m.do(func(ctx context.Context, d *Disk) error { return d.Remove(ctx, block.Hash{1}) })
		if m.image.Used() != 0 {
			t.Fatalf("crash at %d: %d bytes in use", n, m.image.Used())
		}
	}
}

func TestDamage(t *testing.T) {
	h, other := block.Hash{1}, block.Hash{2}
	m := newMachine(t)
	m.do(write(h, "abc"))
	m.do(write(other, "xyz"))

	if !m.image.FlipBit(h, 24+9) || string(m.image.Peek(h)) != "a`c" { // bit 9 of 24 is of value 2 in the 'b'
		t.Fatalf("after a flipped bit: %q", m.image.Peek(h))
	}
	if m.image.FlipBit(block.Hash{9}, 1) || m.image.BreakSector(block.Hash{9}) {
		t.Fatal("damaged a file that is not there")
	}

	m.image.BreakSector(other)
	m.do(func(ctx context.Context, d *Disk) error {
		if _, err := d.Read(ctx, other, nil); !errors.Is(err, block.ErrDisk) {
			return fmt.Errorf("read of a broken sector: %v", err)
		}
		if err := d.Write(ctx, other, []byte("new")); err != nil {
			return err
		}
		_, err := d.Read(ctx, other, nil)
		return err
	})

	m.do(func(ctx context.Context, d *Disk) error {
		m.image.Dead = true
		defer func() { m.image.Dead = false }()
		_, readErr := d.Read(ctx, h, nil)
		_, listErr := d.List(ctx, block.Hash{}, 5)
		_, usageErr := d.Usage(ctx)
		for _, err := range []error{readErr, listErr, usageErr, d.Write(ctx, h, nil), d.Remove(ctx, h)} {
			if !errors.Is(err, block.ErrDisk) {
				return fmt.Errorf("a dead disk answered: %v", err)
			}
		}
		return nil
	})
}

func TestMisdirectedWrite(t *testing.T) {
	m := newMachine(t)
	victim, target := block.Hash{1}, block.Hash{2}
	m.do(write(victim, "victim"))
	m.image.MisdirectNext = 1
	m.do(write(target, "target"))
	if got := string(m.image.Peek(victim)); got != "target" {
		t.Fatalf("the victim holds %q", got)
	}
	if got := string(m.image.Peek(target)); got != "\x00\x00\x00\x00\x00\x00" {
		t.Fatalf("the target holds %q", got)
	}
	m.do(write(target, "again"))
	if got := string(m.image.Peek(target)); got != "again" || m.image.MisdirectNext != 0 {
		t.Fatalf("the next write: %q, %d left", got, m.image.MisdirectNext)
	}
}

// TestNoSyncTears checks that the harness can see what syncs are for: without them acknowledged files are
// lost or torn.
func TestNoSyncTears(t *testing.T) {
	var lost, torn, whole int
	for n := range 40 {
		m := newMachine(t)
		m.seed = uint64(n) * 1000
		m.image.NoSync = true
		data := make([]byte, 3*PageSize)
		for i := range data {
			data[i] = 'x'
		}
		m.do(func(ctx context.Context, d *Disk) error { return d.Write(ctx, block.Hash{1}, data) })
		m.crash(0, func(ctx context.Context, env rt.Env, _ block.Disk) { _ = env.Sleep(ctx, time.Hour) })
		switch got := m.image.Peek(block.Hash{1}); {
		case got == nil:
			lost++
		case string(got) != string(data):
			torn++
		default:
			whole++
		}
	}
	if lost == 0 || torn == 0 || whole == 0 {
		t.Fatalf("%d lost, %d torn, %d whole", lost, torn, whole)
	}
}

// TestRenameMayRevert checks that a power cut before the folder's sync can leave the old file as well as the
// new.
func TestRenameMayRevert(t *testing.T) {
	found := map[string]int{}
	for seed := range uint64(20) {
		m := newMachine(t)
		m.seed = seed * 1000
		m.do(write(block.Hash{1}, "old"))
		m.image.link(block.Hash{1}, &inode{data: []byte("new"), synced: true})
		m.image.PowerCut(sched.New(sched.Options{Seed: seed}).Rand("power"))
		found[string(m.image.Peek(block.Hash{1}))]++
	}
	if found["old"] == 0 || found["new"] == 0 || len(found) != 2 {
		t.Fatalf("found %v", found)
	}
}

// TestFolderSyncCoversWhatCameBefore checks that a sync does not save a rename that happened while it ran.
func TestFolderSyncCoversWhatCameBefore(t *testing.T) {
	m := NewImage()
	before, after := block.Hash{7, 1}, block.Hash{7, 2}
	m.link(before, &inode{synced: true})
	upTo := m.changes
	m.link(after, &inode{synced: true})
	m.link(before, nil)
	m.syncFolder(7, upTo)
	if f := m.find(before); f.durable == nil || len(f.pending) != 1 {
		t.Fatalf("the earlier rename: %+v", f)
	}
	if f := m.find(after); f.durable != nil || len(f.pending) != 1 {
		t.Fatalf("the later rename: %+v", f)
	}
	m.syncFolder(7, m.changes)
	if m.find(before) != nil || len(m.dirty[7]) != 0 || m.find(after).durable == nil {
		t.Fatal("the second sync left something")
	}
}

// TestTiming checks that bytes queue up, seeks do not, and a slow disk is slower by its factor.
func TestTiming(t *testing.T) {
	const second = time.Second
	for _, tt := range []struct {
		slow int64
		want time.Duration
	}{{0, 3 * second}, {1, 3 * second}, {5, 15 * second}} {
		image := NewImage()
		s := sched.New(sched.Options{Seed: 1})
		env := s.NewEnv(rt.NodeID{1}, "node")
		var took time.Duration
		env.Go("test", func() {
			d, _ := Open(env, image)
			ctx := env.Background()
			for n := range 2 {
				_ = d.Write(ctx, block.Hash{byte(n)}, make([]byte, 1000))
			}
			image.Slow = tt.slow
			image.Timing = Timing{BytesPerSecond: 1000}
			image.Timing.Seek = between(second/2, second/2+1)
			began := env.Now()
			g := rt.NewGroup(env, ctx)
			for n := range 2 {
				g.Go("read", func(ctx context.Context) error {
					_, err := d.Read(ctx, block.Hash{byte(n)}, nil)
					return err
				})
			}
			_ = g.Wait()
			took = env.Now() - began
		})
		if err := s.Run(time.Hour); err != nil {
			t.Fatal(err)
		}
		s.Stop()
		if took != tt.want {
			t.Errorf("slow %d: two reads took %v, want %v", tt.slow, took, tt.want)
		}
	}
}

func TestOldLifeIsRefused(t *testing.T) {
	m := newMachine(t)
	m.run(func(ctx context.Context, env rt.Env, d block.Disk) {
		if _, err := Open(env, m.image); err != nil {
			t.Error(err)
		}
		if err := d.Write(ctx, block.Hash{1}, nil); !errors.Is(err, block.ErrDisk) {
			t.Errorf("a write of an earlier life: %v", err)
		}
	})
}

// TestSameSeedSameRun crashes concurrent writers twice and compares traces and what is left.
func TestSameSeedSameRun(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		a, b := crashedRun(t, seed), crashedRun(t, seed)
		if a != b {
			rt.Fatalf("two runs of seed %d:\n%s\n%s", seed, a, b)
		}
	})
}

// crashedRun lets five tasks overwrite files of one folder until the power fails, and describes the outcome.
func crashedRun(t *testing.T, seed uint64) string {
	image := NewImage()
	image.Timing = SSD()
	s := sched.New(sched.Options{Seed: seed, Shuffle: true, YieldPerMille: 50})
	defer s.Stop()
	env := s.NewEnv(rt.NodeID{1}, "node")
	d := newDisk(env, image)
	var acked [5]byte
	for i := range acked {
		env.Go("writer", func() {
			for v := byte(1); ; v++ {
				if d.Write(env.Background(), block.Hash{7, byte(i)}, []byte{v}) == nil {
					acked[i] = v
				}
			}
		})
	}
	if err := s.Run(time.Duration(1+seed%20) * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	env.Kill()
	loss := image.PowerCut(s.Rand("power"))
	left := ""
	for i, v := range acked {
		got := image.Peek(block.Hash{7, byte(i)})
		if v > 0 && (len(got) != 1 || got[0] < v || got[0] > v+1) {
			t.Fatalf("file %d: version %d was acknowledged, found %v", i, v, got)
		}
		left += fmt.Sprint(v, got, " ")
	}
	return fmt.Sprintf("%x %v %+v %s", s.Hash(), image.Files(), loss, left)
}

func BenchmarkWriteRead(b *testing.B) {
	s := sched.New(sched.Options{Seed: 1})
	defer s.Stop()
	image := NewImage()
	image.Timing = SSD()
	env := s.NewEnv(rt.NodeID{1}, "node")
	done := false
	env.Go("bench", func() {
		d, _ := Open(env, image)
		data, buf := make([]byte, 4096), make([]byte, 0, 4096)
		for i := range b.N {
			h := block.Hash{byte(i), byte(i >> 8)}
			_ = d.Write(env.Background(), h, data)
			_, _ = d.Read(env.Background(), h, buf)
		}
		done = true
	})
	b.ReportAllocs()
	b.ResetTimer()
	if err := s.RunUntil(1<<62, func() bool { return done }); err != nil {
		b.Fatal(err)
	}
}

// TestInterruptedWrite: the power is cut between rename and sync, so the file is there or not, as the seed
// draws, and never torn; the moment comes once.
func TestInterruptedWrite(t *testing.T) {
	seen := map[bool]int{}
	for seed := range uint64(20) {
		m := newMachine(t)
		h, text := block.Hash{1}, "whole"
		s := sched.New(sched.Options{Seed: seed})
		env := s.NewEnv(rt.NodeID{1}, "node")
		m.image.Interrupt = func() {
			s.After(0, func() { env.Kill(); m.image.PowerCut(s.Rand("power")) })
		}
		env.Go("write", func() {
			d, err := Open(env, m.image)
			if err == nil {
				err = d.Write(env.Background(), h, []byte(text))
			}
			t.Error("the write ended", err)
		})
		if err := s.Run(time.Second); err != nil {
			t.Fatal(err)
		}
		s.Stop()
		got := m.image.Peek(h)
		if got != nil && string(got) != text || m.image.Interrupt != nil {
			t.Errorf("%q is left", got)
		}
		seen[got != nil]++
	}
	if seen[true] == 0 || seen[false] == 0 {
		t.Errorf("the file is there: %v", seen)
	}
}

// TestRestore: a disk that is set back to a copy holds what that held, on the machine that it is in: what was
// wrong with the machine then is not wrong again, and what is wrong now stays.
func TestRestore(t *testing.T) {
	m := newMachine(t)
	old, late := block.Hash{1}, block.Hash{2}
	put := func(h block.Hash) {
		m.do(func(ctx context.Context, d *Disk) error { return d.Write(ctx, h, []byte("data")) })
	}
	put(old)
	used := m.image.Used()
	m.image.Capacity = used
	image := m.image.Copy()
	m.image.Capacity = 0
	put(late)
	m.image.Slow = 7
	m.image.Restore(image)
	if m.image.Peek(old) == nil || m.image.Peek(late) != nil || m.image.Used() != used {
		t.Errorf("it holds %v, in %d bytes, want %v in %d", m.image.Files(), m.image.Used(), old, used)
	}
	if m.image.Capacity != 0 || m.image.Slow != 7 {
		t.Errorf("capacity %d, %d times as slow, want 0 and 7", m.image.Capacity, m.image.Slow)
	}
	put(late)
	if image.Peek(late) != nil {
		t.Error("the copy changes with it")
	}
}
