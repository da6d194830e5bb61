package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"granary/experiments/baseline/site"
	"granary/netsim"
	"granary/sim/sched"
)

// The operations that are measured.
const (
	get = "GET"
	put = "PUT"
)

// client is the site of the client, by its place; the first site fails.
const client = 1

// kept is how many objects there are to read.
const kept = 10

// sample is one request.
type sample struct {
	system, operation string
	start, took       time.Duration
	answered          bool // within site.Deadline
}

// store is a system under test, in a world of its own.
type store struct {
	name    string
	sched   *sched.Sched
	env     *sched.Env // of the client
	run     func(limit time.Duration, f func(context.Context) error) error
	request func(operation, key string) error
	fail    func() // the first site
	restore func()
}

// settle is the time from the first objects to the start of the run.
const settle = 10 * time.Second

// measureAll makes a run with each seed, several at a time: each has worlds of its own.
func measureAll(p params) ([][]sample, error) {
	runs := make([][]sample, p.seeds)
	faults := make([]error, p.seeds)
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wait sync.WaitGroup
	for i := range runs {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			q := p
			q.seed += uint64(i)
			runs[i], faults[i] = measure(q)
		})
	}
	wait.Wait()
	return runs, errors.Join(faults...)
}

// measure returns the samples of all systems.
func measure(p params) ([]sample, error) {
	t, err := netsim.Preset(p.topology)
	if err != nil {
		return nil, err
	}
	var samples []sample
	for _, open := range []func(params, netsim.Topology) (*store, error){openGranary, openRaftlog} {
		s, err := open(p, t)
		if err != nil {
			return nil, err
		}
		fresh, err := s.measure(p)
		s.sched.Stop()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		samples = append(samples, fresh...)
	}
	return samples, nil
}

// measure makes the requests of a run, on time whatever becomes of them, and fails and restores the site.
func (s *store) measure(p params) ([]sample, error) {
	var samples []sample
	err := s.run(time.Hour, func(ctx context.Context) error {
		for i := range kept {
			for _, operation := range []string{put, get} { // of both, so that connections are open
				if err := s.request(operation, fmt.Sprintf("kept-%d", i)); err != nil {
					return err
				}
			}
		}
		if err := s.env.Sleep(ctx, settle); err != nil {
			return err
		}
		zero := s.sched.Now()
		s.sched.After(p.fails, s.fail)
		s.sched.After(p.returns, s.restore)
		begin := func(operation, key string) {
			s.env.Go("request", func() {
				x := sample{system: s.name, operation: operation, start: s.sched.Now() - zero}
				err := s.request(operation, key)
				x.took, x.answered = s.sched.Now()-zero-x.start, err == nil
				samples = append(samples, x)
			})
		}
		for i := 0; s.sched.Now()-zero < p.end; i++ {
			begin(get, fmt.Sprintf("kept-%d", i%kept))
			begin(put, fmt.Sprintf("fresh-%d", i))
			if err := s.env.Sleep(ctx, p.every); err != nil {
				return err
			}
		}
		return s.env.Sleep(ctx, site.Deadline+time.Second)
	})
	slices.SortFunc(samples, func(a, b sample) int {
		return cmp.Or(cmp.Compare(a.operation, b.operation), cmp.Compare(a.start, b.start))
	})
	return samples, err
}
