// Command sim runs simulated clusters under faults and judges what their clients saw.
//
//	sim -seed N              replays one seed, and ends with its trace hash
//	sim -plan FILE           replays a plan
//	sim -first F -seeds N    runs N seeds from F on; exits with 1 if any fails
//	sim -shard 2/8 …         the second of eight parts of a campaign
//	sim -items …             runs only the clients of K2V items
//	sim -always KIND,…       has these kinds of faults in every seed
//
// A failing seed or plan is made smaller with -shrink, and everything about it is written with -out DIR: the
// report, the plan, the nodes' log, porcupine's picture, the messages in space and time, and a trace.
//
// A campaign runs the plans of -corpus first, and with -rare fails when a rare state that it should reach was
// never reached.
//
// A seed and a commit name a run exactly: the same hash on every machine.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"granary/sim/campaign"
	"granary/sim/fault"
)

// flags are the command line.
type flags struct {
	seed         int64
	plan, shard  string
	first, seeds uint64
	verbose      bool
	shrink       bool
	runs         int
	out, corpus  string
	rare         bool
	mutant       string
	workers      int
	calm, items  bool
	resting      bool
	collect      bool
	always       string
}

func parse() (f flags) {
	flag.Int64Var(&f.seed, "seed", -1, "replay this seed")
	flag.StringVar(&f.plan, "plan", "", "replay the plan in this file")
	flag.Uint64Var(&f.first, "first", 1, "first seed of a campaign")
	flag.Uint64Var(&f.seeds, "seeds", 100, "number of seeds of a campaign")
	flag.StringVar(&f.shard, "shard", "1/1", "part i of n of the campaign's seeds, as i/n")
	flag.BoolVar(&f.verbose, "v", false, "print the nodes' log lines (with -seed or -plan)")
	flag.BoolVar(&f.shrink, "shrink", false, "make a failing plan smaller, and print it")
	flag.IntVar(&f.runs, "runs", 400, "with -shrink: simulations that may be run for it")
	flag.StringVar(&f.out, "out", "", "write everything about failures into this folder")
	flag.StringVar(&f.corpus, "corpus", "", "run the plans of this folder first")
	flag.BoolVar(&f.rare, "rare", false, "fail if a rare state of the list was never reached")
	flag.StringVar(&f.mutant, "mutant", "", "break these protocol steps, comma-separated")
	flag.IntVar(&f.workers, "workers", runtime.NumCPU(), "seeds run at once")
	flag.BoolVar(&f.calm, "calm", false, "no faults")
	flag.BoolVar(&f.items, "items", false, "only the clients of K2V items, and more of them")
	flag.BoolVar(&f.resting, "resting", false, "anti-entropy rests until all is healed")
	flag.BoolVar(&f.collect, "collect", false, "deletion markers go soon")
	flag.StringVar(&f.always, "always", "", "kinds of faults that are in every seed, comma-separated")
	flag.Parse()
	return f
}

func (f *flags) options() campaign.Options {
	o := campaign.Options{Calm: f.calm, Items: f.items, Resting: f.resting, Collect: f.collect}
	if f.mutant != "" {
		o.Mutants = strings.Split(f.mutant, ",")
	}
	if f.always != "" {
		for _, kind := range strings.Split(f.always, ",") {
			o.Always = append(o.Always, fault.Kind(kind))
		}
	}
	return o
}

func main() {
	f := parse()
	debug.SetGCPercent(400)
	var err error
	switch {
	case f.plan != "":
		var p *campaign.Plan
		if p, err = load(f.plan); err == nil {
			p.Mutants = append(p.Mutants, f.options().Mutants...)
			err = replay(f, p)
		}
	case f.seed >= 0:
		err = replay(f, campaign.Draw(uint64(f.seed), f.options()))
	default:
		err = run(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var errFailed = errors.New("violations were found")

func load(file string) (*campaign.Plan, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p, err := campaign.ReadPlan(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	p.File = file
	return p, nil
}

// replay runs one plan and says everything about it.
func replay(f flags, p *campaign.Plan) error {
	r := campaign.Run(p, watch(f.verbose))
	t := campaign.NewTotal()
	t.Add(r)
	if r.Failed() {
		r.Report(os.Stdout)
	}
	fmt.Print(r.Answers, t.Reached())
	fmt.Println(t)
	fmt.Printf("trace-hash %016x\n", r.Hash)
	if !r.Failed() {
		return nil
	}
	if err := f.examine(p, f.out); err != nil {
		return err
	}
	return errFailed
}

// examine shrinks a failing plan and writes about it, as far as the flags ask for it.
func (f *flags) examine(p *campaign.Plan, dir string) error {
	if dir != "" {
		if err := folder(dir, p); err != nil {
			return err
		}
	}
	if f.shrink {
		small, err := campaign.Shrink(p, f.runs, func(s string) { fmt.Fprintln(os.Stderr, s) })
		if err != nil {
			return err
		}
		fmt.Print(small)
		if dir != "" {
			dir = filepath.Join(dir, "shrunk")
			if err := folder(dir, small); err != nil {
				return err
			}
		}
	}
	if dir != "" {
		fmt.Println("see", dir)
	}
	return nil
}

// folder writes everything about a failing plan.
func folder(dir string, p *campaign.Plan) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, f := range campaign.Files(p) {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
