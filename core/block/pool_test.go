package block

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"granary/core/crdt/crdttest"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/sim/sched"
)

// inSim runs f as the only node of a simulation.
func inSim(t testing.TB, f func(ctx context.Context, env *sched.Env)) *sched.Sched {
	t.Helper()
	s := sched.New(sched.Options{Seed: 1, Shuffle: true, YieldPerMille: 50})
	t.Cleanup(s.Stop)
	env, done := s.NewEnv(rt.NodeID{1}, "node"), false
	env.Go("test", func() { f(env.Background(), env); done = true })
	if err := s.RunUntil(time.Hour, func() bool { return done }); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestPoolIsBounded: no more buffers than the limit, waiters get one in turn or are turned away, and at rest
// few are kept (invariants 1 and 2).
func TestPoolIsBounded(t *testing.T) {
	inSim(t, func(ctx context.Context, env *sched.Env) {
		p := newPool(env, "test", 4)
		var held []*Buffer
		for range 4 {
			b, err := p.take(ctx)
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, b)
		}
		if p.tryTake() != nil {
			t.Error("a fifth buffer of four")
		}
		start := env.Now()
		if _, err := p.take(ctx); !errors.Is(err, rpc.ErrOverloaded) || env.Now()-start < bufferWait {
			t.Errorf("after %v: %v", env.Now()-start, err)
		}
		short, cancel := env.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := p.take(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a wait that its context ends: %v", err)
		}
		g := rt.NewGroup(env, ctx)
		got := 0
		for range 8 {
			g.Go("taker", func(ctx context.Context) error {
				b, err := p.take(ctx)
				if err == nil {
					got++
					err = env.Sleep(ctx, time.Second)
					b.Release()
				}
				return err
			})
		}
		for _, b := range held {
			b.Release()
		}
		if err := g.Wait(); err != nil || got != 8 {
			t.Errorf("%d of 8 got a buffer: %v", got, err)
		}
		if len(p.free) > buffersKept || p.used != 0 || p.limit.InUse() != 0 {
			t.Errorf("at rest: %d free, %d used", len(p.free), p.used)
		}
	})
}

// TestReleaseTooOften: a broken count stops the node.
func TestReleaseTooOften(t *testing.T) {
	inSim(t, func(ctx context.Context, env *sched.Env) {
		b, err := newPool(env, "test", 1).take(ctx)
		if err != nil {
			t.Fatal(err)
		}
		b.Retain()
		b.Release()
		b.Release()
		defer func() {
			if _, ok := recover().(rt.Broken); !ok {
				t.Error("released three times, retained once: no panic")
			}
		}()
		b.Release()
	})
}

// TestLaggards: what goes on after an acknowledgement keeps its memory from others for lagMin only, and for
// ever when nobody asks (invariant 3).
func TestLaggards(t *testing.T) {
	inSim(t, func(ctx context.Context, env *sched.Env) {
		p := newPool(env, "test", 2)
		stopped := 0
		lag := func() {
			b, err := p.take(ctx)
			if err != nil {
				t.Fatal(err)
			}
			b.Retain() // of a call that goes on
			b.lag(func() { stopped++; b.Release() })
			b.Release()
		}
		lag()
		lag()
		if err := env.Sleep(ctx, time.Minute); err != nil || stopped != 0 {
			t.Errorf("%d ended without need, %v", stopped, err)
		}
		start := env.Now()
		b, err := p.take(ctx)
		if err != nil || stopped == 0 || env.Now()-start > 2*lagMin {
			t.Fatalf("after %v: %v, %d ended", env.Now()-start, err, stopped)
		}
		b.Release()
		if len(p.lagging) != 0 || p.used != 0 {
			t.Errorf("%d lag, %d used", len(p.lagging), p.used)
		}
	})
}

func TestRefLaws(t *testing.T) {
	crdttest.Laws(t, rapid.Custom(func(t *rapid.T) refRow {
		if rapid.Bool().Draw(t, "zero") {
			return refRow{}
		}
		return refRow{Bucket: [16]byte{1}, Key: []byte("k"), Upload: []byte{2},
			Deleted: rapid.Bool().Draw(t, "deleted")}
	}))
}

// TestForms: content survives its stored form, whatever the form; damage of any bit is noticed, and what it
// decompresses to never exceeds SizeMax.
func TestForms(t *testing.T) {
	random := make([]byte, SizeMax)
	rand.NewChaCha8([32]byte{}).Read(random)
	for _, compress := range []bool{false, true} {
		inSim(t, func(ctx context.Context, env *sched.Env) {
			p, f := newPool(env, "test", 2), newFormer(env, compress)
			for name, data := range map[string][]byte{
				"empty": nil, "byte": {7}, "small": bytes.Repeat([]byte("ab"), 300), "random": random,
				"zeros": make([]byte, SizeMax), "half": append(bytes.Clone(random[:SizeMax/2]),
					make([]byte, SizeMax/2)...),
				"late": append(make([]byte, 100_000), random[:SizeMax-100_000]...),
			} {
				checkForm(ctx, t, p, f, name, data)
			}
			if p.used != 0 {
				t.Errorf("%d buffers in use", p.used)
			}
		})
	}
}

func checkForm(ctx context.Context, t *testing.T, p *pool, f *former, name string, data []byte) {
	t.Helper()
	buf, err := p.take(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer buf.Release()
	h := HashOf(data)
	buf.Data = append(buf.Data, data...)
	stored, err := f.form(ctx, buf)
	if err != nil || len(stored) > len(data)+trailer {
		t.Fatalf("%s: %d bytes stored, %v", name, len(stored), err)
	}
	if f.compress && name == "zeros" && len(stored) > 1000 {
		t.Errorf("%s: %d bytes stored", name, len(stored))
	}
	stored = bytes.Clone(stored)
	if err := f.verify(ctx, stored, h); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	got, err := f.content(ctx, append(buf.mem[:0], stored...), h, buf.mem)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%s: %d bytes came back, %v", name, len(got), err)
	}
	for _, bit := range []int{0, len(stored) * 4, len(stored)*8 - 1, len(stored)*8 - 8} {
		if len(data) == 0 {
			break // of nothing, both forms are the same
		}
		bad := bytes.Clone(stored)
		bad[bit/8] ^= 1 << (bit % 8)
		if err := f.verify(ctx, bad, h); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: bit %d turned over: %v", name, bit, err)
		}
	}
	for _, bad := range [][]byte{nil, stored[:len(stored)-1], make([]byte, SizeMax+2)} {
		if err := f.verify(ctx, bad, h); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %d bytes instead: %v", name, len(bad), err)
		}
	}
}

// TestBomb: a stored block that decompresses to more than a block is damage, found in bounded memory.
func TestBomb(t *testing.T) {
	inSim(t, func(ctx context.Context, env *sched.Env) {
		f := newFormer(env, true)
		e := newEncoder()
		bomb := bytes.Clone(e.encode(make([]byte, 64<<20)))
		frame := e.encode(make([]byte, SizeMax))
		for _, bad := range [][]byte{bomb, bytes.Repeat(frame, 500)} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := f.verify(ctx, append(bad, formZstd), HashOf(nil))
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, ErrCorrupt) || grown > 16<<20 {
				t.Errorf("%d bytes: %v, %d bytes allocated", len(bad), err, grown)
			}
		}
	})
}

// TestReadAll: what a replica sends is bounded by the buffer, to the byte.
func TestReadAll(t *testing.T) {
	for n := range 12 {
		got, err := readAll(make([]byte, 0, 8), bytes.NewReader(make([]byte, n)))
		if n <= 8 && (err != nil || len(got) != n) || n > 8 && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d bytes into 8: %d, %v", n, len(got), err)
		}
	}
}

// BenchmarkForm hashes a block, makes its stored form and verifies it, as every block costs at least.
func BenchmarkForm(b *testing.B) {
	for name, compress := range map[string]bool{"plain": false, "zstd": true} {
		b.Run(name, func(b *testing.B) {
			inSim(b, func(ctx context.Context, env *sched.Env) {
				p, f := newPool(env, "test", 2), newFormer(env, compress)
				b.SetBytes(SizeMax)
				b.ReportAllocs()
				for range b.N {
					buf, err := p.take(ctx)
					if err != nil {
						b.Fatal(err)
					}
					buf.Data = buf.Data[:SizeMax]
					h := HashOf(buf.Data)
					stored, err := f.form(ctx, buf)
					if err == nil {
						err = f.verify(ctx, stored, h)
					}
					if err != nil {
						b.Fatal(err)
					}
					buf.Release()
				}
			})
		})
	}
}
