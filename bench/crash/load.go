package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"

	"granary/bench/cluster"
)

// Load is a set of clients at work on a cluster, each through all its nodes. What a worker does is in
// work.go.
type Load struct {
	cluster *cluster.Cluster
	clients []*minio.Core
	ledger  *ledger
	seed    uint64
	pace    time.Duration
	pulse   atomic.Pointer[pulse]
	downs   downs
	avoid   atomic.Bool  // what is down does not refuse connections: leave it alone
	refused atomic.Int64 // failures through live nodes

	mu    sync.Mutex
	first error
}

const loadBucket = "under-load"

// NewLoad makes a bucket for the load. Every client waits for pace between its operations, which leaves the
// machine some time for the servers.
func NewLoad(ctx context.Context, c *cluster.Cluster, seed uint64, pace time.Duration) (*Load, error) {
	l := &Load{cluster: c, ledger: &ledger{began: time.Now()}, seed: seed, pace: pace, downs: downs{at: -1}}
	for i := range c.Nodes {
		client, err := c.Client(i)
		if err != nil {
			return nil, err
		}
		l.clients = append(l.clients, client)
	}
	l.pulse.Store(newPulse())
	return l, l.clients[0].MakeBucket(ctx, loadBucket, minio.MakeBucketOptions{})
}

// Start lets the workers begin; stop ends them and waits.
func (l *Load) Start(ctx context.Context) (stop func()) {
	done := make(chan struct{})
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			k := &worker{Load: l, id: w, rand: rand.New(rand.NewPCG(l.seed, uint64(w)))}
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

// refuse notes a failure through a node that lived.
func (l *Load) refuse(err error) {
	l.refused.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		l.first = err
	}
}

// Refused returns how many operations failed though their node had lived, and the first of the failures.
func (l *Load) Refused() (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused.Load(), l.first
}

// Summary says how much was done, in words.
func (l *Load) Summary() string {
	s := l.ledger.sums()
	return fmt.Sprintf("%d operations: %d puts, %d deletes, %d reads, %d listings; %d acknowledged, "+
		"%d failed, %d of unknown outcome", s.ok+s.failed+s.unknown, s.puts, s.deletes, s.gets, s.lists,
		s.ok, s.failed, s.unknown)
}

// Verify reads every key through every node, and then lets the checkers judge all that was seen. The load
// must have stopped.
//
// Errors: what could not be read; what the checkers found.
func (l *Load) Verify(ctx context.Context) error {
	since := l.ledger.tick()
	if err := l.readAll(ctx); err != nil {
		return err
	}
	return l.ledger.judge(since)
}

// readAll reads every key through every node; the ledger judges what was seen.
func (l *Load) readAll(ctx context.Context) error {
	errs := make([]error, len(l.clients))
	var wait sync.WaitGroup
	for i := range l.clients {
		wait.Go(func() {
			k := &worker{Load: l, id: workers + i}
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

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
