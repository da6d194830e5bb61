package memkv_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"granary/core/kv"
	"granary/core/kv/kvtest"
	"granary/core/kv/memkv"
	"granary/core/rt"
	"granary/sim/sched"
)

// slow is a commit latency as of a disk: 100 µs to 1.1 ms by the number of writes.
func slow(writes int, _ int64) time.Duration {
	return 100*time.Microsecond + time.Duration(min(writes, 1000))*time.Microsecond
}

// place is a simulated node's image, over several lives of the node.
type place struct {
	sched *sched.Sched
	image *memkv.Image
	lives byte
}

func newPlace(seed uint64) *place {
	opts := sched.Options{Seed: seed, Shuffle: seed%2 == 1, YieldPerMille: int(seed%5) * 30, Buggify: true}
	return &place{sched: sched.New(opts), image: memkv.NewImage()}
}

// life boots the node and runs f as its task until f ends or the node is killed.
func (p *place) life(t kvtest.T, f func(env *sched.Env, s *memkv.Store)) {
	p.lives++
	env := p.sched.NewEnv(rt.NodeID{p.lives}, "node")
	done := false
	env.Go("test", func() {
		f(env, memkv.Open(env, p.image, memkv.Options{Latency: slow}))
		done = true
	})
	if err := p.sched.RunUntil(time.Hour, func() bool { return done || env.Dead() }); err != nil {
		t.Fatalf("%v", err)
	}
	env.Kill()
}

// Do implements kvtest.Harness.
func (p *place) Do(t kvtest.T, f func(env rt.Env, s kv.Store)) {
	p.life(t, func(env *sched.Env, s *memkv.Store) {
		f(env, s)
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

// Crash implements kvtest.Crasher.
func (p *place) Crash(t kvtest.T, f func(env rt.Env, s kv.Store, crash func())) {
	p.life(t, func(env *sched.Env, s *memkv.Store) { f(env, s, env.Kill) })
}

func TestConformance(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			next := seed
			kvtest.Run(t, func(kvtest.T) kvtest.Harness {
				next += 4
				return newPlace(next)
			})
		})
	}
}

func put(ctx context.Context, s kv.Store, key string) error {
	return s.Update(ctx, func(w kv.Writer) error {
		w.Put([]byte(key), nil)
		return nil
	})
}

func keys(r kv.Reader) string {
	var keys []string
	r.Ascend(nil, nil, func(k, _ []byte) bool {
		keys = append(keys, string(k))
		return true
	})
	return strings.Join(keys, " ")
}

// A commit in flight at the crash is found afterwards for some seeds and lost for others.
func TestCommitInFlight(t *testing.T) {
	found := map[string]int{}
	for seed := range uint64(200) {
		p := newPlace(seed)
		p.life(t, func(env *sched.Env, s *memkv.Store) {
			if err := put(env.Background(), s, "answered"); err != nil {
				t.Error(err)
			}
			p.sched.After(50*time.Microsecond, env.Kill)
			put(env.Background(), s, "flying")
			t.Error("a commit was answered before its time")
		})
		if got := keys(p.image.Reader()); got != "answered" {
			t.Errorf("durable before the restart: %q", got)
		}
		p.life(t, func(_ *sched.Env, s *memkv.Store) {
			s.View(func(r kv.Reader) error { found[keys(r)]++; return nil })
		})
	}
	if len(found) != 2 || found["answered"] == 0 || found["answered flying"] == 0 {
		t.Errorf("after 200 crashes: %v", found)
	}
}

// A failed sync fails everything that waits and everything later, and is told once.
func TestSyncFails(t *testing.T) {
	p := newPlace(1)
	broken, told := errors.New("I/O error"), 0
	env := p.sched.NewEnv(rt.NodeID{1}, "node")
	syncs := 0
	s := memkv.Open(env, p.image, memkv.Options{
		Latency: slow,
		Failed:  func(error) { told++ },
		Sync: func() error {
			if syncs++; syncs >= 2 {
				return broken
			}
			return nil
		},
	})
	ended := 0
	env.Go("first", func() {
		if err := put(env.Background(), s, "good"); err != nil {
			t.Error(err)
		}
		for i := range 5 {
			env.Go("later", func() {
				err := put(env.Background(), s, fmt.Sprint("bad", i))
				if !errors.Is(err, kv.ErrFailed) || !errors.Is(err, broken) {
					t.Errorf("update of the failed commit: %v", err)
				}
				ended++
			})
		}
	})
	if err := p.sched.RunUntil(time.Second, func() bool { return ended == 5 }); err != nil {
		t.Fatal(err)
	}
	env.Go("last", func() {
		if err := put(env.Background(), s, "after"); !errors.Is(err, kv.ErrFailed) {
			t.Errorf("update after the failure: %v", err)
		}
		err := s.View(func(kv.Reader) error { t.Error("a view ran"); return nil })
		if !errors.Is(err, kv.ErrFailed) {
			t.Errorf("view after the failure: %v", err)
		}
		if err := s.Close(); !errors.Is(err, kv.ErrFailed) {
			t.Errorf("close after the failure: %v", err)
		}
		ended++
	})
	if err := p.sched.RunUntil(time.Second, func() bool { return ended == 6 }); err != nil {
		t.Fatal(err)
	}
	if told != 1 || keys(p.image.Reader()) != "good" {
		t.Errorf("told %d times, durable %q", told, keys(p.image.Reader()))
	}
}

// What would deadlock in production stops the run.
func TestForbidden(t *testing.T) {
	tests := map[string]func(env *sched.Env, s *memkv.Store){
		"view in update": func(env *sched.Env, s *memkv.Store) {
			s.Update(env.Background(), func(kv.Writer) error {
				return s.View(func(kv.Reader) error { return nil })
			})
		},
		"view in view": func(_ *sched.Env, s *memkv.Store) {
			s.View(func(kv.Reader) error {
				return s.View(func(kv.Reader) error { return nil })
			})
		},
		"update in view": func(env *sched.Env, s *memkv.Store) {
			s.View(func(kv.Reader) error { return put(env.Background(), s, "k") })
		},
		"sleep in view": func(env *sched.Env, s *memkv.Store) {
			s.View(func(kv.Reader) error { return env.Sleep(env.Background(), time.Second) })
		},
		"sleep in update": func(env *sched.Env, s *memkv.Store) {
			s.Update(env.Background(), func(kv.Writer) error {
				return env.Sleep(env.Background(), time.Second)
			})
		},
		"reader kept": func(_ *sched.Env, s *memkv.Store) {
			var kept kv.Reader
			s.View(func(r kv.Reader) error { kept = r; return nil })
			kept.Get([]byte("k"))
		},
		"image opened twice": func(env *sched.Env, s *memkv.Store) {
			image := memkv.NewImage()
			a := memkv.Open(env, image, memkv.Options{})
			memkv.Open(env, image, memkv.Options{})
			put(env.Background(), a, "k")
		},
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPlace(0)
			env := p.sched.NewEnv(rt.NodeID{1}, "node")
			env.Go("test", func() { f(env, memkv.Open(env, p.image, memkv.Options{})) })
			var broken rt.Broken
			if err := p.sched.Run(time.Minute); !errors.As(err, &broken) {
				t.Errorf("the run ended with %v, want rt.Broken", err)
			}
		})
	}
}

// A slice kept past its transaction turns into garbage in some runs.
func TestScribble(t *testing.T) {
	garbage := 0
	for seed := range uint64(40) {
		p := newPlace(seed)
		p.life(t, func(env *sched.Env, s *memkv.Store) {
			put(env.Background(), s, "key")
			for range 20 {
				var kept []byte
				s.View(func(r kv.Reader) error {
					r.Ascend(nil, nil, func(k, _ []byte) bool { kept = k; return false })
					return nil
				})
				if string(kept) != "key" {
					garbage++
				}
			}
		})
	}
	if garbage == 0 {
		t.Error("no kept slice was ever overwritten")
	}
}

func TestImageCopy(t *testing.T) {
	p := newPlace(0)
	var copied *memkv.Image
	p.life(t, func(env *sched.Env, s *memkv.Store) {
		put(env.Background(), s, "a")
		copied = p.image.Copy()
		put(env.Background(), s, "b")
	})
	if got, old := keys(p.image.Reader()), keys(copied.Reader()); got != "a b" || old != "a" {
		t.Errorf("image %q, earlier copy %q", got, old)
	}
}

// The same seed gives the same trace.
func TestDeterminism(t *testing.T) {
	run := func(seed uint64) uint64 {
		p := newPlace(seed)
		p.life(t, func(env *sched.Env, s *memkv.Store) {
			g := rt.NewGroup(env, env.Background())
			for i := range 20 {
				g.Go("put", func(ctx context.Context) error { return put(ctx, s, fmt.Sprint(i)) })
			}
			g.Wait()
		})
		return p.sched.Hash()
	}
	for seed := range uint64(10) {
		if a, b := run(seed), run(seed); a != b {
			t.Errorf("seed %d: %x and %x", seed, a, b)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	p := newPlace(0)
	p.life(b, func(env *sched.Env, s *memkv.Store) {
		g := rt.NewGroup(env, env.Background())
		for i := range 16 {
			g.Go("put", func(ctx context.Context) error {
				for n := i; n < b.N; n += 16 {
					if err := put(ctx, s, fmt.Sprintf("%08x", uint32(n)*2654435761)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		g.Wait()
	})
}

func BenchmarkGet(b *testing.B) {
	p := newPlace(0)
	p.life(b, func(env *sched.Env, s *memkv.Store) {
		s.Update(env.Background(), func(w kv.Writer) error {
			for n := range 100_000 {
				w.Put(fmt.Appendf(nil, "%08x", uint32(n)*2654435761), make([]byte, 100))
			}
			return nil
		})
		b.ResetTimer()
		for n := range b.N {
			s.View(func(r kv.Reader) error {
				r.Get(fmt.Appendf(nil, "%08x", uint32(n%100_000)*2654435761))
				return nil
			})
		}
	})
}

// TestFlipBitWhileCommitting: what rots while a commit is made that does not write it stays so.
func TestFlipBitWhileCommitting(t *testing.T) {
	s := sched.New(sched.Options{Seed: 1})
	defer s.Stop()
	env, image := s.NewEnv(rt.NodeID{1}, "node"), memkv.NewImage()
	done := false
	env.Go("test", func() {
		store := memkv.Open(env, image, memkv.Options{Latency: func(int, int64) time.Duration {
			return time.Second
		}})
		put := func(key string) error {
			return store.Update(env.Background(), func(w kv.Writer) error {
				w.Put([]byte(key), make([]byte, 8))
				return nil
			})
		}
		if err := put("rots"); err != nil {
			t.Error(err)
		}
		env.Go("rot", func() {
			env.Sleep(env.Background(), time.Second/2)
			if !image.FlipBit(rand.New(rand.NewPCG(1, 2)).Uint64) {
				t.Error("there is no row")
			}
		})
		if err := put("other"); err != nil {
			t.Error(err)
		}
		store.View(func(r kv.Reader) error {
			if bytes.Equal(r.Get([]byte("rots")), make([]byte, 8)) {
				t.Error("the commit has undone the rot")
			}
			return nil
		})
		done = true
	})
	if err := s.RunUntil(time.Hour, func() bool { return done }); err != nil {
		t.Fatal(err)
	}
}

// TestFlipBit: the store that has an image open reads a row with one bit turned over, and so does the next.
func TestFlipBit(t *testing.T) {
	s := sched.New(sched.Options{Seed: 1})
	defer s.Stop()
	env, image := s.NewEnv(rt.NodeID{1}, "node"), memkv.NewImage()
	if r := rand.New(rand.NewPCG(1, 2)); image.FlipBit(r.Uint64) {
		t.Error("an empty store has a row")
	}
	done := false
	env.Go("test", func() {
		store := memkv.Open(env, image, memkv.Options{})
		err := store.Update(env.Background(), func(w kv.Writer) error {
			w.Put([]byte("k"), make([]byte, 8))
			return nil
		})
		if err != nil || !image.FlipBit(rand.New(rand.NewPCG(1, 2)).Uint64) {
			t.Error(err)
		}
		for _, reader := range []*memkv.Store{store, memkv.Open(env, image, memkv.Options{})} {
			ones := 0
			reader.View(func(r kv.Reader) error {
				for _, b := range r.Get([]byte("k")) {
					ones += bits.OnesCount8(b)
				}
				return nil
			})
			if ones != 1 {
				t.Errorf("%d bits are different", ones)
			}
		}
		done = true
	})
	if err := s.RunUntil(time.Hour, func() bool { return done }); err != nil {
		t.Fatal(err)
	}
}
