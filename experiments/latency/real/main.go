//go:build linux

// Command real measures what requests take of real granary processes in three sites that are 100 ms apart,
// on a network of namespaces on this machine (netsim/wan). It puts the rows into the experiment's data and
// the table into README.md beside it. It needs root.
//
// Nothing of it stays, however it ends: the network and the nodes are children that die with it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"granary/bench/s3lat"
	"granary/netsim/wan"
)

// run is one run of the command.
type run struct {
	granary, wan string // paths of the binaries
	count        int    // requests of each operation
	restCount    int    // of each operation after a rest
	bigCount     int    // of each operation on the largest objects
	rest         time.Duration
	attempts     int // at a measurement for which the network was not exact
	congestion   string
	queue        time.Duration // longer than this no packet waits for a link: it is dropped
	only         string
	keep         bool
	rows         []s3lat.Row
	inexact      []string // measurements that were left out
	loads        loads
}

func main() {
	if err := realMain(); err != nil {
		fmt.Fprintln(os.Stderr, "real:", err)
		os.Exit(1)
	}
}

func realMain() (err error) {
	r := &run{}
	flag.StringVar(&r.granary, "granary", "bin/granary", "path of the `binary`")
	flag.StringVar(&r.wan, "wan", "bin/wan", "path of the `binary`")
	flag.IntVar(&r.count, "n", 100, "requests of each operation")
	flag.IntVar(&r.restCount, "rest-n", 5, "requests of each operation after a rest")
	flag.IntVar(&r.bigCount, "big-n", 5, "requests of each operation on objects of 64 MiB")
	flag.DurationVar(&r.rest, "rest", 10*time.Second, "before each of those")
	flag.IntVar(&r.attempts, "attempts", 3, "times to measure what the network was not exact enough for")
	flag.StringVar(&r.congestion, "congestion", "",
		"TCP congestion control `name`, which a namespace must be allowed to choose: rows apart")
	flag.DurationVar(&r.queue, "queue", 100*time.Millisecond, "drop what would wait longer for a link")
	flag.StringVar(&r.only, "only", "", "make only the measurements whose names contain this")
	flag.BoolVar(&r.keep, "keep", false, "keep data folders and logs")
	out := flag.String("out", "experiments/latency", "the `folder` of the experiment; empty: only print")
	flag.Parse()
	if err := wan.Check(); err != nil {
		return err
	}
	for _, path := range []*string{&r.granary, &r.wan} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err = r.all(ctx)
	fmt.Print(s3lat.Table(r.rows))
	if *out != "" && len(r.rows) > 0 {
		// What was measured before a failure counts.
		err = errors.Join(err, r.publish(*out))
	}
	if len(r.inexact) > 0 {
		err = errors.Join(err, fmt.Errorf("left out, for the network was not exact because the machine is "+
			"too busy: %s", strings.Join(r.inexact, "; ")))
	}
	return err
}

// all plays every scene, as far as it is wanted.
func (r *run) all(ctx context.Context) error {
	for _, s := range scenes(r) {
		s.measures = slices.DeleteFunc(s.measures, func(m measure) bool {
			return !strings.Contains(s.named(m), r.only)
		})
		if len(s.measures) == 0 {
			continue
		}
		if err := r.play(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// play makes the network and the cluster of a scene, measures, and removes both.
func (r *run) play(ctx context.Context, s scene) (err error) {
	folder, err := os.MkdirTemp("", "granary-latency-")
	if err != nil {
		return err
	}
	defer func() {
		if r.keep {
			fmt.Println("kept:", folder)
			return
		}
		err = errors.Join(err, os.RemoveAll(folder))
	}()
	w, err := r.build(ctx, s, folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	for _, m := range s.measures {
		if err := r.measure(ctx, w, m); err != nil {
			return err
		}
	}
	return nil
}
