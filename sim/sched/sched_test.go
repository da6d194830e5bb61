package sched

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"granary/core/rt"
	"granary/core/rt/rttest"
)

func TestConformance(t *testing.T) {
	for seed := range uint64(10) {
		rttest.Run(t, func(t *testing.T, f func(rt.Env)) {
			s := New(Options{Seed: seed, Shuffle: seed%2 == 1, YieldPerMille: int(seed) * 20})
			defer s.Stop()
			env := s.NewEnv(rt.NodeID{1}, "n1")
			done := false
			env.Go("test", func() { f(env); done = true })
			if err := s.RunUntil(time.Hour, func() bool { return done }); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// storm is a run with everything in it: queues, locks, timers, cancellation, kills and restarts.
func storm(opts Options) *Sched {
	s := New(opts)
	world := s.NewEnv(rt.NodeID{}, "world")
	var nodes [3]*Env
	q := rt.NewQueue[int](world, 10)
	boot := func(i int) {
		nodes[i] = s.NewEnv(rt.NodeID{byte(i + 1)}, fmt.Sprintf("n%d", i))
		env := nodes[i]
		lock := env.NewLock()
		for range 4 {
			env.Go("work", func() {
				r := env.Rand("work")
				for n := 0; ; n++ {
					ctx, cancel := env.WithTimeout(env.Background(),
						time.Duration(r.IntN(1000))*time.Microsecond)
					if v, err := q.Get(ctx); err == nil {
						env.Sleep(ctx, time.Duration(v)*time.Microsecond)
					}
					lock.Lock()
					n++
					lock.Unlock()
					cancel()
				}
			})
		}
	}
	for i := range nodes {
		boot(i)
	}
	world.Go("feed", func() {
		r := world.Rand("feed")
		for {
			q.Put(world.Background(), r.IntN(500))
			world.Sleep(world.Background(), time.Duration(r.IntN(200))*time.Microsecond)
		}
	})
	world.Go("fault", func() {
		r := world.Rand("fault")
		for {
			world.Sleep(world.Background(), time.Duration(r.IntN(20))*time.Millisecond)
			i := r.IntN(len(nodes))
			nodes[i].Kill()
			boot(i)
		}
	})
	return s
}

func runStorm(opts Options) (*Sched, error) {
	s := storm(opts)
	defer s.Stop()
	return s, s.Run(200 * time.Millisecond)
}

func TestSameSeedSameHash(t *testing.T) {
	hashes := map[uint64]bool{}
	for seed := range uint64(20) {
		opts := Options{Seed: seed, Shuffle: true, YieldPerMille: 100}
		a, errA := runStorm(opts)
		b, errB := runStorm(opts)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if a.Hash() != b.Hash() {
			t.Errorf("seed %d: %s", seed, divergence(opts, a, b))
		}
		hashes[a.Hash()] = true
	}
	if len(hashes) != 20 {
		t.Errorf("%d distinct hashes for 20 seeds", len(hashes))
	}
}

// divergence names the first event in which two runs of one seed differ.
func divergence(opts Options, a, b *Sched) string {
	i := 0
	for i < len(a.Checkpoints()) && i < len(b.Checkpoints()) && a.Checkpoints()[i] == b.Checkpoints()[i] {
		i++
	}
	opts.Window = [2]uint64{uint64(i) * CheckpointEvery, uint64(i+1) * CheckpointEvery}
	x, _ := runStorm(opts)
	y, _ := runStorm(opts)
	return FirstDifference(x.Events(), y.Events())
}

const childVar = "GRANARY_SCHED_CHILD"

// TestTwoProcesses runs one seed in processes with different GOMAXPROCS and GOGC, whose map seeds and
// addresses differ by themselves.
func TestTwoProcesses(t *testing.T) {
	if os.Getenv(childVar) != "" {
		s, err := runStorm(Options{Seed: 42, Shuffle: true, YieldPerMille: 50})
		fmt.Printf("hash %016x events %d %v\n", s.Hash(), s.EventCount(), err)
		return
	}
	var outs []string
	for _, e := range [][]string{{"GOMAXPROCS=1", "GOGC=off"}, {"GOMAXPROCS=2", "GOGC=10"}} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestTwoProcesses$", "-test.v")
		cmd.Env = append(append(os.Environ(), childVar+"=1"), e...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, line := range strings.Split(string(out), "\n") {
			if strings.HasPrefix(line, "hash ") {
				outs = append(outs, line)
			}
		}
	}
	if len(outs) != 2 || outs[0] != outs[1] || !strings.HasSuffix(outs[0], "<nil>") {
		t.Errorf("the processes disagree: %q", outs)
	}
}

// TestCanary plants map iteration, and wants the hash to notice.
func TestCanary(t *testing.T) {
	run := func() uint64 {
		s := New(Options{Seed: 1})
		defer s.Stop()
		env := s.NewEnv(rt.NodeID{1}, "n")
		env.Go("canary", func() {
			m := map[int]bool{}
			for i := range 100 {
				m[i] = true
			}
			for i := range m {
				s.Fold("visit", uint64(i))
			}
		})
		s.Run(time.Second)
		return s.Hash()
	}
	first := run()
	for range 20 {
		if run() != first {
			return
		}
	}
	t.Error("21 runs over a map gave one hash: the trace hash sees nothing")
}

func TestKillRunsNothingElse(t *testing.T) {
	s := New(Options{Seed: 1})
	defer s.Stop()
	world := s.NewEnv(rt.NodeID{}, "world")
	env := s.NewEnv(rt.NodeID{1}, "n")
	leaked, deferred, swallowed := false, 0, false
	remote := world.NewWaiter()
	env.Go("zombie", func() {
		defer func() { deferred++ }()
		defer func() {
			recover()
			deferred++
			remote.Unpark()
			leaked = true
		}()
		for {
			func() {
				defer func() { swallowed = recover() != nil }()
				env.NewWaiter().Park(env.Background())
			}()
		}
	})
	var woke error
	world.Go("watch", func() { woke = remote.ParkFor(world.Background(), time.Second) })
	s.After(time.Millisecond, env.Kill)
	if err := s.Run(2 * time.Second); err != nil {
		t.Fatal(err)
	}
	if leaked || swallowed || deferred != 2 {
		t.Errorf("leaked %v, swallowed %v, deferred %d; want false, false, 2", leaked, swallowed, deferred)
	}
	if !errors.Is(woke, rt.ErrTimeout) {
		t.Errorf("a dead node unparked another: %v", woke)
	}
}

func TestKillOfSelf(t *testing.T) {
	s := New(Options{Seed: 1})
	defer s.Stop()
	env := s.NewEnv(rt.NodeID{1}, "n")
	after := false
	env.Go("suicide", func() { env.Kill(); after = true })
	if err := s.Run(time.Second); err != nil || after || !env.Dead() {
		t.Errorf("err %v, went on %v, dead %v", err, after, env.Dead())
	}
}

func TestRulesPanic(t *testing.T) {
	tests := []struct {
		name string
		f    func(env *Env)
		want string
	}{
		{"lock across a wait", func(env *Env) {
			l := env.NewLock()
			l.Lock()
			env.Sleep(env.Background(), 1)
		}, "waits while it holds a lock"},
		{"lock twice", func(env *Env) {
			l := env.NewLock()
			l.Lock()
			l.Lock()
		}, "lock taken twice"},
		{"never waits", func(env *Env) {
			for {
				env.Now()
			}
		}, "without waiting"},
		{"always", func(env *Env) { env.Always(false, "water is dry") }, "water is dry"},
		{"panic", func(*Env) { panic("boom") }, "boom"},
		{"stall", func(env *Env) { env.NewWaiter().Park(rt.Forever) }, "every task waits"},
	}
	for _, tt := range tests {
		s := New(Options{Seed: 1, StepsMax: 1000})
		env := s.NewEnv(rt.NodeID{1}, "n")
		env.Go("sin", func() { tt.f(env) })
		err := s.RunUntil(time.Minute, func() bool { return false })
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
		s.Stop()
	}
}

func TestCancelOrder(t *testing.T) {
	s := New(Options{Seed: 1})
	defer s.Stop()
	env := s.NewEnv(rt.NodeID{1}, "n")
	var order []int
	top, cancel := env.WithCancel(env.Background())
	for i := range 10 {
		env.Go("child", func() {
			ctx, stop := env.WithCancel(context.WithValue(top, ctxKeyForTest{}, i))
			defer stop()
			env.NewWaiter().Park(ctx)
			order = append(order, i)
		})
	}
	s.After(time.Second, cancel)
	if err := s.Run(2 * time.Second); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(order) != "[0 1 2 3 4 5 6 7 8 9]" {
		t.Errorf("children ended in order %v", order)
	}
}

type ctxKeyForTest struct{}

func BenchmarkSwitch(b *testing.B) {
	s := New(Options{Seed: 1})
	defer s.Stop()
	env := s.NewEnv(rt.NodeID{1}, "n")
	for range 100 {
		env.Go("sleep", func() {
			r := env.Rand("d")
			for {
				env.Sleep(env.Background(), time.Duration(r.IntN(1000))*time.Microsecond)
			}
		})
	}
	b.ReportAllocs()
	n := 0
	s.RunUntil(1<<60, func() bool { n++; return n > b.N })
}

// Work takes the time of a core, waits while all are taken, and takes none without a speed or outside a task.
func TestCharge(t *testing.T) {
	cpu := CPU{Cores: 2}
	cpu.Speed[rt.MD5] = 1 << 20
	s := New(Options{Seed: 1, CPU: cpu})
	defer s.Stop()
	env := s.NewEnv(rt.NodeID{1}, "node")
	env.Charge(rt.MD5, 1<<20)
	var ends []time.Duration
	for range 3 {
		env.Go("work", func() {
			env.Charge(rt.SHA256, 1<<30)
			env.Charge(rt.MD5, 1<<20)
			ends = append(ends, env.Now())
		})
	}
	if err := s.Run(time.Minute); err != nil {
		t.Fatal(err)
	}
	if want := []time.Duration{time.Second, time.Second, 2 * time.Second}; !slices.Equal(ends, want) {
		t.Errorf("three pieces of work on two cores end at %v, want %v", ends, want)
	}
}

// TestPause: a paused node does nothing, whatever becomes due, while its clock goes on; it goes on in the
// order in which things became due. A kill ends the pause.
func TestPause(t *testing.T) {
	s := New(Options{})
	defer s.Stop()
	env, other := s.NewEnv(rt.NodeID{1}, "n1"), s.NewEnv(rt.NodeID{2}, "n2")
	var log []string
	say := func(e *Env, what string) { log = append(log, fmt.Sprintf("%v %s", e.Now(), what)) }
	waiter := env.NewWaiter()
	env.Go("sleeper", func() { env.Sleep(rt.Forever, 2*time.Second); say(env, "slept") })
	env.Go("waiter", func() {
		err := waiter.ParkFor(rt.Forever, 3*time.Second)
		say(env, fmt.Sprint("parked ", err == rt.ErrTimeout))
	})
	other.Go("other", func() { other.Sleep(rt.Forever, 2*time.Second); say(other, "other slept") })
	pauses := func(on time.Duration, off time.Duration) {
		s.After(on, env.Pause)
		s.After(on, env.Pause) // once is enough
		s.After(off, env.Resume)
	}
	pauses(time.Second, 10*time.Second)
	s.After(5*time.Second, func() { env.Go("new", func() { say(env, "new") }) })
	if err := s.Run(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	want := []string{"2s other slept", "10s slept", "10s parked true", "10s new"}
	if !slices.Equal(log, want) {
		t.Errorf("%q, want %q", log, want)
	}
	env.Pause()
	env.Go("never", func() { t.Error("a task of a killed node ran") })
	env.Kill()
	env.Resume()
	if err := s.Run(time.Second); err != nil || env.Paused() {
		t.Error(err, env.Paused())
	}
}

// TestRestartsShiftNoStreams: what a node draws does not depend on how often others were started.
func TestRestartsShiftNoStreams(t *testing.T) {
	first := func(restarts int) uint64 {
		s := New(Options{Seed: 3})
		defer s.Stop()
		for range restarts {
			s.NewEnv(rt.NodeID{1}, "n1").Kill()
		}
		return s.NewEnv(rt.NodeID{2}, "n2").Rand("x").Uint64()
	}
	if first(0) != first(5) {
		t.Error("the streams of n2 depend on the restarts of n1")
	}
}
