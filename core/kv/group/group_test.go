package group_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"granary/core/kv"
	"granary/core/kv/group"
	"granary/core/kv/overlay"
	"granary/core/rt"
	"granary/sim/sched"
)

// engine counts commits, each of which takes a millisecond, and keeps nothing.
type engine struct {
	env    rt.Env
	sizes  []int // writes of each commit
	fail   error
	panics bool
}

type nothing struct{}

func (nothing) Get([]byte) []byte                             { return nil }
func (nothing) Ascend(_, _ []byte, _ func(_, _ []byte) bool)  {}
func (nothing) Descend(_, _ []byte, _ func(_, _ []byte) bool) {}
func (e *engine) View(f func(kv.Reader) error) error          { return f(nothing{}) }
func (e *engine) Commit(ctx context.Context, w *overlay.Overlay) error {
	e.sizes = append(e.sizes, w.Len())
	if err := e.env.Sleep(ctx, time.Millisecond); err != nil {
		return err
	}
	if e.panics {
		panic("engine")
	}
	return e.fail
}

// run runs f as a task with a committer over a fresh engine.
func run(t *testing.T, f func(env *sched.Env, e *engine, c *group.Committer)) {
	t.Helper()
	s := sched.New(sched.Options{})
	defer s.Stop()
	env := s.NewEnv(rt.NodeID{1}, "node")
	done := false
	env.Go("test", func() {
		e := &engine{env: env}
		f(env, e, group.New(env, e, nil))
		done = true
	})
	if err := s.RunUntil(time.Hour, func() bool { return done }); err != nil {
		t.Fatal(err)
	}
}

// putAll makes n updates of size bytes at once and waits for all.
func putAll(t *testing.T, env rt.Env, c *group.Committer, n, size int) {
	g := rt.NewGroup(env, env.Background())
	for i := range n {
		g.Go("put", func(ctx context.Context) error {
			return c.Update(ctx, func(w kv.Writer) error {
				w.Put([]byte{byte(i >> 8), byte(i)}, make([]byte, size))
				return nil
			})
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	tests := []struct {
		name    string
		n, size int
		most    int // writes in a commit
	}{
		{"updates", 3 * group.UpdatesMax, 0, group.UpdatesMax},
		{"bytes", 30, 1 << 20, 4},
		{"one larger than the limit", 3, group.BytesMax + 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(env *sched.Env, e *engine, c *group.Committer) {
				putAll(t, env, c, tt.n, tt.size)
				sum, most := 0, 0
				for _, n := range e.sizes {
					sum, most = sum+n, max(most, n)
				}
				if sum != tt.n || most != tt.most {
					t.Errorf("commits of %v writes: %d in all, want %d; at most %d, want %d",
						e.sizes, sum, tt.n, most, tt.most)
				}
				want := kv.Stats{Updates: int64(tt.n), Commits: int64(len(e.sizes))}
				if got := c.Stats(); got != want {
					t.Errorf("stats %+v, want %+v", got, want)
				}
			})
		})
	}
}

// The first commit waits for nobody, the second takes all that came meanwhile: two latencies for any number.
func TestLatency(t *testing.T) {
	run(t, func(env *sched.Env, e *engine, c *group.Committer) {
		start := env.Now()
		putAll(t, env, c, 100, 0)
		if d := env.Now() - start; d > 2*time.Millisecond {
			t.Errorf("100 updates took %v in commits of %v", d, e.sizes)
		}
	})
}

// An update whose caller gives up in the queue never runs; one that was started has an unknown outcome.
func TestGivingUp(t *testing.T) {
	run(t, func(env *sched.Env, e *engine, c *group.Committer) {
		ran := map[string]bool{}
		put := func(ctx context.Context, name string) error {
			return c.Update(ctx, func(w kv.Writer) error {
				ran[name] = true
				w.Put([]byte(name), nil)
				return nil
			})
		}
		g := rt.NewGroup(env, env.Background())
		short := func(name string) {
			g.Go(name, func(ctx context.Context) error {
				ctx, cancel := env.WithTimeout(ctx, 100*time.Microsecond)
				defer cancel()
				if err := put(ctx, name); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: %v", name, err)
				}
				return nil
			})
		}
		short("started")
		env.Sleep(env.Background(), 10*time.Microsecond)
		short("queued")
		g.Wait()
		if err := put(env.Background(), "last"); err != nil {
			t.Error(err)
		}
		if !ran["started"] || ran["queued"] || !ran["last"] {
			t.Errorf("ran: %v", ran)
		}
	})
}

// Reads alone cost no commit.
func TestNothingWritten(t *testing.T) {
	run(t, func(env *sched.Env, e *engine, c *group.Committer) {
		err := c.Update(env.Background(), func(w kv.Writer) error { w.Get([]byte("k")); return nil })
		if err != nil || len(e.sizes) != 0 {
			t.Errorf("%v, commits %v", err, e.sizes)
		}
	})
}

func TestCloseAndFailure(t *testing.T) {
	run(t, func(env *sched.Env, e *engine, c *group.Committer) {
		e.fail = errors.New("no sync")
		err := c.Update(env.Background(), func(w kv.Writer) error { w.Put([]byte("k"), nil); return nil })
		if !errors.Is(err, kv.ErrFailed) || !errors.Is(err, e.fail) {
			t.Errorf("update: %v", err)
		}
		if err := c.Close(); !errors.Is(err, kv.ErrFailed) {
			t.Errorf("close: %v", err)
		}
	})
	run(t, func(env *sched.Env, e *engine, c *group.Committer) {
		e.panics = true
		err := c.Update(env.Background(), func(w kv.Writer) error { w.Put([]byte("k"), nil); return nil })
		if !errors.Is(err, kv.ErrFailed) {
			t.Errorf("update in a commit that panics: %v", err)
		}
	})
	run(t, func(env *sched.Env, e *engine, c *group.Committer) {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := c.Err(); !errors.Is(err, kv.ErrClosed) {
			t.Errorf("Err after close: %v", err)
		}
	})
}
