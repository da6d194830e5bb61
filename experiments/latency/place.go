package main

import (
	"context"
	"fmt"
	"time"

	"granary/bench/s3lat"
	"granary/netsim"
	"granary/sim/sched"
	"granary/sim/stopwatch"
	"granary/sim/world"
)

const (
	bucketName = "bench"
	// limit bounds the virtual time of a run.
	limit = 100 * time.Hour
)

// place is a cluster with a bucket, on machines that take time to compute.
type place struct {
	world    *world.World
	topology netsim.Topology
	clients  []*stopwatch.Client // of each machine, in the order of the topology
}

// open builds a place. Close its world.
func open(seed uint64, topology netsim.Topology, gateways ...string) (*place, error) {
	o := world.Default(seed, topology)
	o.Gateways = gateways
	o.Sched.CPU = sched.MeasuredCPU()
	w, err := world.New(o)
	if err != nil {
		return nil, err
	}
	p := &place{world: w, topology: topology}
	if err := w.Form(); err != nil {
		w.Close()
		return nil, err
	}
	key, err := w.MakeBucket(bucketName)
	if err != nil {
		w.Close()
		return nil, err
	}
	for i := range w.Machines {
		p.clients = append(p.clients, stopwatch.NewClient(w, i, key))
	}
	return p, nil
}

// rows measures one plan at a machine.
func (p *place) rows(machine int, plan s3lat.Plan) ([]s3lat.Row, error) {
	node := p.topology.Nodes[machine].Name
	round, err := s3lat.SiteRound(p.topology, node)
	if err != nil {
		return nil, err
	}
	quorum, err := s3lat.Bound(p.topology, node, 2)
	if err != nil {
		return nil, err
	}
	var times s3lat.Times
	err = p.world.Do(limit, func(ctx context.Context) (err error) {
		times, err = s3lat.Measure(ctx, store{p.clients[machine]}, p.world.Env.Sleep, plan)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s at %s, %d bytes: %w", p.topology.Name, node, plan.Size, err)
	}
	like := s3lat.Bar{World: s3lat.Simulated, System: "granary", Topology: p.topology.Name}
	return times.Rows(like, plan, round, quorum), nil
}

// store is a stopwatch's client as s3lat knows them.
type store struct{ client *stopwatch.Client }

// Do implements s3lat.Store.
func (s store) Do(_ context.Context, op s3lat.Operation, key string, size int64) (s3lat.Took, error) {
	object := "/" + bucketName + "/" + key
	switch op {
	case s3lat.ListBuckets:
		return s.took(s.client.Do("GET", "/", 0))
	case s3lat.ListObjects:
		return s.took(s.client.Do("GET", "/"+bucketName+"?list-type=2&prefix="+s3lat.Listed(key), 0))
	case s3lat.RemoveObject:
		return s.took(s.client.Do("DELETE", object, 0))
	case s3lat.PutObject:
		lap, err := s.client.Do("PUT", object, size)
		return s3lat.Took{Whole: lap.Total, Part: lap.Tail}, err
	case s3lat.GetObject:
		lap, err := s.client.Do("GET", object, 0)
		if err == nil && lap.Bytes != size {
			err = fmt.Errorf("%d bytes of %q, want %d", lap.Bytes, key, size)
		}
		return s3lat.Took{Whole: lap.Total, Part: lap.First}, err
	}
	return s3lat.Took{}, fmt.Errorf("operation %q is not a request", op)
}

func (store) took(lap stopwatch.Lap, err error) (s3lat.Took, error) {
	return s3lat.Took{Whole: lap.Total}, err
}
