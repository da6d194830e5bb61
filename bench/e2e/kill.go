package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"

	"granary/bench/cluster"
)

// The shape of the kills: how long a node is dead, and how long all live, before the next one.
const (
	deadFor  = 2 * time.Second
	aliveFor = 2 * time.Second
	// stallMax is how long reads or writes may stand still while one of three nodes is dead or coming back.
	stallMax = 5 * time.Second
)

// killStory kills one node of three, again and again, under load.
func killStory(ctx context.Context, s *scene) {
	s.chapter("Three nodes in three zones, of which one is killed, %d times", s.kills)
	opts := cluster.Options{Binary: s.binary, Folder: filepath.Join(s.folder, "kill")}
	var c *cluster.Cluster
	var l *load
	if !s.step("three nodes serve", func() (err error) {
		if c, err = cluster.Three(ctx, opts); err == nil {
			l, err = newLoad(ctx, c, s.seed)
		}
		return err
	}) {
		return
	}
	defer c.Close()
	stop := l.start(ctx)
	var stalls []time.Duration
	s.step(fmt.Sprintf("%d kills under load: reads and writes go on", s.kills), func() error {
		var err error
		for i := 0; i < s.kills && err == nil; i++ {
			var stall time.Duration
			stall, err = l.kill(ctx, s, i%len(c.Nodes))
			stalls = append(stalls, stall)
		}
		return err
	})
	stop()
	sums := l.ledger.sums()
	s.note("%d operations: %d puts, %d deletes, %d reads, %d listings;"+
		" %d acknowledged, %d failed, %d of unknown outcome",
		sums.ok+sums.failed+sums.unknown, sums.puts, sums.deletes, sums.gets, sums.lists,
		sums.ok, sums.failed, sums.unknown)
	s.note("through live nodes %d failed; the longest time without a success was %.2f s", l.refused.Load(),
		longest(stalls).Seconds())
	s.step("no operation through a live node failed", func() error {
		if n := l.refused.Load(); n > 0 {
			return fmt.Errorf("%d failed, the first: %w", n, l.firstRefusal())
		}
		return nil
	})
	since := l.ledger.tick()
	s.step("every object can be read through every node", func() error { return l.readAll(ctx) })
	s.step("the checkers find nothing lost, changed, stale or taken back",
		func() error { return l.ledger.judge(since) })
	s.step("SIGTERM ends all three cleanly", func() error { return c.Stop(ctx) })
}

func longest(all []time.Duration) (d time.Duration) {
	for _, one := range all {
		d = max(d, one)
	}
	return d
}

// load is a set of clients at work. Its workers are in work.go.
type load struct {
	cluster *cluster.Cluster
	clients []*minio.Core
	ledger  *ledger
	seed    uint64
	pulse   atomic.Pointer[pulse]
	dead    atomic.Int64 // index of the node that is down or just came back, -1 for none
	deaths  atomic.Int64
	refused atomic.Int64 // failures through live nodes

	mu    sync.Mutex
	first error
}

const loadBucket = "under-load"

func newLoad(ctx context.Context, c *cluster.Cluster, seed uint64) (*load, error) {
	clients, err := allClients(c)
	if err != nil {
		return nil, err
	}
	l := &load{cluster: c, clients: clients, ledger: &ledger{began: time.Now()}, seed: seed}
	l.dead.Store(-1)
	l.pulse.Store(newPulse())
	return l, clients[0].MakeBucket(ctx, loadBucket, minio.MakeBucketOptions{})
}

// start lets the workers begin; stop ends them and waits.
func (l *load) start(ctx context.Context) (stop func()) {
	done := make(chan struct{})
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			k := &worker{load: l, id: w, rand: rand.New(rand.NewPCG(l.seed, uint64(w)))}
			for {
				select {
				case <-done:
					return
				case <-ctx.Done():
					return
				default:
					k.step(ctx)
				}
			}
		})
	}
	return sync.OnceFunc(func() {
		close(done)
		wait.Wait()
	})
}

// kill kills a node, lets it be dead for a while, starts it again, and returns the longest time in which no
// read or no write succeeded through any node.
func (l *load) kill(ctx context.Context, s *scene, i int) (time.Duration, error) {
	n := l.cluster.Nodes[i]
	p := newPulse()
	l.pulse.Store(p)
	l.deaths.Add(1)
	l.dead.Store(int64(i))
	if err := n.Kill(ctx); err != nil {
		return 0, err
	}
	if err := sleep(ctx, deadFor); err != nil {
		return 0, err
	}
	took, err := n.Restart(ctx)
	if err != nil {
		return 0, err
	}
	l.dead.Store(-1)
	if err := sleep(ctx, aliveFor); err != nil {
		return 0, err
	}
	reads, writes := p.longest()
	s.note("%s killed: ready again %.2f s after its start; longest time without a read %.2f s,"+
		" without a write %.2f s",
		n.Name, took.Seconds(), reads.Seconds(), writes.Seconds())
	if stall := max(reads, writes); stall > stallMax {
		return stall, fmt.Errorf("no read for %v or no write for %v, want less than %v", reads, writes,
			stallMax)
	}
	return max(reads, writes), nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// refuse notes a failure through a node that lived.
func (l *load) refuse(err error) {
	l.refused.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		l.first = err
	}
}

func (l *load) firstRefusal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

// readAll reads every key through every node; the ledger judges what was seen.
func (l *load) readAll(ctx context.Context) error {
	errs := make([]error, len(l.clients))
	var wait sync.WaitGroup
	for i := range l.clients {
		wait.Go(func() {
			k := &worker{load: l, id: workers + i}
			for key := range keys {
				if err := k.get(ctx, i, keyOf(key)); err != nil {
					errs[i] = errors.Join(errs[i],
						fmt.Errorf("%s through %s: %w", keyOf(key), l.cluster.Nodes[i].Name, err))
				}
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}
