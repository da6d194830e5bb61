package main

import (
	"context"

	"granary/experiments/baseline/raftlog"
	"granary/experiments/baseline/site"
	"granary/netsim"
	"granary/sim/sched"
)

// openRaftlog starts the log, whose first leader is in the first site.
func openRaftlog(p params, t netsim.Topology) (*store, error) {
	w, err := site.New(sched.Options{Seed: p.seed}, t, raftlog.Open)
	if err != nil {
		return nil, err
	}
	value := make([]byte, p.bytes)
	return &store{
		name: "raft log", sched: w.Sched, env: w.Env, run: w.Do,
		request: func(operation, key string) error {
			return w.On(client, site.Deadline, func(ctx context.Context, s site.Store) error {
				if operation == put {
					return s.Put(ctx, key, value)
				}
				_, err := s.Get(ctx, key)
				return err
			})
		},
		fail:    func() { w.Crash(0) },
		restore: func() { w.Boot(0) },
	}, nil
}
