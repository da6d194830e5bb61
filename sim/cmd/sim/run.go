package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"granary/sim/campaign"
	"granary/sim/sched"
)

// watch returns options that print log lines, if asked to.
func watch(verbose bool) campaign.Options {
	if !verbose {
		return campaign.Options{}
	}
	out := bufio.NewWriter(os.Stdout)
	return campaign.Options{Log: func(l sched.Line) { fmt.Fprintln(out, l); out.Flush() }}
}

// share parses a shard.
func share(s string) (part, parts uint64, err error) {
	n, err := fmt.Sscanf(s, "%d/%d", &part, &parts)
	if n != 2 || err != nil || part < 1 || part > parts || fmt.Sprintf("%d/%d", part, parts) != s {
		return 0, 0, fmt.Errorf("-shard %q: want i/n with 1 <= i <= n", s)
	}
	return part, parts, nil
}

// sweep is a campaign under way.
type sweep struct {
	flags
	mu     sync.Mutex
	total  *campaign.Total
	failed int // whose folder was written
	last   error
}

// foldersMax bounds the failures that are examined.
const foldersMax = 5

// run runs the corpus, then the seeds of a campaign.
func run(f flags) error {
	part, parts, err := share(f.shard)
	if err != nil {
		return err
	}
	s := &sweep{flags: f, total: campaign.NewTotal()}
	if err := s.past(); err != nil {
		return err
	}
	s.seeds(part, parts)
	if s.last != nil {
		return s.last
	}
	fmt.Printf("rare states, and in how many seeds:\n%s", s.total.Reached())
	if err := twice(f); err != nil {
		return err
	}
	failed := len(s.total.Failed)
	fmt.Printf("%d passed, %d failed\n", s.total.Seeds-failed, failed)
	fmt.Println(s.total)
	if failed > 0 {
		return errFailed
	}
	if missing := s.total.Missing(); f.rare && len(missing) > 0 {
		return fmt.Errorf("no seed reached: %s", strings.Join(missing, "; "))
	}
	return nil
}

// past runs the plans that once failed.
func (s *sweep) past() error {
	if s.corpus == "" {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(s.corpus, "*.plan"))
	if err != nil {
		return err
	}
	for _, file := range files {
		p, err := load(file)
		if err != nil {
			return err
		}
		if r := campaign.Run(p, campaign.Options{}); r.Failed() {
			r.Report(os.Stdout)
			return fmt.Errorf("%s fails again: %w", file, errFailed)
		}
	}
	fmt.Printf("%d plans that once failed pass\n", len(files))
	return nil
}

// seeds shares the seeds among workers, and prints failures in the order in which they are found.
func (s *sweep) seeds(part, parts uint64) {
	next := s.first + part - 1
	var wg sync.WaitGroup
	for range max(s.workers, 1) {
		wg.Go(func() {
			for {
				s.mu.Lock()
				seed := next
				next += parts
				s.mu.Unlock()
				if seed >= s.first+s.flags.seeds {
					return
				}
				s.take(campaign.Seed(seed, s.options()))
			}
		})
	}
	wg.Wait()
}

func (s *sweep) take(r *campaign.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total.Add(r)
	if r.Failed() {
		r.Report(os.Stdout)
		if s.failed++; s.failed <= foldersMax && (s.out != "" || s.shrink) {
			dir := ""
			if s.out != "" {
				dir = filepath.Join(s.out, fmt.Sprint("seed-", r.Seed))
			}
			if err := s.examine(r.Plan, dir); err != nil {
				s.last = err
			}
		}
	}
	if s.total.Seeds%50 == 0 {
		fmt.Fprintf(os.Stderr, "%d seeds, %d failed\n", s.total.Seeds, len(s.total.Failed))
	}
}

// twice runs one seed again in a process of its own, with another number of processors and another collector,
// and compares the trace hashes.
func twice(f flags) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "-seed", fmt.Sprint(f.first), "-mutant", f.mutant,
		fmt.Sprintf("-calm=%v", f.calm), fmt.Sprintf("-items=%v", f.items),
		fmt.Sprintf("-resting=%v", f.resting), fmt.Sprintf("-collect=%v", f.collect), "-always", f.always)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, io.Discard
	_ = cmd.Run() // a failing seed exits with 1, and prints its hash too
	want := fmt.Sprintf("trace-hash %016x", campaign.Seed(f.first, f.options()).Hash)
	if !strings.Contains(out.String(), want) {
		return fmt.Errorf("seed %d: another process has not %s", f.first, want)
	}
	fmt.Printf("seed %d has the same trace hash in another process\n", f.first)
	return nil
}
