package raftlog

import (
	"context"
	"testing"
	"time"

	"granary/experiments/baseline/basetest"
	"granary/experiments/baseline/linear"
	"granary/experiments/baseline/site"
	"granary/sim/sched"
)

func TestLinearizable(t *testing.T) { basetest.Linearizable(t, Open, 20) }

func TestOneRun(t *testing.T) { basetest.OneRun(t, Open) }

func TestMutantsAreCaught(t *testing.T) {
	basetest.Caught(t, Open, "raftlog/local read", 20)
	basetest.Caught(t, Open, "raftlog/apply twice", 60)
}

func TestRounds(t *testing.T) {
	basetest.WantRounds(t, Open, 0, basetest.Rounds{Buckets: 1, List: 1, Get: 1, Put: 1, Remove: 1})
	basetest.WantRounds(t, Open, 1, basetest.Rounds{Buckets: 2, List: 2, Get: 2, Put: 2, Remove: 2})
}

// A leader that is cut off does not know that another one was chosen: its heartbeats tell it. Without them
// its clients read what was overwritten elsewhere.
func TestReadsOfALeaderCutOff(t *testing.T) {
	stale := 0
	for seed := range uint64(60) { // at any phase of the leader's clock
		for _, mutants := range [][]string{nil, {"raftlog/read without index"}} {
			history := cutOff(t, seed, mutants)
			bad := linear.Judge(history) != nil
			if bad && mutants == nil {
				t.Errorf("seed %d: not linearizable", seed)
			}
			if bad && mutants != nil {
				stale++
			}
		}
	}
	if stale == 0 {
		t.Error("reads without an index were never stale")
	}
}

// cutOff isolates the leader for 3 s, while one client writes elsewhere and another one reads at its site.
func cutOff(t *testing.T, seed uint64, mutants []string) []linear.Op {
	w, err := site.New(sched.Options{Seed: seed, Mutants: mutants}, basetest.Preset(t, "3dc-100ms"), Open)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Sched.Stop()
	var log linear.Log
	err = w.Do(time.Hour, func(ctx context.Context) error {
		log.Request(w, 0, site.Deadline, linear.Op{Kind: linear.Put, Key: "k", Value: 1})
		if err := w.Env.Sleep(ctx, time.Duration(seed)*17*time.Millisecond); err != nil {
			return err
		}
		if err := w.Net.Model().Isolate(w.Sites[0].Zone); err != nil {
			return err
		}
		end := w.Sched.Now() + 3*time.Second
		w.Env.Go("writer", func() {
			for value := uint64(2); w.Sched.Now() < end; value++ {
				log.Request(w, 1, 3*time.Second,
					linear.Op{Client: 1, Kind: linear.Put, Key: "k", Value: value})
			}
		})
		for w.Sched.Now() < end {
			log.Request(w, 0, 50*time.Millisecond, linear.Op{Client: 2, Kind: linear.Get, Key: "k"})
			if err := w.Env.Sleep(ctx, time.Millisecond); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return log.History
}

// When the leader dies another one is chosen within the longest time-out and two rounds of votes; what was
// acknowledged is there, and still when all have restarted.
func TestElection(t *testing.T) {
	w := basetest.Start(t, Open)
	var log linear.Log
	err := w.Do(time.Hour, func(ctx context.Context) error {
		log.Request(w, 0, site.Deadline, linear.Op{Kind: linear.Put, Key: "k", Value: 1})
		w.Crash(0)
		start := w.Sched.Now()
		got := log.Request(w, 1, site.Deadline, linear.Op{Kind: linear.Get, Key: "k"})
		waited, most := w.Sched.Now()-start, 2*electionTicks*tick+time.Second
		if got.Value != 1 || waited < electionTicks*tick-tick || waited > most {
			t.Errorf("read %d after %v, want 1 within %v", got.Value, waited, most)
		}
		log.Request(w, 2, site.Deadline, linear.Op{Kind: linear.Put, Key: "k", Value: 2})
		w.Crash(1)
		w.Crash(2)
		for i := range w.Sites {
			w.Boot(i)
		}
		if err := w.Env.Sleep(ctx, time.Second); err != nil {
			return err
		}
		if got := log.Request(w, 0, site.Deadline, linear.Op{Kind: linear.Get, Key: "k"}); got.Value != 2 {
			t.Errorf("after restarts read %d, want 2", got.Value)
		}
		return nil
	})
	if err != nil || log.Failed > 0 {
		t.Errorf("%v, %d requests failed", err, log.Failed)
	}
}
