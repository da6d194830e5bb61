package crash

import (
	"context"
	"fmt"
	"time"
)

// Kill says how a node is killed.
type Kill struct {
	Node int
	// Point is where the node kills itself; the zero Point: it is killed by SIGKILL, at once.
	Point Point
	// AtStart lets it come to the Point while it starts; it is killed by SIGKILL before that.
	AtStart bool
	// Dead is how long it stays down, and Alive how long it lives afterwards before Kill returns.
	Dead, Alive time.Duration
}

// Death is a kill that was done, and what came of it.
type Death struct {
	Node  string
	Cause string        // "SIGKILL", or the point
	Check time.Duration // that granary check took
	Ready time.Duration // from the start of the process until it served
	// Reads and Writes are the longest times from the kill on without a success, through any node.
	Reads, Writes time.Duration
}

// pointWait is how long a node may take to come to a point; it is then killed by SIGKILL.
const pointWait = 5 * time.Second

// Kill kills a node, has granary check find nothing wrong with what it left, and starts it again.
func (l *Load) Kill(ctx context.Context, k Kill) (Death, error) {
	n := l.cluster.Nodes[k.Node]
	d := Death{Node: n.Name, Cause: "SIGKILL"}
	p := newPulse()
	l.pulse.Store(p)
	l.downs.down(k.Node)
	defer l.downs.back()
	if k.Point != (Point{}) && !k.AtStart {
		if err := k.Point.arm(n, true); err != nil {
			return d, err
		}
		if n.WaitEnd(ctx, pointWait) {
			d.Cause = k.Point.String()
		}
	}
	if err := n.Kill(ctx); err != nil {
		return d, err
	}
	if k.Point != (Point{}) && k.AtStart {
		died, err := l.dieStarting(ctx, k)
		if err != nil {
			return d, err
		}
		if died {
			d.Cause = k.Point.String() + ", at the start"
		}
	}
	if err := sleep(ctx, k.Dead); err != nil {
		return d, err
	}
	began := time.Now()
	if out, err := n.Run(ctx, "check", "--blocks"); err != nil {
		return d, fmt.Errorf("after %s of %s: %w\n%s", d.Cause, n.Name, err, out)
	}
	d.Check = time.Since(began)
	var err error
	if d.Ready, err = n.Restart(ctx); err != nil {
		return d, fmt.Errorf("after %s: %w", d.Cause, err)
	}
	l.downs.back()
	err = sleep(ctx, k.Alive)
	d.Reads, d.Writes = p.longest()
	return d, err
}

// dieStarting starts a node that kills itself at a point, if it comes there before it serves.
func (l *Load) dieStarting(ctx context.Context, k Kill) (died bool, err error) {
	n := l.cluster.Nodes[k.Node]
	if err := k.Point.arm(n, false); err != nil {
		return false, err
	}
	if _, err := n.Restart(ctx); err != nil {
		if n.Up() {
			return false, err
		}
		return true, nil
	}
	return false, n.Kill(ctx)
}
