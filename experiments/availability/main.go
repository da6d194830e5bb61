package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// params are the numbers of a run.
type params struct {
	seed     uint64
	topology string        // a preset of three sites
	every    time.Duration // a GET and a PUT begin, whatever became of those before
	fails    time.Duration // when the first site fails
	returns  time.Duration // when it is back
	end      time.Duration
	bytes    int64
	seeds    int // of outages.csv, from seed on
}

// whole returns the parameters of the committed data.
func whole() params {
	return params{seed: 1, topology: "3dc-100ms", every: 100 * time.Millisecond, fails: 10 * time.Second,
		returns: 20 * time.Second, end: 30 * time.Second, bytes: 256, seeds: 50}
}

func main() {
	out := flag.String("out", "experiments/availability", "the `folder` to write to")
	p := whole()
	flag.Uint64Var(&p.seed, "seed", p.seed, "of the simulator, the first of several")
	flag.IntVar(&p.seeds, "seeds", p.seeds, "runs for outages.csv")
	flag.Parse()
	if err := write(*out, p); err != nil {
		fmt.Fprintln(os.Stderr, "availability:", err)
		os.Exit(1)
	}
}

func write(folder string, p params) error {
	start := time.Now()
	runs, err := measureAll(p)
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{"data.csv": table(runs[0]), "outages.csv": outages(runs)} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o644); err != nil {
			return err
		}
	}
	fmt.Printf("%s: %d runs of %d requests in %.1f s\n", folder, len(runs), len(runs[0]),
		time.Since(start).Seconds())
	return nil
}
