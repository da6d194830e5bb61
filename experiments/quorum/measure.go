package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"granary/core/rpc"
	"granary/core/rt"
	"granary/netsim"
	"granary/sim/check"
	"granary/sim/net"
	"granary/sim/sched"
)

const (
	// quiet is the time between pings of a connection: none falls into a run, for the only thing that could
	// delay a message here is another one.
	quiet = 1000 * time.Hour
	// gap is the time from an acknowledgement to the read: just long enough to order the two.
	gap = time.Microsecond
	// settle is the time between one read and the next write: everything is delivered meanwhile.
	settle = 500 * time.Millisecond
	// key is what the history calls the register.
	key = "register"
)

// result is what one cell measured.
type result struct {
	size        size
	jitter      time.Duration
	stale       int
	write, read span
}

// span is the least, the sum and the greatest of durations.
type span struct{ min, sum, max time.Duration }

func (s *span) add(d time.Duration) {
	if s.sum == 0 && s.max == 0 {
		s.min = d
	}
	s.min, s.sum, s.max = min(s.min, d), s.sum+d, max(s.max, d)
}

// measure runs every cell, several at a time: each is a simulation of its own, so the order does not matter.
func measure(p params) ([]result, error) {
	var cells []result
	for _, q := range p.sizes {
		for _, j := range p.jitters {
			cells = append(cells, result{size: q, jitter: j})
		}
	}
	faults := make([]error, len(cells))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wait sync.WaitGroup
	for i := range cells {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			faults[i] = cells[i].run(p)
		})
	}
	wait.Wait()
	return cells, errors.Join(faults...)
}

// run simulates one cell.
func (c *result) run(p params) error {
	w, err := newWorld(p, c.size, c.jitter)
	if err == nil {
		defer w.sched.Stop()
		err = w.all(p.reads, c)
	}
	if err == nil {
		c.stale, err = judge(&w.history)
	}
	if err != nil {
		return fmt.Errorf("cell W=%d, R=%d, jitter %v: %w", c.size.write, c.size.read, c.jitter, err)
	}
	return nil
}

// world is the sites, and the history of what their clients saw.
type world struct {
	sched   *sched.Sched
	env     *sched.Env // of the experimenter, who sees all sites at once
	nodes   []*node
	history check.History
}

func newWorld(p params, q size, jitter time.Duration) (*world, error) {
	seed := p.seed<<32 | uint64(q.write)<<24 | uint64(q.read)<<16 | uint64(jitter/time.Millisecond)
	s := sched.New(sched.Options{Seed: seed})
	between := netsim.Path{Delay: p.delay, Jitter: jitter}
	topology := netsim.Regular("quorum", p.sites, 1, between, netsim.Path{})
	model, err := netsim.NewModel(topology)
	if err != nil {
		return nil, err
	}
	network, err := net.New(s, model, net.DefaultOptions())
	if err != nil {
		return nil, err
	}
	w := &world{sched: s, env: s.NewEnv(rt.NodeID{}, "experimenter")}
	routes := map[rt.NodeID]string{}
	var ids []rt.NodeID
	for i, site := range topology.Nodes {
		id := identity(i)
		routes[net.PeerOf(id)] = site.Addr()
		ids = append(ids, net.PeerOf(id))
		n, err := newNode(s, network, site.Name, id, routes)
		if err != nil {
			return nil, err
		}
		w.nodes = append(w.nodes, n)
	}
	slices.SortFunc(ids, rt.NodeID.Compare)
	for _, n := range w.nodes {
		n.view = viewOf(ids, q)
	}
	return w, nil
}

func identity(i int) (id rpc.Identity) {
	binary.BigEndian.PutUint64(id.Seed[:], uint64(i+1))
	return id
}

// all makes the trials of a cell, after one more at each site that opens the connections and is not counted.
func (w *world) all(reads int, c *result) error {
	done := false
	var err error
	w.env.Go("trials", func() {
		for i := range len(w.nodes) + reads {
			if err == nil {
				err = w.trial(i, c, i >= len(w.nodes))
			}
		}
		done = true
	})
	runErr := w.sched.RunUntil(quiet, func() bool { return done })
	return errors.Join(runErr, err)
}

// trial is one write at one site and one read at another, begun at once after the acknowledgement. Sites take
// turns in all pairs.
func (w *world) trial(i int, c *result, counts bool) error {
	sites := len(w.nodes)
	writer := w.nodes[i%sites]
	reader := w.nodes[(i+1+i/sites%(sites-1))%sites]
	value := check.ValueID(i + 1)
	wrote, _, err := w.timed(writer, check.Op{Kind: check.Put, Value: value},
		func(ctx context.Context) (check.ValueID, error) { return value, writer.write(ctx, value) })
	if err != nil {
		return err
	}
	ctx := w.env.Background()
	if err := w.env.Sleep(ctx, gap); err != nil {
		return err
	}
	if !counts { // a read would come before the connections stand
		if err := w.env.Sleep(ctx, 10*settle); err != nil {
			return err
		}
	}
	took, op, err := w.timed(reader, check.Op{Kind: check.Get}, reader.read)
	if err != nil {
		return err
	}
	if w.history.Ops[op].Value == 0 {
		return fmt.Errorf("trial %d: the register was read as empty", i)
	}
	if counts {
		c.write.add(wrote)
		c.read.add(took)
	}
	return w.env.Sleep(ctx, settle)
}

// timed runs f as a task of x and records it in the history as op.
func (w *world) timed(x *node, op check.Op, f func(context.Context) (check.ValueID, error),
) (time.Duration, int, error) {
	op.Key, op.Size = key, -1
	start := w.sched.Now()
	i := w.history.Begin(start, op)
	answer := rt.NewFuture[check.ValueID](w.env)
	x.env.Go("client", func() {
		value, err := f(x.env.Background())
		w.history.Ops[i].Value = value
		w.history.End(w.sched.Now(), i, check.OK)
		answer.Set(value, err)
	})
	_, err := answer.Get(w.env.Background())
	return w.sched.Now() - start, i, err
}

// judge returns the number of reads that missed a write which had been acknowledged before they began.
func judge(h *check.History) (int, error) {
	stale := 0
	for _, v := range check.Direct(h) {
		if v.Fault != check.Stale && v.Fault != check.Lost {
			return 0, errors.New(v.String())
		}
		stale++
	}
	return stale, nil
}
