package quorum

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"granary/core/rt"
	"granary/sim/sched"
)

// inSim runs f as a task of a simulated node that has an engine, and holds it to leave no task behind.
func inSim(t *testing.T, seed uint64, f func(env *sched.Env, e *Engine)) {
	t.Helper()
	s := sched.New(sched.Options{Seed: seed, Shuffle: seed%2 == 1, YieldPerMille: int(seed%3) * 100})
	defer s.Stop()
	env := s.NewEnv(node(0), "a")
	group := rt.NewGroup(env, env.Background())
	e := New(env, group)
	done := false
	env.Go("test", func() { f(env, e); done = true })
	if err := s.Run(time.Hour); err != nil {
		t.Fatal(err)
	}
	if !done || group.Live() != 0 || e.Background() != 0 || e.bytes != 0 {
		t.Fatalf("seed %d: done %v, %d calls live, %d in the background with %d bytes\n%s", seed, done,
			group.Live(), e.Background(), e.bytes, s.Waiting())
	}
}

var three = []rt.NodeID{node(0), node(1), node(2)}

// after answers with the node's number, as many milliseconds later as delays says for it.
func after(env *sched.Env, delays map[rt.NodeID]int) func(context.Context, rt.NodeID) (int, error) {
	return func(ctx context.Context, id rt.NodeID) (int, error) {
		err := env.Sleep(ctx, time.Duration(delays[id])*time.Millisecond)
		return int(id[0]) - 1, err
	}
}

func TestRepliesComeInOrderOfArrival(t *testing.T) {
	for seed := range uint64(6) {
		inSim(t, seed, func(env *sched.Env, e *Engine) {
			r := Start(env.Background(), e, three, 0,
				after(env, map[rt.NodeID]int{node(0): 30, node(1): 10, node(2): 20}))
			var got []int
			for r.Outstanding() > 0 {
				reply, err := r.Next(env.Background(), 0)
				if err != nil || reply.Err != nil {
					t.Fatal(err, reply.Err)
				}
				got = append(got, reply.Value)
			}
			if !slices.Equal(got, []int{1, 2, 0}) {
				t.Errorf("seed %d: replies %v", seed, got)
			}
			if _, err := r.Next(env.Background(), 0); !errors.Is(err, ErrAllAnswered) {
				t.Errorf("after the last: %v", err)
			}
			r.Close()
		})
	}
}

func TestMoreAsksOneByOne(t *testing.T) {
	for seed := range uint64(6) {
		inSim(t, seed, func(env *sched.Env, e *Engine) {
			asked := 0
			slow := after(env, map[rt.NodeID]int{node(0): 1000, node(1): 1000, node(2): 5})
			r := Start(env.Background(), e, three, 1, func(ctx context.Context, id rt.NodeID) (int, error) {
				asked++
				return slow(ctx, id)
			})
			for want := 1; want <= 3; want++ {
				_, err := r.Next(env.Background(), 50*time.Millisecond)
				if asked != want {
					t.Fatalf("%d asked, want %d", asked, want)
				}
				if late := want < 3; late != errors.Is(err, rt.ErrTimeout) {
					t.Fatalf("with %d asked: %v", want, err)
				}
				if more := r.More(); more != (want < 3) {
					t.Fatalf("More after %d: %v", want, more)
				}
			}
			if r.Outstanding() != 2 {
				t.Errorf("%d outstanding", r.Outstanding())
			}
			r.Close()
			for range 2 {
				if reply, err := r.Next(env.Background(), 0); err != nil ||
					!errors.Is(reply.Err, context.Canceled) {
					t.Errorf("after Close: %v, %v", reply.Err, err)
				}
			}
		})
	}
}

// TestNextEndsWithItsContext: a caller that gives up leaves the calls alone.
func TestNextEndsWithItsContext(t *testing.T) {
	inSim(t, 0, func(env *sched.Env, e *Engine) {
		r := Start(env.Background(), e, three, 0, after(env,
			map[rt.NodeID]int{node(0): 20, node(1): 20, node(2): 20}))
		ctx, cancel := env.WithTimeout(env.Background(), 10*time.Millisecond)
		defer cancel()
		if _, err := r.Next(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if reply, err := r.Next(env.Background(), 0); err != nil || reply.Err != nil {
			t.Errorf("afterwards: %v, %v", err, reply.Err)
		}
		r.Close()
	})
}

func TestPanicIsAnAnswer(t *testing.T) {
	inSim(t, 0, func(env *sched.Env, e *Engine) {
		r := Start(env.Background(), e, three[:1], 0,
			func(context.Context, rt.NodeID) (int, error) { panic("oops") })
		reply, err := r.Next(env.Background(), 0)
		if p := (*rt.PanicError)(nil); err != nil || !errors.As(reply.Err, &p) {
			t.Errorf("got %v, %v", reply.Err, err)
		}
		r.Detach(1)
	})
}

// TestDetach: what goes on in the background is counted until it ends, and its context lives as long
// (invariant 6).
func TestDetach(t *testing.T) {
	for seed := range uint64(6) {
		inSim(t, seed, func(env *sched.Env, e *Engine) {
			finished, cut := 0, 0
			r := Start(env.Background(), e, three, 0, func(ctx context.Context, id rt.NodeID) (int, error) {
				err := env.Sleep(ctx, time.Duration(id[0])*10*time.Millisecond)
				if finished++; err != nil {
					cut++
				}
				return 0, err
			})
			if _, err := r.Next(env.Background(), 0); err != nil {
				t.Fatal(err)
			}
			r.Detach(100)
			if e.Background() != 2 || e.bytes != 200 {
				t.Errorf("%d calls with %d bytes in the background", e.Background(), e.bytes)
			}
			env.Sleep(rt.Forever, time.Second)
			if finished != 3 || cut != 0 || e.Background() != 0 || r.ctx.Err() == nil {
				t.Errorf("%d finished, %d cut, %d go on, context %v", finished, cut, e.Background(),
					r.ctx.Err())
			}
		})
	}
}

// TestDetachWithinLimits: what would exceed a limit is cancelled instead, all of a round or nothing
// (invariant 6).
func TestDetachWithinLimits(t *testing.T) {
	tests := []struct {
		name     string
		bytes    int64
		detached int // rounds of three that fit
	}{
		{"calls", 0, BackgroundMax / 3},
		{"bytes", BackgroundBytesMax / 30, 10},
		{"one is too much", BackgroundBytesMax, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inSim(t, 0, func(env *sched.Env, e *Engine) {
				rounds, cut := tt.detached+5, 0
				for range rounds {
					r := Start(env.Background(), e, three, 0,
						func(ctx context.Context, _ rt.NodeID) (int, error) {
							err := env.Sleep(ctx, time.Minute)
							if err != nil {
								cut++
							}
							return 0, err
						})
					r.Detach(tt.bytes)
				}
				env.Sleep(rt.Forever, time.Second)
				if e.Background() != 3*tt.detached || cut != 15 {
					t.Errorf("%d in the background, %d cut, want %d and 15", e.Background(), cut,
						3*tt.detached)
				}
			})
		})
	}
}

// TestDrain: every value that was made is either taken or drained, whenever the calls end (invariant 7).
func TestDrain(t *testing.T) {
	for seed := range uint64(24) {
		inSim(t, seed, func(env *sched.Env, e *Engine) {
			made, taken, drained := 0, 0, 0
			r := Start(env.Background(), e, three, 0, func(ctx context.Context, id rt.NodeID) (int, error) {
				wait := time.Duration(int(id[0])*int(seed%4)) * time.Millisecond
				if err := env.Sleep(ctx, wait); err != nil && id != node(2) {
					return 0, err // node 2 does not notice that it was cancelled
				}
				made++
				return 1, nil
			})
			for range seed % 3 {
				if reply, err := r.Next(env.Background(), 5*time.Millisecond); err == nil {
					taken += reply.Value
				}
			}
			r.Close()
			r.Drain(func(v int) { drained += v })
			env.Sleep(rt.Forever, time.Second)
			if made == 0 || made != taken+drained {
				t.Errorf("seed %d: %d made, %d taken, %d drained", seed, made, taken, drained)
			}
		})
	}
}

// TestInTime: answers that are there when the deadline is over do not count, however they are found.
func TestInTime(t *testing.T) {
	inSim(t, 1, func(env *sched.Env, _ *Engine) {
		ctx, cancel := env.WithTimeout(env.Background(), time.Second)
		early := InTime(env, ctx) && InTime(env, env.Background())
		env.Sleep(env.Background(), time.Second)
		late := InTime(env, ctx)
		cancel()
		ended, end := env.WithCancel(env.Background())
		end()
		if !early || late || InTime(env, ended) {
			t.Errorf("in time before the deadline: %v, at it: %v, without one that ended: %v", early, late,
				InTime(env, ended))
		}
	})
}
