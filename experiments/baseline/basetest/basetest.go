// Package basetest is what every baseline must pass: its histories are linearizable under faults, its mutants
// are caught, a seed gives one run, and its operations take the rounds that they are said to take.
package basetest

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"granary/experiments/baseline/linear"
	"granary/experiments/baseline/site"
	"granary/netsim"
	"granary/sim/sched"
)

// Preset returns a topology.
func Preset(t *testing.T, name string) netsim.Topology {
	t.Helper()
	topology, err := netsim.Preset(name)
	if err != nil {
		t.Fatal(err)
	}
	return topology
}

// Start starts a world without jitter, in which time counts rounds, and stops it with the test.
func Start(t *testing.T, open site.Open, mutants ...string) *site.World {
	t.Helper()
	w, err := site.New(sched.Options{Seed: 1, Mutants: mutants}, Preset(t, "3dc-100ms-flat"), open)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Sched.Stop)
	return w
}

// plan is a run with all faults.
func plan(t *testing.T) linear.Plan {
	return linear.Plan{Topology: Preset(t, "3dc-100ms"), Clients: 5, Requests: 40, Keys: 3,
		Limit: 5 * time.Second, Crashes: true, Cuts: true}
}

// Linearizable runs that many seeds of the plan with faults, and one without; there every request must be
// answered, and in a run with faults most.
func Linearizable(t *testing.T, open site.Open, seeds uint64) {
	t.Helper()
	for seed := range seeds {
		p := plan(t)
		p.Crashes, p.Cuts = seed != 0, seed != 0
		r := run(t, seed, p, open)
		if bad := linear.Judge(r.History); bad != nil {
			t.Errorf("seed %d: not linearizable: %q", seed, bad)
		}
		if seed == 0 && r.Failed > 0 || seed > 0 && (r.Faults == 0 || r.Answered < 2*r.Failed) {
			t.Errorf("seed %d: %d faults, %d answers, %d failures", seed, r.Faults, r.Answered, r.Failed)
		}
	}
}

// Caught runs the plan with a mutant until a history is not linearizable. None of that many seeds is an
// error.
func Caught(t *testing.T, open site.Open, mutant string, seeds uint64) {
	t.Helper()
	for seed := range seeds {
		if linear.Judge(run(t, seed, plan(t), open, mutant).History) != nil {
			return
		}
	}
	t.Errorf("mutant %q: not caught in %d runs", mutant, seeds)
}

// OneRun runs a seed twice and another once.
func OneRun(t *testing.T, open site.Open) {
	t.Helper()
	p := plan(t)
	a, b, other := run(t, 7, p, open), run(t, 7, p, open), run(t, 8, p, open)
	if !reflect.DeepEqual(a, b) {
		t.Errorf("two runs of a seed differ:\n%+v\n%+v", a, b)
	}
	if a.Hash == other.Hash {
		t.Error("another seed gives the same run")
	}
}

func run(t *testing.T, seed uint64, p linear.Plan, open site.Open, mutants ...string) *linear.Result {
	t.Helper()
	r, err := linear.Run(sched.Options{Seed: seed, Mutants: mutants}, p, open)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	return r
}

// Rounds is how many round trips each request takes.
type Rounds struct{ Buckets, List, Get, Put, Remove int }

// WantRounds measures the requests of a client at a site, when connections are open and a leader is chosen. A
// request that takes a millisecond more than its rounds, or less, is an error.
func WantRounds(t *testing.T, open site.Open, at int, want Rounds) {
	t.Helper()
	w := Start(t, open)
	key, value := "key", []byte("value")
	measured := false
	took := func(what string, rounds int, f func(ctx context.Context, s site.Store) error) {
		start := w.Sched.Now()
		if err := w.On(at, site.Deadline, f); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		off := w.Sched.Now() - start - time.Duration(rounds)*100*time.Millisecond
		if measured && off.Abs() > time.Millisecond {
			t.Errorf("%s of a client at site %d took %v more than %d rounds", what, at, off, rounds)
		}
	}
	same := func(what string, got []byte) {
		if !bytes.Equal(got, value) {
			t.Errorf("%s: got %q, want %q", what, got, value)
		}
	}
	requests := func() {
		for _, key = range []string{site.BucketsKey, "key"} {
			took("Put", want.Put, func(ctx context.Context, s site.Store) error {
				return s.Put(ctx, key, value)
			})
		}
		took("Get", want.Get, func(ctx context.Context, s site.Store) error {
			got, err := s.Get(ctx, key)
			same("Get", got)
			return err
		})
		took("Buckets", want.Buckets, func(ctx context.Context, s site.Store) error {
			got, err := s.Buckets(ctx)
			same("Buckets", got)
			return err
		})
		list := func(keys ...string) {
			took("List", want.List, func(ctx context.Context, s site.Store) error {
				got, err := s.List(ctx)
				if !slices.Equal(got, keys) {
					t.Errorf("the listing has %q, want %q", got, keys)
				}
				return err
			})
		}
		list(key)
		took("Remove", want.Remove, func(ctx context.Context, s site.Store) error {
			return s.Remove(ctx, key)
		})
		list()
	}
	err := w.Do(time.Hour, func(ctx context.Context) error {
		requests() // opens connections
		measured = true
		requests()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
