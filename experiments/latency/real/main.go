//go:build linux

// Command real measures what requests take of real granary processes in three sites that are 100 ms apart,
// on a network of namespaces on this machine (netsim/wan), and puts the rows into the experiment's data. It
// needs root.
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
)

// run is one run of the command.
type run struct {
	granary, wan string // paths of the binaries
	count        int    // requests of each operation
	restCount    int    // of each operation after a rest
	bigCount     int    // of each operation on the largest objects
	rest         time.Duration
	congestion   string
	only         string
	keep         bool
	rows         []s3lat.Row
	inexact      int // measurements that were left out
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
	flag.IntVar(&r.restCount, "rest-n", 10, "requests of each operation after a rest")
	flag.IntVar(&r.bigCount, "big-n", 5, "requests of each operation on objects of 64 MiB")
	flag.DurationVar(&r.rest, "rest", 10*time.Second, "before each of those")
	flag.StringVar(&r.congestion, "congestion", "", "TCP congestion control (the machine's own)")
	flag.StringVar(&r.only, "only", "", "make only the measurements whose names contain this")
	flag.BoolVar(&r.keep, "keep", false, "keep data folders and logs")
	out := flag.String("out", "experiments/latency/data.csv", "the `file` to update; empty: only print")
	flag.Parse()
	for _, path := range []*string{&r.granary, &r.wan} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
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
	fmt.Print(s3lat.Table(r.rows))
	if *out != "" {
		err = s3lat.UpdateCSV(*out, r.rows, nil)
	}
	if r.inexact > 0 {
		err = errors.Join(err, fmt.Errorf("%d measurements were left out, for the network was not exact: "+
			"the machine is too busy", r.inexact))
	}
	return err
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
