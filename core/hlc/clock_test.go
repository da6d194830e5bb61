package hlc_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"granary/core/hlc"
	"granary/core/rt"
	"granary/sim/sched"
)

// inSim runs f as a task of a simulated node whose wall clock starts in 2026.
func inSim(t interface {
	Fatal(...any)
	Helper()
}, seed uint64, f func(env *sched.Env)) {
	t.Helper()
	s := sched.New(sched.Options{Seed: seed})
	defer s.Stop()
	env := s.NewEnv(rt.NodeID{1}, "a")
	done := false
	env.Go("test", func() { f(env); done = true })
	if err := s.Run(1000 * time.Hour); err != nil {
		t.Fatal(err)
	}
	if !done {
		t.Fatal("the test's task waits for ever:\n" + s.Waiting())
	}
}

// store is a durable ceiling.
type store struct {
	ceiling hlc.Stamp
	writes  int
	fail    error
	t       interface{ Errorf(string, ...any) }
}

func (s *store) persist(_ context.Context, ceiling hlc.Stamp) error {
	if s.fail != nil {
		return s.fail
	}
	if ceiling <= s.ceiling {
		s.t.Errorf("ceiling went from %v to %v", s.ceiling, ceiling)
	}
	s.ceiling = ceiling
	s.writes++
	return nil
}

// step is one thing that happens to a clock.
type step struct {
	what string
	by   time.Duration
}

func genSteps() *rapid.Generator[[]step] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		what := rapid.SampledFrom([]string{
			"now", "now", "now", "merge", "jump", "pass", "renew", "fail", "recover", "restart",
		}).Draw(t, "what")
		most := map[string]int64{"merge": 1e11, "jump": 1e14, "pass": 3e10}[what]
		return step{what, time.Duration(rapid.Int64Range(-most, most).Draw(t, "by"))}
	}), 1, 60)
}

// TestMonotone: whatever the wall clock does, however often the node restarts or the store fails, stamps only
// grow, exceed what was merged, and stay below a durable ceiling.
func TestMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		steps := genSteps().Draw(t, "steps")
		inSim(t, 1, func(env *sched.Env) { checkMonotone(t, env, steps) })
	})
}

func checkMonotone(t *rapid.T, env *sched.Env, steps []step) {
	disk := &store{t: t}
	clock := hlc.New(env, 0, disk.persist)
	var last, merged hlc.Stamp
	for i, step := range steps {
		switch step.what {
		case "now":
			before := hlc.At(env.Wall())
			got, err := clock.Now(env.Background())
			switch {
			case err != nil && disk.fail == nil:
				t.Errorf("step %d: Now: %v", i, err)
			case err != nil: // the store failed, nothing was issued
			case got <= last || got <= merged || got < before || got > disk.ceiling:
				t.Errorf("step %d: Now = %v; last %v, merged %v, wall %v, ceiling %v",
					i, got, last, merged, before, disk.ceiling)
			default:
				last = got
			}
		case "merge":
			merged = max(merged, last.Add(step.by)|0xfffe) // so that the counter soon carries
			clock.Merge(merged)
		case "jump":
			env.SetWallOffset(step.by)
		case "pass":
			_ = env.Sleep(env.Background(), max(step.by, 0))
		case "renew":
			_ = clock.Renew(env.Background())
		case "fail":
			disk.fail = errors.New("disk full")
		case "recover":
			disk.fail = nil
		case "restart":
			clock, merged = hlc.New(env, disk.ceiling, disk.persist), 0
		}
	}
}

// TestConcurrent: tasks that meet at the ceiling while the store is slow get distinct stamps by one write.
func TestConcurrent(t *testing.T) {
	for seed := range uint64(20) {
		inSim(t, seed, func(env *sched.Env) {
			disk := &store{t: t}
			busy := false
			slow := func(ctx context.Context, ceiling hlc.Stamp) error {
				if busy {
					t.Error("two writes of the ceiling overlap")
				}
				busy = true
				defer func() { busy = false }()
				if err := env.Sleep(ctx, 5*time.Millisecond); err != nil {
					return err
				}
				return disk.persist(ctx, ceiling)
			}
			clock := hlc.New(env, 0, slow)
			seen := map[hlc.Stamp]bool{}
			group := rt.NewGroup(env, env.Background())
			for range 50 {
				group.Go("now", func(ctx context.Context) error {
					s, err := clock.Now(ctx)
					if err != nil || seen[s] {
						t.Errorf("Now = %v, %v; seen %v", s, err, seen[s])
					}
					seen[s] = true
					return nil
				})
			}
			if err := group.Wait(); err != nil {
				t.Error(err)
			}
			if disk.writes != 1 {
				t.Errorf("%d writes of the ceiling, want 1", disk.writes)
			}
		})
	}
}

// TestRenewKeepsNowFast: with Renew running, Now never waits for the store, for an hour.
func TestRenewKeepsNowFast(t *testing.T) {
	inSim(t, 3, func(env *sched.Env) {
		disk := &store{t: t}
		renewing := false
		persist := func(ctx context.Context, ceiling hlc.Stamp) error {
			if !renewing {
				t.Error("Now wrote the ceiling")
			}
			return disk.persist(ctx, ceiling)
		}
		clock := hlc.New(env, 0, persist)
		for passed := time.Duration(0); passed < time.Hour; passed += hlc.RenewEvery {
			renewing = true
			if err := clock.Renew(env.Background()); err != nil {
				t.Error(err)
			}
			renewing = false
			for range 3 {
				if _, err := clock.Now(env.Background()); err != nil {
					t.Error(err)
				}
			}
			_ = env.Sleep(env.Background(), hlc.RenewEvery)
		}
		if most := int(2 * time.Hour / hlc.CeilingStep); disk.writes > most {
			t.Errorf("%d writes in an hour, want at most %d", disk.writes, most)
		}
	})
}

func TestErrors(t *testing.T) {
	inSim(t, 1, func(env *sched.Env) {
		full := errors.New("disk full")
		disk := &store{t: t, fail: full}
		clock := hlc.New(env, 0, disk.persist)
		s, err := clock.Now(env.Background())
		if !errors.Is(err, full) || !strings.Contains(err.Error(), "store ceiling") {
			t.Errorf("Now = %v, %v; want the store's error", s, err)
		}
		disk.fail = nil
		clock.Merge(hlc.StampMax - 1)
		if s, err := clock.Now(env.Background()); s != hlc.StampMax || err != nil {
			t.Errorf("Now = %v, %v; want the last stamp", s, err)
		}
		for range 2 {
			if s, err := clock.Now(env.Background()); !errors.Is(err, hlc.ErrExhausted) {
				t.Errorf("Now = %v, %v; want ErrExhausted", s, err)
			}
			clock.Merge(math.MaxUint64)
			_ = clock.Renew(env.Background())
		}
	})
}

// TestHear: a stamp within the cap of the wall clock, or of what is known, moves the clock; one beyond does
// not.
func TestHear(t *testing.T) {
	inSim(t, 1, func(env *sched.Env) {
		st := &store{t: t}
		clock := hlc.New(env, 0, st.persist)
		wall := hlc.At(env.Wall())
		for _, tt := range []struct{ stamp, want hlc.Stamp }{
			{wall.Add(-time.Hour), wall.Add(-time.Hour)},
			{wall.Add(hlc.SkewMax + time.Second), wall.Add(-time.Hour)},
			{wall.Add(hlc.SkewMax), wall.Add(hlc.SkewMax)},
			{wall, wall.Add(hlc.SkewMax)},
			{wall.Add(2 * hlc.SkewMax), wall.Add(2 * hlc.SkewMax)},
			{math.MaxUint64, wall.Add(2 * hlc.SkewMax)},
		} {
			if clock.Hear(tt.stamp); clock.Last() != tt.want {
				t.Errorf("after %v: %v, want %v", tt.stamp, clock.Last(), tt.want)
			}
		}
	})
}

// TestAfter: the stamp exceeds the head; only a head within the cap moves what comes later.
func TestAfter(t *testing.T) {
	inSim(t, 1, func(env *sched.Env) {
		st := &store{t: t}
		clock := hlc.New(env, 0, st.persist)
		for _, ahead := range []time.Duration{-time.Hour, 0, hlc.SkewMax / 2, 24 * time.Hour} {
			head := hlc.At(env.Wall()).Add(ahead)
			stamp, err := clock.After(env.Background(), head)
			if err != nil || stamp <= head {
				t.Errorf("after %v: %v, %v", head, stamp, err)
			}
			next, err := clock.Now(env.Background())
			if far := ahead > hlc.SkewMax; err != nil || (next > head) == far {
				t.Errorf("after a head %v ahead: %v, %v", ahead, next, err)
			}
		}
		for _, head := range []hlc.Stamp{hlc.StampMax, math.MaxUint64} {
			if s, err := clock.After(env.Background(), head); !errors.Is(err, hlc.ErrExhausted) {
				t.Errorf("after %v: %v, %v", head, s, err)
			}
		}
	})
}

// TestCorrect: stamps follow the corrected wall clock, and never go back.
func TestCorrect(t *testing.T) {
	inSim(t, 1, func(env *sched.Env) {
		st := &store{t: t}
		clock := hlc.New(env, 0, st.persist)
		last := hlc.Stamp(0)
		for _, d := range []time.Duration{-time.Hour, 0, time.Hour, -time.Hour, 2 * time.Hour, 0} {
			clock.Correct(d)
			if got, want := clock.Wall(), hlc.At(env.Wall().Add(d)); got != want {
				t.Errorf("corrected by %v: %v, want %v", d, got, want)
			}
			stamp, err := clock.Now(env.Background())
			if err != nil || stamp <= last || stamp < clock.Wall() {
				t.Errorf("corrected by %v: %v after %v, %v", d, stamp, last, err)
			}
			last = stamp
		}
	})
}
