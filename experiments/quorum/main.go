package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

// params are the numbers of a run.
type params struct {
	seed    uint64
	sites   int // one replica in each
	reads   int // of every cell
	delay   time.Duration
	jitters []time.Duration
	sizes   []size
}

// size is a pair of quorum sizes.
type size struct{ write, read int }

// meet reports whether every read quorum meets every write quorum.
func (q size) meet(sites int) bool { return q.write+q.read > sites }

// whole returns the parameters of the committed data: all pairs of sizes for three replicas, 50 ms between
// sites, and jitter from none over next to none up to all of the delay.
func whole() params {
	p := params{seed: 1, sites: 3, reads: 10_000, delay: 50 * time.Millisecond}
	for _, ms := range []time.Duration{0, 1, 10, 20, 30, 40, 50} {
		p.jitters = append(p.jitters, ms*time.Millisecond)
	}
	for w := 1; w <= p.sites; w++ {
		for r := 1; r <= p.sites; r++ {
			p.sizes = append(p.sizes, size{w, r})
		}
	}
	return p
}

func main() {
	out := flag.String("out", "experiments/quorum/data.csv", "the `file` to write")
	p := whole()
	flag.IntVar(&p.reads, "reads", p.reads, "reads for each pair of quorum sizes and jitter")
	flag.Uint64Var(&p.seed, "seed", p.seed, "of the simulator")
	flag.Parse()
	if err := write(*out, p); err != nil {
		fmt.Fprintln(os.Stderr, "quorum:", err)
		os.Exit(1)
	}
}

func write(name string, p params) error {
	start := time.Now()
	results, err := measure(p)
	if err != nil {
		return err
	}
	if err := os.WriteFile(name, table(p, results), 0o644); err != nil {
		return err
	}
	fmt.Printf("%s: %d cells of %d reads in %.1f s\n", name, len(results), p.reads,
		time.Since(start).Seconds())
	return nil
}
