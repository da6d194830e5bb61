package main

import (
	"context"
	"testing"
	"time"

	"granary/bench/s3lat"
	"granary/netsim"
	"granary/sim/stopwatch"
)

const ms = time.Millisecond

func mustOpen(t *testing.T, topology netsim.Topology, gateways ...string) *place {
	t.Helper()
	p, err := open(1, topology, gateways...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.world.Close)
	return p
}

func mustLoad(t *testing.T, name string) netsim.Topology {
	t.Helper()
	topology, err := load(name)
	if err != nil {
		t.Fatal(err)
	}
	return topology
}

// TestBudgetOfSites holds every operation to what its rounds take on three sites with jitter, also on a
// cluster that rested for longer than TCP remembers the speed of a connection.
func TestBudgetOfSites(t *testing.T) {
	p := mustOpen(t, mustLoad(t, "3dc-100ms"))
	quorum, err := s3lat.Bound(p.topology, "a1", 2)
	if err != nil {
		t.Fatal(err)
	}
	round := quorum * 105 / 100
	limits := map[int64]map[s3lat.Operation]time.Duration{
		small: {s3lat.ListBuckets: 3 * ms, s3lat.ListObjects: round, s3lat.GetObject: round,
			s3lat.PutObject: round, s3lat.RemoveObject: round},
		middle: {s3lat.ListBuckets: 3 * ms, s3lat.ListObjects: round, s3lat.RemoveObject: round,
			s3lat.GetFirstByte: quorum * 110 / 100, s3lat.PutLastByte: 125 * ms},
	}
	for _, plan := range plans(s3lat.Whole) {
		rows, err := p.rows(0, plan)
		if err != nil {
			t.Fatal(err)
		}
		held := 0
		for _, r := range rows {
			if most, ok := limits[plan.Size][r.Operation]; ok {
				held++
				if r.Mean > most {
					t.Errorf("%s of %d bytes after %v of rest: %v on the mean, want %v at most", r.Operation,
						r.Size, r.Idle, r.Mean, most)
				}
			}
		}
		if held != len(limits[plan.Size]) {
			t.Errorf("%d operations of %d were measured", held, len(limits[plan.Size]))
		}
	}
}

// TestBudgetOf64MiB holds a large object to 80 % of what one way between two sites carries: when it is put at
// a site that stores, and when it is read through a gateway in a fourth site, where nothing is stored.
func TestBudgetOf64MiB(t *testing.T) {
	for _, jitter := range []time.Duration{0, 10 * ms} {
		topology := mustLoad(t, farTopology)
		topology.Between.Jitter = jitter
		p := mustOpen(t, topology, gateway)
		site, far := p.clients[0], p.clients[len(p.clients)-1]
		for i := range 3 {
			var put, get stopwatch.Lap
			err := p.world.Do(limit, func(ctx context.Context) (err error) {
				if put, err = site.Do("PUT", "/bench/large", large); err != nil {
					return err
				}
				if err = p.world.Env.Sleep(ctx, 10*time.Second); err != nil {
					return err
				}
				if get, err = far.Do("GET", "/bench/large", 0); err != nil {
					return err
				}
				return p.world.Env.Sleep(ctx, 10*time.Second)
			})
			if err != nil {
				t.Fatal(err)
			}
			if get.Bytes != large {
				t.Errorf("%d bytes came back", get.Bytes)
			}
			most := passing(topology.Between.Bandwidth, large) * 10 / 8
			if i > 0 && (put.Total > most || get.Total > most) { // the first opens the lanes
				t.Errorf("jitter %v: PUT took %v, GET %v; want %v at most", jitter, put.Total, get.Total,
					most)
			}
		}
	}
}
