package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"granary/core/table"
)

// params are the numbers of a run.
type params struct {
	seed   uint64
	trials int             // of each cell
	slow   []time.Duration // added to the way from the writing node to the other sites
}

func whole() params {
	p := params{seed: 1, trials: 1000}
	for _, ms := range []int{0, 25, 50, 100, 200, 400} {
		p.slow = append(p.slow, time.Duration(ms)*time.Millisecond)
	}
	return p
}

func main() {
	out := flag.String("out", "experiments/consistency/data.csv", "the `file` to write")
	p := whole()
	flag.Uint64Var(&p.seed, "seed", p.seed, "of the simulator")
	flag.Parse()
	cells, err := measureAll(p)
	if err == nil {
		err = os.WriteFile(*out, csv(cells), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "consistency:", err)
		os.Exit(1)
	}
}

// measureAll measures every level at every delay, several at a time: each has a world of its own.
func measureAll(p params) ([]cell, error) {
	var cells []cell
	for level := table.ReadAfterWrite; level <= table.Eventual; level++ {
		for _, slow := range p.slow {
			cells = append(cells, cell{level: level, slow: slow, trials: p.trials})
		}
	}
	faults := make([]error, len(cells))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wait sync.WaitGroup
	for i := range cells {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			faults[i] = cells[i].measure(p.seed + uint64(i))
		})
	}
	wait.Wait()
	return cells, errors.Join(faults...)
}

func csv(cells []cell) []byte {
	var b bytes.Buffer
	b.WriteString("level,slow_ms,trials,back,stale,rest_ms,first_ms,second_ms,put_ms\n")
	for _, c := range cells {
		fmt.Fprintf(&b, "%v,%d,%d,%d,%d,%.2f,%.2f,%.2f,%.2f\n", c.level, c.slow.Milliseconds(), c.trials,
			c.back, c.stale, c.mean(c.rest), c.mean(c.first), c.mean(c.second), c.mean(c.put))
	}
	return b.Bytes()
}
