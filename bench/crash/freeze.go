package crash

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"granary/bench/cluster"
)

// Latency is how long operations took that succeeded through nodes that answered all the time.
type Latency struct {
	Median, P99, Max time.Duration
	Slowest          string // what took Max
}

// String shows it in milliseconds.
func (l Latency) String() string {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return fmt.Sprintf("median %.1f ms, 99%% within %.0f ms, all within %.0f ms (%s)", ms(l.Median),
		ms(l.P99), ms(l.Max), l.Slowest)
}

// Freeze stops a node by SIGSTOP, so that it is silent and refuses nothing, while clients use the others;
// then it lets the node go on, and waits until it serves. It returns what the others' operations took in as
// long a time before, and meanwhile.
func (l *Load) Freeze(ctx context.Context, node int, d time.Duration) (before, meanwhile Latency, err error) {
	n := l.cluster.Nodes[node]
	l.avoid.Store(true)
	defer l.avoid.Store(false)
	calm := newPulse()
	l.pulse.Store(calm)
	if err := sleep(ctx, d); err != nil {
		return before, meanwhile, err
	}
	frozen := newPulse()
	l.downs.down(node)
	defer l.downs.back()
	l.pulse.Store(frozen)
	if err := n.Signal(syscall.SIGSTOP); err != nil {
		return before, meanwhile, err
	}
	err = sleep(ctx, d)
	before, meanwhile = calm.latency(), frozen.latency()
	if e := n.Signal(syscall.SIGCONT); err == nil {
		err = e
	}
	if err != nil {
		return before, meanwhile, err
	}
	return before, meanwhile, n.WaitReady(ctx)
}

// standFor is how long a node stands still, and slowest what an operation through another may then take: half
// of what a request that waits for the node would.
const (
	standFor = 6 * time.Second
	slowest  = 5 * time.Second
)

// StandStill freezes every node of a cluster in turn, and demands that all operations through the others
// succeed, none of them after a time-out.
func StandStill(ctx context.Context, o Options) error {
	c, err := cluster.Three(ctx, cluster.Options{Binary: o.Binary, Folder: filepath.Join(o.Folder, "frozen")})
	if err != nil {
		return err
	}
	defer c.Close()
	l, err := NewLoad(ctx, c, o.Seed, pace)
	if err != nil {
		return err
	}
	stop := l.Start(ctx)
	defer stop()
	for i, n := range c.Nodes {
		before, meanwhile, err := l.Freeze(ctx, i, standFor)
		if err != nil {
			return err
		}
		o.Note("%s stands still for %v: before, %v; meanwhile, %v", n.Name, standFor, before, meanwhile)
		if meanwhile.Max > slowest {
			return fmt.Errorf("an operation through another node took %v, at most %v", meanwhile.Max, slowest)
		}
	}
	stop()
	if n, first := l.Refused(); n > 0 {
		return fmt.Errorf("%d operations through other nodes failed, the first: %w", n, first)
	}
	if err := l.Verify(ctx); err != nil {
		return err
	}
	return c.Stop(ctx)
}
