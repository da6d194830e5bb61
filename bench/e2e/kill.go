package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"granary/bench/cluster"
	"granary/bench/crash"
)

// The shape of the kills.
const (
	deadFor  = time.Second
	aliveFor = 2 * time.Second
	// stallMax is how long reads or writes may stand still while one of three nodes is dead or coming back.
	stallMax = 5 * time.Second
	frozen   = 5 * time.Second
	pace     = 5 * time.Millisecond
)

// killStory kills one node of three, again and again, and then freezes one, under load.
func killStory(ctx context.Context, s *scene) {
	s.chapter("Three nodes in three zones, of which one is killed, %d times", s.kills)
	opts := cluster.Options{Binary: s.binary, Folder: filepath.Join(s.folder, "kill")}
	var c *cluster.Cluster
	var l *crash.Load
	if !s.step("three nodes serve", func() (err error) {
		if c, err = cluster.Three(ctx, opts); err == nil {
			l, err = crash.NewLoad(ctx, c, s.seed, pace)
		}
		return err
	}) {
		return
	}
	defer c.Close()
	stop := l.Start(ctx)
	defer stop()
	s.step(fmt.Sprintf("%d kills under load: others serve, granary check finds nothing wrong", s.kills),
		func() error {
			for i := range s.kills {
				if err := killOne(ctx, s, l, i%len(c.Nodes)); err != nil {
					return err
				}
			}
			return nil
		})
	s.step(fmt.Sprintf("a node stands still for %v: the others go on", frozen), func() error {
		return freezeOne(ctx, s, l)
	})
	stop()
	s.note("%s", l.Summary())
	s.step("no operation through a live node failed", func() error {
		if n, first := l.Refused(); n > 0 {
			return fmt.Errorf("%d failed, the first: %w", n, first)
		}
		return nil
	})
	s.step("every object can be read through every node, nothing lost, changed, stale or taken back",
		func() error { return l.Verify(ctx) })
	s.step("SIGTERM ends all three cleanly", func() error { return c.Stop(ctx) })
}

func killOne(ctx context.Context, s *scene, l *crash.Load, node int) error {
	d, err := l.Kill(ctx, crash.Kill{Node: node, Dead: deadFor, Alive: aliveFor})
	if err != nil {
		return err
	}
	s.note("%s killed: checked in %.2f s, ready again %.2f s after its start; longest time without a read"+
		" %.2f s, without a write %.2f s", d.Node, d.Check.Seconds(), d.Ready.Seconds(), d.Reads.Seconds(),
		d.Writes.Seconds())
	if max(d.Reads, d.Writes) > stallMax {
		return fmt.Errorf("no read for %v or no write for %v, want less than %v", d.Reads, d.Writes, stallMax)
	}
	return nil
}

// freezeOne demands that no operation through another node takes as long as a time-out would.
func freezeOne(ctx context.Context, s *scene, l *crash.Load) error {
	before, meanwhile, err := l.Freeze(ctx, 1, frozen)
	if err != nil {
		return err
	}
	s.note("before: %v", before)
	s.note("meanwhile: %v", meanwhile)
	if meanwhile.Max > stallMax {
		return fmt.Errorf("an operation through another node took %v, want less than %v", meanwhile.Max,
			stallMax)
	}
	return nil
}
