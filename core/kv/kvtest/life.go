package kvtest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"granary/core/kv"
	"granary/core/rt"
)

// grouping holds the first commit up, in virtual time by its latency and in real time by a slow update, until
// all others are queued: then there is one commit more.
func grouping(t *testing.T, env rt.Env, s kv.Store) {
	const tasks = 50
	g := rt.NewGroup(env, env.Background())
	put := func(name string, slow func()) {
		g.Go(name, func(ctx context.Context) error {
			return s.Update(ctx, func(w kv.Writer) error {
				slow()
				w.Put([]byte(name), nil)
				return nil
			})
		})
	}
	started, before := env.NewWaiter(), env.Now()
	put("first", func() {
		started.Unpark()
		for i := 0; s.Stats().Queued <= tasks && i < 10_000_000; i++ {
			runtime.Gosched() //det:ok the real runtime has other goroutines
			if i == 10_000 && env.Now() == before {
				return // time is virtual
			}
		}
	})
	if err := started.Park(env.Background()); err != nil {
		t.Error(err)
	}
	for i := range tasks {
		put(fmt.Sprintf("u%02d", i), func() {})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if st := s.Stats(); st.Updates != tasks+1 || st.Commits != 2 {
		t.Errorf("%d updates made %d commits, want %d in 2", st.Updates, st.Commits, tasks+1)
	}
}

func cancelled(t *testing.T, env rt.Env, s kv.Store) {
	ctx, cancel := env.WithCancel(env.Background())
	cancel()
	err := s.Update(ctx, func(w kv.Writer) error {
		w.Put([]byte("cancelled"), nil)
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("update with an ended context: %v", err)
	}
	update(t, env, s, func(w kv.Writer) { w.Put([]byte("next"), nil) })
	view(t, s, func(r kv.Reader) { want(t, "view", dump(r, nil, nil), "next=") })
}

func stats(t *testing.T, env rt.Env, s kv.Store) {
	before := s.Stats()
	for i := range 5 {
		update(t, env, s, func(w kv.Writer) { w.Put([]byte{byte(i)}, make([]byte, 1000)) })
	}
	after := s.Stats()
	if after.Updates-before.Updates != 5 || after.Commits-before.Commits != 5 || after.Queued != 0 {
		t.Errorf("5 updates one after the other: before %+v, after %+v", before, after)
	}
	if after.SizeBytes-after.FreeBytes < 5000 {
		t.Errorf("5,000 bytes stored, stats show %+v", after)
	}
}

func closed(t *testing.T, h Harness) {
	h.Do(t, func(env rt.Env, s kv.Store) {
		update(t, env, s, func(w kv.Writer) { w.Put([]byte("k"), []byte("v")) })
		for range 2 {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		ran := func(kv.Reader) error { t.Error("a function ran after close"); return nil }
		if err := s.View(ran); !errors.Is(err, kv.ErrClosed) {
			t.Errorf("view after close: %v", err)
		}
		err := s.Update(env.Background(), func(w kv.Writer) error { return ran(w) })
		if !errors.Is(err, kv.ErrClosed) {
			t.Errorf("update after close: %v", err)
		}
	})
	h.Do(t, func(env rt.Env, s kv.Store) {
		view(t, s, func(r kv.Reader) { want(t, "reopened", dump(r, nil, nil), "k=v") })
	})
}

func closeDrains(t *testing.T, h Harness) {
	var acked [20]bool
	h.Do(t, func(env rt.Env, s kv.Store) {
		g, lock := rt.NewGroup(env, env.Background()), env.NewLock()
		for i := range acked {
			g.Go("update", func(ctx context.Context) error {
				err := s.Update(ctx, func(w kv.Writer) error {
					w.Put([]byte{byte(i)}, nil)
					return nil
				})
				if err != nil && !errors.Is(err, kv.ErrClosed) {
					t.Errorf("update: %v", err)
				}
				lock.Lock()
				defer lock.Unlock()
				acked[i] = err == nil
				return nil
			})
		}
		env.Sleep(env.Background(), time.Microsecond)
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		g.Wait()
	})
	h.Do(t, func(env rt.Env, s kv.Store) {
		view(t, s, func(r kv.Reader) {
			for i, ok := range acked {
				if got := r.Get([]byte{byte(i)}) != nil; got != ok {
					t.Errorf("update %d: answered %v, stored %v", i, ok, got)
				}
			}
		})
	})
}

// crashes runs updates that number themselves, cuts the power, and looks for a prefix of them that holds all
// answered.
func crashes(t *testing.T, open func(T) Harness) {
	if _, ok := open(t).(Crasher); !ok {
		return
	}
	rapid.Check(t, func(t *rapid.T) {
		h := open(t).(Crasher)
		acked := 0
		for range rapid.IntRange(1, 4).Draw(t, "crashes") {
			tasks := rapid.IntRange(1, 8).Draw(t, "tasks")
			after := time.Duration(rapid.IntRange(1, 20_000).Draw(t, "microseconds")) * time.Microsecond
			numbered(t, h, tasks, after, &acked)
			h.Do(t, func(_ rt.Env, s kv.Store) {
				view(t, s, func(r kv.Reader) { acked = checkPrefix(t, r, acked) })
			})
		}
	})
}

func numbered(t T, h Crasher, tasks int, after time.Duration, acked *int) {
	h.Crash(t, func(env rt.Env, s kv.Store, crash func()) {
		g := rt.NewGroup(env, env.Background())
		for range tasks {
			g.Go("write", func(ctx context.Context) error {
				for {
					var n int
					err := s.Update(ctx, func(w kv.Writer) error {
						n = number(w.Get([]byte("n"))) + 1
						w.Put([]byte("n"), fmt.Appendf(nil, "%d", n))
						w.Put(fmt.Appendf(nil, "u%06d", n), nil)
						return nil
					})
					if err != nil {
						return err
					}
					*acked = max(*acked, n)
				}
			})
		}
		g.Go("read", func(ctx context.Context) error { // what a view showed is durable, answered or not
			for {
				view(t, s, func(r kv.Reader) { *acked = max(*acked, number(r.Get([]byte("n")))) })
				env.Sleep(ctx, 20*time.Microsecond)
			}
		})
		env.Sleep(env.Background(), after)
		crash()
		t.Errorf("crash returned")
	})
}

func checkPrefix(t T, r kv.Reader, acked int) int {
	n := number(r.Get([]byte("n")))
	if n < acked {
		t.Errorf("update %d was answered, after the crash there are %d", acked, n)
	}
	next := 1
	r.Ascend([]byte("u"), []byte("v"), func(k, _ []byte) bool {
		if string(k) != fmt.Sprintf("u%06d", next) {
			t.Errorf("key %q at place %d", k, next)
			return false
		}
		next++
		return true
	})
	if next != n+1 {
		t.Errorf("%d updates are there, the counter says %d", next-1, n)
	}
	return n
}
