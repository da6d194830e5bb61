package baseline

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"granary/bench/s3lat"
	"granary/experiments/baseline/fourround"
	"granary/experiments/baseline/lockstore"
	"granary/experiments/baseline/raftlog"
	"granary/experiments/baseline/site"
	"granary/netsim"
	"granary/sim/sched"
)

// System is a baseline, and where its client stands.
type System struct {
	Name   string
	Open   site.Open
	Client int // the site, by its place in the topology
}

// Systems returns all, in the order of figures. The leader of the log is in the first site.
func Systems() []System {
	return []System{
		{"raftlog, leader's site", raftlog.Open, 0},
		{"raftlog, another site", raftlog.Open, 1},
		{"lockstore", lockstore.Open, 0},
		{"fourround", fourround.Open, 0},
	}
}

// limit bounds the virtual time of a plan.
const limit = 24 * time.Hour

// Measure carries out the plans on each system, each in a world of its own and several at a time, and returns
// the rows in that order: a function of the arguments. The stores do not stream, so no row is of a first or a
// last byte.
func Measure(seed uint64, t netsim.Topology, plans []s3lat.Plan) ([]s3lat.Row, error) {
	systems := Systems()
	rows := make([][]s3lat.Row, len(systems)*len(plans))
	faults := make([]error, len(rows))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wait sync.WaitGroup
	for i := range rows {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			s, p := systems[i/len(plans)], plans[i%len(plans)]
			if rows[i], faults[i] = s.measure(seed, t, p); faults[i] != nil {
				faults[i] = fmt.Errorf("%s, %d bytes: %w", s.Name, p.Size, faults[i])
			}
		})
	}
	wait.Wait()
	return slices.Concat(rows...), errors.Join(faults...)
}

func (s System) measure(seed uint64, t netsim.Topology, p s3lat.Plan) ([]s3lat.Row, error) {
	w, err := site.New(sched.Options{Seed: seed}, t, s.Open)
	if err != nil {
		return nil, err
	}
	defer w.Sched.Stop()
	c := &client{World: w, at: s.Client, value: make([]byte, p.Size)}
	round, err := s3lat.SiteRound(t, w.Sites[s.Client].Name)
	if err != nil {
		return nil, err
	}
	bound, err := s3lat.Bound(t, w.Sites[s.Client].Name, len(w.Sites)/2+1)
	if err != nil {
		return nil, err
	}
	var times s3lat.Times
	err = w.Do(limit, func(ctx context.Context) (err error) {
		err = c.on(func(ctx context.Context, store site.Store) error {
			return store.Put(ctx, site.BucketsKey, []byte("bench"))
		})
		if err == nil {
			times, err = s3lat.Measure(ctx, c, w.Env.Sleep, p)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	delete(times, s3lat.GetFirstByte)
	delete(times, s3lat.PutLastByte)
	like := s3lat.Bar{World: s3lat.Simulated, System: s.Name, Topology: t.Name}
	return times.Rows(like, p, round, bound), nil
}

// client is a s3lat.Store.
type client struct {
	*site.World
	at    int
	value []byte
}

func (c *client) on(f func(context.Context, site.Store) error) error {
	return c.On(c.at, site.Deadline, f)
}

// Do implements s3lat.Store.
func (c *client) Do(_ context.Context, op s3lat.Operation, key string, size int64) (s3lat.Took, error) {
	start := c.Sched.Now()
	err := c.on(func(ctx context.Context, s site.Store) (err error) {
		switch op {
		case s3lat.ListBuckets:
			_, err = s.Buckets(ctx)
		case s3lat.ListObjects:
			_, err = s.List(ctx)
		case s3lat.PutObject:
			err = s.Put(ctx, key, c.value[:size])
		case s3lat.RemoveObject:
			err = s.Remove(ctx, key)
		case s3lat.GetObject:
			var value []byte
			if value, err = s.Get(ctx, key); err == nil && int64(len(value)) != size {
				err = fmt.Errorf("%d bytes of %q, want %d", len(value), key, size)
			}
		default:
			err = fmt.Errorf("operation %q is not a request", op)
		}
		return err
	})
	return s3lat.Took{Whole: c.Sched.Now() - start}, err
}
