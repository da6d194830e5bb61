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

	"granary/bench/s3lat"
	"granary/netsim"
)

// Sizes of objects, in bytes.
const (
	small  = 256
	middle = 1 << 20
	large  = 64 << 20
)

const (
	folder = "experiments/latency"
	// farTopology has a fourth site, where gateway is, and ways of limited bandwidth between all.
	farTopology = "200mbit.toml"
	gateway     = "d1"
)

// load returns a preset, or a topology of this folder.
func load(name string) (netsim.Topology, error) {
	return netsim.Load(name, func(string) ([]byte, error) {
		data, err := os.ReadFile(name) // where tests run
		if errors.Is(err, os.ErrNotExist) {
			return os.ReadFile(filepath.Join(folder, name))
		}
		return data, err
	})
}

// plans are what the bars are measured by.
func plans(ops []s3lat.Operation) (all []s3lat.Plan) {
	for _, idle := range []time.Duration{0, 10 * time.Second} {
		for _, size := range []int64{small, middle} {
			all = append(all, s3lat.Plan{Count: 100, Warm: 10, Size: size, Idle: idle, Operations: ops})
		}
	}
	return all
}

// job is one file of data.
type job struct {
	name string
	make func(r *run) error
}

// run is one run of the command.
type run struct {
	seed   uint64
	folder string
	slots  chan struct{} // as many simulations at once as there are processors
}

func main() {
	r := &run{slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
	flag.StringVar(&r.folder, "out", folder, "the `folder` to write to")
	flag.Uint64Var(&r.seed, "seed", 1, "of the simulator")
	flag.Parse()
	if err := r.all(); err != nil {
		fmt.Fprintln(os.Stderr, "latency:", err)
		os.Exit(1)
	}
}

// all makes every file.
func (r *run) all() error {
	start := time.Now()
	jobs := []job{{"data.csv", (*run).bars}, {"distance.csv", (*run).distance}, {"jitter.csv", (*run).jitter},
		{"large.csv", (*run).large}}
	err := r.together(len(jobs), func(i int) error { return jobs[i].make(r) })
	fmt.Printf("in %.1f s\n", time.Since(start).Seconds())
	return err
}

// together calls f for 0 to n-1 at once and joins the errors.
func (r *run) together(n int, f func(i int) error) error {
	faults := make([]error, n)
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() { faults[i] = f(i) })
	}
	wait.Wait()
	return errors.Join(faults...)
}

// simulate calls f for 0 to n-1, as many at once as there are slots. Each is a simulation of its own, so the
// order does not matter.
func (r *run) simulate(n int, f func(i int) error) error {
	return r.together(n, func(i int) error {
		r.slots <- struct{}{}
		defer func() { <-r.slots }()
		return f(i)
	})
}

// write writes one file of data.
func (r *run) write(name string, text []byte) error {
	return os.WriteFile(filepath.Join(r.folder, name), text, 0o644)
}
