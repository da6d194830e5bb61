// Command load measures real granary processes under load: CPU time per operation of all server processes
// together, throughput, latency, memory and start-up, on one node and on three, and the speed of the
// simulator. Writes are durable, as shipped. The results go to a Markdown table and CSV files, with the
// machine they are of.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"granary/bench/cluster"
	"granary/bench/report"
)

// plan is how much is done.
type plan struct {
	perCell    time.Duration // the least time of one measurement
	bigOps     int           // the most operations with objects of 64 MiB
	deletes    int           // at least, so that the steps of 10 ms of CPU time do not show
	listedKeys int
	batches    int           // of 1,000 rows each, for the start-up on many rows
	idle       time.Duration // before memory is read
	settle     time.Duration // for writes that finish behind their answer
}

var (
	wholePlan = plan{perCell: 5 * time.Second, bigOps: 32, deletes: 200, listedKeys: 4000, batches: 1000,
		idle: 30 * time.Second, settle: 500 * time.Millisecond}
	quickPlan = plan{perCell: 400 * time.Millisecond, bigOps: 2, deletes: 30, listedKeys: 1100, batches: 10,
		idle: 2 * time.Second, settle: 100 * time.Millisecond}
)

// bench is one run.
type bench struct {
	plan
	binary   string
	keep     bool   // data and logs, after the end
	folder   string // for data
	unsigned bool   // bodies are not covered by the signature
	only     string
	results  results
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	b := &bench{plan: wholePlan}
	quick := flag.Bool("quick", false, "a version of about a minute, whose numbers are rough")
	out := flag.String("out", "bench/results", "folder of the results; empty: only print them")
	parent := flag.String("folder", "",
		"folder for data, on the disk that is to be measured (the temporary folder)")
	flag.StringVar(&b.binary, "granary", "bin/granary", "path of the binary")
	flag.StringVar(&b.only, "only", "", "measure only what contains this, for example: three PUT 4 KiB")
	flag.BoolVar(&b.keep, "keep", false, "keep data folders and logs")
	flag.BoolVar(&b.unsigned, "unsigned", false, "do not sign bodies")
	flag.Parse()
	if *quick {
		b.plan = quickPlan
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	if b.folder, err = os.MkdirTemp(*parent, "granary-load-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.remove(b.folder)) }()
	b.results.quick = *quick
	if b.results.machine, err = report.Machine(ctx, b.folder); err != nil {
		return err
	}
	fmt.Println(b.results.machine)
	for _, part := range []func(context.Context) error{b.one, b.three, b.startUp, b.simulator} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	if *out != "" {
		err = b.results.write(*out)
	}
	if n := b.results.failed; n > 0 {
		err = errors.Join(err, fmt.Errorf("%d operations failed", n))
	}
	return err
}

// one measures a single node.
func (b *bench) one(ctx context.Context) error {
	return b.store(ctx, "one", func(o cluster.Options) (*cluster.Cluster, error) {
		c, took, err := cluster.Dev(ctx, o)
		if err == nil {
			b.results.addFact("start-up of one node, new folder", "%.0f ms", report.Millis(took))
		}
		return c, err
	})
}

// three measures three nodes in three zones of this machine.
func (b *bench) three(ctx context.Context) error {
	three := func(o cluster.Options) (*cluster.Cluster, error) { return cluster.Three(ctx, o) }
	return b.store(ctx, "three", three)
}

// starter starts a store.
type starter func(cluster.Options) (*cluster.Cluster, error)

// store measures everything on one store, and removes it.
func (b *bench) store(ctx context.Context, name string, start starter) error {
	if !b.wanted(name) {
		return nil
	}
	o := cluster.Options{Binary: b.binary, Folder: filepath.Join(b.folder, name)}
	c, err := start(o)
	if err != nil {
		return err
	}
	s := &store{bench: b, name: name, cluster: c}
	err = s.measureAll(ctx)
	return errors.Join(err, c.Close(), b.remove(o.Folder))
}

// remove removes a folder, unless everything is kept.
func (b *bench) remove(folder string) error {
	if b.keep {
		fmt.Println("kept:", folder)
		return nil
	}
	return os.RemoveAll(folder)
}
