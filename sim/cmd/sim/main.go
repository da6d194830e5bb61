// Command sim runs simulated clusters under faults and judges what their clients saw.
//
//	sim -seed N              replays one seed, and ends with its trace hash
//	sim -items …             runs only the clients of K2V items
//	sim -first F -seeds N    runs N seeds from F on; exits with 1 if any fails
//
// A seed and a commit name a run exactly: the same hash on every machine.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"granary/sim/campaign"
	"granary/sim/check"
	"granary/sim/sched"
)

func main() {
	var (
		seed    = flag.Int64("seed", -1, "replay this seed")
		first   = flag.Uint64("first", 1, "first seed of a campaign")
		seeds   = flag.Uint64("seeds", 100, "number of seeds of a campaign")
		verbose = flag.Bool("v", false, "print the nodes' log lines (with -seed)")
		html    = flag.String("html", "", "with -seed: write a picture of the first violated key here")
		mutant  = flag.String("mutant", "", "break these protocol steps, comma-separated")
		workers = flag.Int("workers", runtime.NumCPU(), "seeds run at once")
		calm    = flag.Bool("calm", false, "no faults")
		items   = flag.Bool("items", false, "only the clients of K2V items, and more of them")
	)
	flag.Parse()
	debug.SetGCPercent(400)
	o := campaign.Options{Calm: *calm, Items: *items}
	if *mutant != "" {
		o.Mutants = strings.Split(*mutant, ",")
	}
	var err error
	if *seed >= 0 {
		err = replay(uint64(*seed), o, *verbose, *html)
	} else {
		err = run(*first, *seeds, *workers, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var errFailed = errors.New("violations were found")

func replay(seed uint64, o campaign.Options, verbose bool, html string) error {
	if verbose {
		out := bufio.NewWriter(os.Stdout)
		defer out.Flush()
		o.Log = func(l sched.Line) { fmt.Fprintln(out, l) }
	}
	r := campaign.Seed(seed, o)
	t := campaign.NewTotal()
	t.Add(r)
	if r.Failed() {
		r.Report(os.Stdout)
	}
	fmt.Print(r.Answers, t.Rare())
	if keys := r.Keys(); html != "" && len(keys) > 0 {
		page, err := check.HTML(r.History, keys[0])
		if err != nil {
			return err
		}
		if err := os.WriteFile(html, page, 0o644); err != nil {
			return err
		}
	}
	fmt.Println(t)
	fmt.Printf("trace-hash %016x\n", r.Hash)
	if r.Failed() {
		return errFailed
	}
	return nil
}

// run shares the seeds among workers, and prints failures in the order in which they are found.
func run(first, seeds uint64, workers int, o campaign.Options) error {
	var mu sync.Mutex
	next, total := first, campaign.NewTotal()
	var wg sync.WaitGroup
	for range max(workers, 1) {
		wg.Go(func() {
			for {
				mu.Lock()
				seed := next
				next++
				mu.Unlock()
				if seed >= first+seeds {
					return
				}
				r := campaign.Seed(seed, o)
				mu.Lock()
				total.Add(r)
				if r.Failed() {
					r.Report(os.Stdout)
				}
				if total.Seeds%50 == 0 {
					fmt.Fprintf(os.Stderr, "%d of %d seeds, %d failed\n", total.Seeds, seeds,
						len(total.Failed))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	fmt.Printf("rare states, and in how many seeds:\n%s", total.Rare())
	if err := twice(first, o); err != nil {
		return err
	}
	fmt.Printf("%d passed, %d failed\n", total.Seeds-len(total.Failed), len(total.Failed))
	fmt.Println(total)
	if len(total.Failed) > 0 {
		return errFailed
	}
	return nil
}

// twice runs one seed again in a process of its own, with another number of processors and another collector,
// and compares the trace hashes.
func twice(seed uint64, o campaign.Options) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "-seed", fmt.Sprint(seed), "-mutant", strings.Join(o.Mutants, ","),
		fmt.Sprintf("-calm=%v", o.Calm), fmt.Sprintf("-items=%v", o.Items))
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, io.Discard
	_ = cmd.Run() // a failing seed exits with 1, and prints its hash too
	want := fmt.Sprintf("trace-hash %016x", campaign.Seed(seed, o).Hash)
	if !strings.Contains(out.String(), want) {
		return fmt.Errorf("seed %d: another process has not %s", seed, want)
	}
	fmt.Printf("seed %d has the same trace hash in another process\n", seed)
	return nil
}
