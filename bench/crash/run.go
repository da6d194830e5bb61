package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"granary/bench/cluster"
)

// Options shape a run.
type Options struct {
	Binary string
	Folder string // an empty folder; what passed is removed from it
	Kills  int
	Most   time.Duration // after so long no further cluster is made; 0: no bound
	Seed   uint64
	Note   func(format string, args ...any) // a line for people
}

// Sums are what a run did.
type Sums struct {
	Kills   int
	Points  map[string]int // of them, by point without its pass; "SIGKILL" too
	Took    time.Duration  // of the kills, judging included
	Refused int64          // operations that failed though their node lived
	Ready   time.Duration  // the longest start
	Stall   time.Duration  // the longest time without a read, or without a write, through any node
}

// roundKills is how many kills one cluster lives through. Then it is judged and a new one made, so that
// neither its disks nor what the ledger remembers grow without bound.
const roundKills = 25

// The pace of a run.
const (
	pace     = 20 * time.Millisecond
	deadMax  = 400 * time.Millisecond
	aliveMin = 300 * time.Millisecond
	aliveMax = 1200 * time.Millisecond
)

// Run kills nodes of clusters of three until it has killed so many, each at a random moment or at a drawn
// Point, and judges every cluster at its end.
//
// Errors: whatever was lost, damaged, or did not come back; the folder of that cluster is kept.
func Run(ctx context.Context, o Options) (Sums, error) {
	sums := Sums{Points: map[string]int{}}
	began := time.Now()
	for round := 0; sums.Kills < o.Kills && (o.Most == 0 || sums.Took < o.Most); round++ {
		folder := filepath.Join(o.Folder, fmt.Sprint("round", round))
		r := rand.New(rand.NewPCG(o.Seed, uint64(round)))
		c, err := cluster.Three(ctx, cluster.Options{Binary: o.Binary, Folder: folder,
			Env: []string{"GRANARY_METADATA_SNAPSHOT_EVERY=2s"}})
		if err != nil {
			return sums, fmt.Errorf("round %d: %w", round, err)
		}
		err = o.round(ctx, c, r, &sums, min(roundKills, o.Kills-sums.Kills))
		sums.Took = time.Since(began)
		if err = errors.Join(err, c.Close()); err != nil {
			return sums, fmt.Errorf("round %d, folder %s: %w", round, folder, err)
		}
		if err := os.RemoveAll(folder); err != nil {
			return sums, err
		}
		o.Note("%d of %d kills in %.0f s, %.1f a minute", sums.Kills, o.Kills, sums.Took.Seconds(),
			float64(sums.Kills)/sums.Took.Minutes())
	}
	return sums, nil
}

// round kills nodes of one cluster and judges it.
func (o Options) round(ctx context.Context, c *cluster.Cluster, r *rand.Rand, sums *Sums, kills int) error {
	l, err := NewLoad(ctx, c, r.Uint64(), pace)
	if err != nil {
		return err
	}
	points := CanDie(c.Nodes[0])
	stop := l.Start(ctx)
	defer stop()
	for range kills {
		d, err := l.Kill(ctx, drawKill(r, points))
		if err != nil {
			return err
		}
		sums.Kills++
		sums.Points[d.Cause]++
		sums.Ready, sums.Stall = max(sums.Ready, d.Ready), max(sums.Stall, d.Reads, d.Writes)
	}
	stop()
	refused, _ := l.Refused()
	sums.Refused += refused
	if err := l.Verify(ctx); err != nil {
		return err
	}
	o.Note("judged: %s", l.Summary())
	return c.Stop(ctx)
}

// drawKill draws a kill: a third by a signal, and some of the others while the node starts.
func drawKill(r *rand.Rand, points bool) Kill {
	k := Kill{Node: r.IntN(3), Dead: time.Duration(r.Int64N(int64(deadMax))),
		Alive: aliveMin + time.Duration(r.Int64N(int64(aliveMax-aliveMin)))}
	switch p := r.IntN(6); {
	case !points || p < 2:
	case p < 5:
		k.Point = draw(r, Points)
	default:
		k.Point, k.AtStart = draw(r, StartPoints), true
	}
	return k
}
