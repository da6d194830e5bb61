package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// study is one part of the experiment: a question, and the file of its data.
type study struct {
	file string
	run  func(seeds int) ([]byte, error)
}

func studies() []study {
	return []study{
		{"events.csv", func(seeds int) ([]byte, error) {
			return measureEvents(settings(), methods(), seeds)
		}},
		{"frontier.csv", func(seeds int) ([]byte, error) { return measureFrontier(frontiers(), seeds) }},
		{"partitions.csv", func(seeds int) ([]byte, error) {
			return measurePartitions(grains(), grainLast, seeds)
		}},
		{"drift.csv", func(seeds int) ([]byte, error) { return measureDrift(drifts(), seeds) }},
	}
}

// seedsWhole is how many seeds the committed data has: clusters, or salts of the talk's cluster.
const seedsWhole = 20

func main() {
	out := flag.String("out", "experiments/placement", "the `folder` to write to")
	seeds := flag.Int("seeds", seedsWhole, "random clusters of each kind, at least 1")
	flag.Parse()
	if err := write(*out, *seeds); err != nil {
		fmt.Fprintln(os.Stderr, "placement:", err)
		os.Exit(1)
	}
}

func write(folder string, seeds int) error {
	if seeds < 1 {
		return fmt.Errorf("%d seeds: want at least 1", seeds)
	}
	for _, s := range studies() {
		start := time.Now()
		data, err := s.run(seeds)
		if err != nil {
			return fmt.Errorf("%s: %w", s.file, err)
		}
		name := filepath.Join(folder, s.file)
		if err := os.WriteFile(name, data, 0o644); err != nil {
			return err
		}
		fmt.Printf("%s: %d seeds in %.1f s\n", name, seeds, time.Since(start).Seconds())
	}
	return nil
}

// parallel calls f for 0 to n-1, several at a time. Each call has a result of its own to fill, so the order
// does not matter.
func parallel(n int, f func(i int) error) error {
	faults := make([]error, n)
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			faults[i] = f(i)
		})
	}
	wait.Wait()
	return errors.Join(faults...)
}
