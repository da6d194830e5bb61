// Package rttest is the suite that every implementation of rt.Env passes, together with the library built on
// it.
package rttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"granary/core/rt"
)

// Harness runs a function as a task of a fresh node and returns when it has ended.
type Harness func(t *testing.T, f func(env rt.Env))

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	tests := []struct {
		name string
		f    func(t *testing.T, env rt.Env)
	}{
		{"waiter keeps one token", waiterToken},
		{"park ends with its context", parkCancelled},
		{"deadline comes from the parent", deadlineInherited},
		{"cancel reaches grandchildren and values survive", cancelTree},
		{"sleep ends early", sleepCancelled},
		{"queue is first in first out and bounded", queueBounded},
		{"queue drains after close", queueClosed},
		{"a cancelled getter passes its item on", queueHandsOn},
		{"semaphore is granted in order and never lost", semaphoreFair},
		{"mutex excludes", mutexExcludes},
		{"future wakes everybody once", futureAll},
		{"group joins, keeps the first error, survives a panic", groupJoins},
		{"each piece of work is done, so many at once", eachDone},
		{"a worker runs again after a panic, until it ends", groupKeeps},
		{"streams are independent", streamsIndependent},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { h(t, func(env rt.Env) { tt.f(t, env) }) })
	}
}

func waiterToken(t *testing.T, env rt.Env) {
	w := env.NewWaiter()
	w.Unpark()
	w.Unpark()
	if err := w.ParkFor(env.Background(), 0); err != nil {
		t.Errorf("token not taken: %v", err)
	}
	if err := w.ParkFor(env.Background(), 0); !errors.Is(err, rt.ErrTimeout) {
		t.Errorf("a second token appeared: %v", err)
	}
	before := env.Now()
	if err := w.ParkFor(rt.Forever, 3*time.Millisecond); !errors.Is(err, rt.ErrTimeout) {
		t.Errorf("ParkFor = %v, want ErrTimeout", err)
	}
	if d := env.Now() - before; d < 3*time.Millisecond {
		t.Errorf("gave up after %v, want at least 3ms", d)
	}
}

func parkCancelled(t *testing.T, env rt.Env) {
	ctx, cancel := env.WithCancel(env.Background())
	w := env.NewWaiter()
	g := rt.NewGroup(env, env.Background())
	g.Go("cancel", func(context.Context) error { cancel(); return nil })
	if err := w.Park(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Park = %v, want Canceled", err)
	}
	if err := w.Park(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Park on an ended context = %v, want Canceled", err)
	}
	g.Wait()
}

func deadlineInherited(t *testing.T, env rt.Env) {
	parent, cancel := env.WithTimeout(env.Background(), 5*time.Millisecond)
	defer cancel()
	child, cancelChild := env.WithTimeout(parent, time.Hour)
	defer cancelChild()
	if d, ok := env.Remaining(child); !ok || d > 5*time.Millisecond {
		t.Errorf("Remaining = %v, %v, want at most the parent's 5ms", d, ok)
	}
	if err := env.NewWaiter().Park(child); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Park = %v, want DeadlineExceeded", err)
	}
	if _, ok := env.Remaining(env.Background()); ok {
		t.Error("the background context has a deadline")
	}
}

type (
	valueKey struct{}
	otherKey struct{}
)

func cancelTree(t *testing.T, env rt.Env) {
	top, cancel := env.WithCancel(context.WithValue(env.Background(), valueKey{}, 7))
	mid, cancelMid := env.WithTimeout(context.WithValue(top, otherKey{}, 1), time.Hour)
	defer cancelMid()
	leaf, cancelLeaf := env.WithCancel(mid)
	defer cancelLeaf()
	if leaf.Value(valueKey{}) != 7 {
		t.Error("value lost on the way down")
	}
	cancel()
	if leaf.Err() == nil || mid.Err() == nil {
		t.Errorf("leaf %v, mid %v: want both ended", leaf.Err(), mid.Err())
	}
	<-leaf.Done() //det:ok the channel of an ended context is closed
}

func sleepCancelled(t *testing.T, env rt.Env) {
	ctx, cancel := env.WithTimeout(env.Background(), time.Millisecond)
	defer cancel()
	if err := env.Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Sleep = %v, want DeadlineExceeded", err)
	}
	if err := env.Sleep(env.Background(), time.Millisecond); err != nil {
		t.Errorf("Sleep = %v", err)
	}
}

func queueBounded(t *testing.T, env rt.Env) {
	q := rt.NewQueue[int](env, 3)
	g := rt.NewGroup(env, env.Background())
	g.Go("put", func(ctx context.Context) error {
		for i := range 100 {
			if err := q.Put(ctx, i); err != nil {
				return err
			}
			if n := q.Len(); n > 3 {
				return fmt.Errorf("%d items in a queue of 3", n)
			}
		}
		return nil
	})
	for i := range 100 {
		got, err := q.Get(env.Background())
		if err != nil || got != i {
			t.Fatalf("Get = %d, %v, want %d", got, err, i)
		}
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := q.GetFor(env.Background(), time.Millisecond); !errors.Is(err, rt.ErrTimeout) {
		t.Errorf("GetFor = %v, want ErrTimeout", err)
	}
}

func queueClosed(t *testing.T, env rt.Env) {
	q := rt.NewQueue[int](env, 2)
	q.TryPut(1)
	q.TryPut(2)
	if q.TryPut(3) {
		t.Error("TryPut above the bound")
	}
	q.Close()
	for want := 1; want <= 2; want++ {
		if got, err := q.Get(env.Background()); err != nil || got != want {
			t.Errorf("Get = %d, %v, want %d", got, err, want)
		}
	}
	if _, err := q.Get(env.Background()); !errors.Is(err, rt.ErrQueueClosed) {
		t.Errorf("Get = %v, want ErrQueueClosed", err)
	}
	if err := q.Put(env.Background(), 1); !errors.Is(err, rt.ErrQueueClosed) {
		t.Errorf("Put = %v, want ErrQueueClosed", err)
	}
}

func queueHandsOn(t *testing.T, env rt.Env) {
	q := rt.NewQueue[int](env, 1000)
	g := rt.NewGroup(env, env.Background())
	got := rt.NewQueue[int](env, 1000)
	const items = 200
	for range 4 {
		g.Go("impatient", func(ctx context.Context) error {
			for got.Len() < items {
				short, cancel := env.WithTimeout(ctx, 50*time.Microsecond)
				if v, err := q.Get(short); err == nil {
					got.TryPut(v)
				}
				cancel()
			}
			return nil
		})
	}
	g.Go("put", func(ctx context.Context) error {
		for i := range items {
			q.TryPut(i)
			if i%7 == 0 {
				env.Sleep(ctx, 40*time.Microsecond)
			}
		}
		return nil
	})
	g.Wait()
	var all []int
	for v, ok := got.TryGet(); ok; v, ok = got.TryGet() {
		all = append(all, v)
	}
	slices.Sort(all)
	if len(slices.Compact(all)) != items {
		t.Errorf("%d of %d items arrived", len(all), items)
	}
}

func semaphoreFair(t *testing.T, env rt.Env) {
	s := rt.NewSemaphore(env, 3)
	g := rt.NewGroup(env, env.Background())
	for i := range 40 {
		g.Go("user", func(ctx context.Context) error {
			short, cancel := env.WithTimeout(ctx, time.Duration(i%5+1)*100*time.Microsecond)
			defer cancel()
			if err := s.Acquire(short, int64(i%4+1)); err != nil {
				return nil
			}
			env.Sleep(ctx, 50*time.Microsecond)
			if n := s.InUse(); n > 3 {
				return fmt.Errorf("%d of 3 units in use", n)
			}
			s.Release(int64(i%4 + 1))
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if s.InUse() != 0 || !s.TryAcquire(3) {
		t.Errorf("%d units were lost", s.InUse())
	}
}

func mutexExcludes(t *testing.T, env rt.Env) {
	m := rt.NewMutex(env)
	g := rt.NewGroup(env, env.Background())
	inside, total := 0, 0
	for range 10 {
		g.Go("user", func(ctx context.Context) error {
			for range 5 {
				if err := m.Lock(ctx); err != nil {
					return err
				}
				inside++
				if inside != 1 {
					return fmt.Errorf("%d inside", inside)
				}
				env.Sleep(ctx, 10*time.Microsecond)
				inside--
				total++
				m.Unlock()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil || total != 50 {
		t.Errorf("total %d, %v", total, err)
	}
}

func futureAll(t *testing.T, env rt.Env) {
	f := rt.NewFuture[string](env)
	g := rt.NewGroup(env, env.Background())
	for range 5 {
		g.Go("reader", func(ctx context.Context) error {
			if v, err := f.Get(ctx); v != "x" || err != nil {
				return fmt.Errorf("future: got %q, %v", v, err)
			}
			return nil
		})
	}
	env.Sleep(env.Background(), time.Millisecond)
	if !f.Set("x", nil) || f.Set("y", nil) || !f.Done() {
		t.Error("the first Set must win, and only it")
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func groupJoins(t *testing.T, env rt.Env) {
	g := rt.NewGroup(env, env.Background())
	first := errors.New("first")
	g.Go("a", func(ctx context.Context) error {
		g.Go("nested", func(ctx context.Context) error { return env.Sleep(ctx, 2*time.Millisecond) })
		return first
	})
	g.Go("b", func(ctx context.Context) error {
		env.Sleep(ctx, time.Millisecond)
		panic("boom")
	})
	if err := g.Wait(); !errors.Is(err, first) {
		t.Errorf("Wait = %v, want the first error", err)
	}
	if g.Live() != 0 {
		t.Errorf("%d tasks live after Wait", g.Live())
	}
	alone := rt.NewGroup(env, env.Background())
	alone.Go("b", func(context.Context) error { panic("boom") })
	var p *rt.PanicError
	if err := alone.Wait(); !errors.As(err, &p) || p.Value != "boom" {
		t.Errorf("Wait = %v, want PanicError boom", err)
	}
}

func eachDone(t *testing.T, env rt.Env) {
	errOdd := errors.New("odd")
	for _, n := range []int{0, 1, 3, 20} {
		var calls, now, most atomic.Int64
		err := rt.Each(env.Background(), env, "piece", 3, n, func(ctx context.Context, i int) error {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			calls.Add(1)
			env.Sleep(ctx, time.Duration(20-i)*50*time.Microsecond)
			if i%2 == 1 {
				return fmt.Errorf("%w: %d", errOdd, i)
			}
			return nil
		})
		if int(calls.Load()) != n || most.Load() > 3 {
			t.Errorf("%d of %d pieces were done, %d at once", calls.Load(), n, most.Load())
		}
		if n < 2 && err != nil || n > 1 && (err == nil || err.Error() != "odd: 1") {
			t.Errorf("%d pieces: %v, want the error of the first odd one", n, err)
		}
	}
	var panicked *rt.PanicError
	err := rt.Each(env.Background(), env, "piece", 2, 2, func(context.Context, int) error { panic("piece") })
	if !errors.As(err, &panicked) {
		t.Errorf("a panic is told as %v", err)
	}
}

func groupKeeps(t *testing.T, env rt.Env) {
	g := rt.NewGroup(env, env.Background())
	runs, done := 0, errors.New("done")
	began := env.Now()
	g.Keep("worker", func(context.Context) error {
		if runs++; runs < 3 {
			panic("boom")
		}
		return done
	})
	if err := g.Wait(); !errors.Is(err, done) || runs != 3 {
		t.Errorf("Wait = %v after %d runs, want its own end after 3", err, runs)
	}
	if d := env.Now() - began; d < 300*time.Millisecond {
		t.Errorf("the pauses are %v together, want 100 ms and 200 ms", d)
	}
	ended := rt.NewGroup(env, env.Background())
	ended.Cancel()
	ended.Keep("worker", func(context.Context) error { panic("boom") })
	if err := ended.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v, want that a group that has ended runs nothing again", err)
	}
}

func streamsIndependent(t *testing.T, env rt.Env) {
	a, b := env.Rand("a").Uint64(), env.Rand("b").Uint64()
	if a == b || env.Rand("a").Uint64() == a {
		t.Error("streams repeat")
	}
	if x, y := env.Secret(32), env.Secret(32); len(x) != 32 || slices.Equal(x, y) {
		t.Error("secrets repeat")
	}
}
