package campaign

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"granary/sim/check"
	"granary/sim/fault"
	"granary/sim/sched"
)

// seeds is how many simulations the tests run; make sim runs more.
const seeds = 50

// TestSeeds runs whole clusters under faults and demands that no checker has anything to say.
func TestSeeds(t *testing.T) {
	results := make(chan *Result, seeds)
	t.Run("seed", func(t *testing.T) {
		for seed := range uint64(seeds) {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				r := Seed(seed, Options{})
				results <- r
				if r.Failed() {
					var b strings.Builder
					r.Report(&b)
					t.Error(b.String())
				}
			})
		}
	})
	close(results)
	total := NewTotal()
	for r := range results {
		total.Add(r)
		if r.Ops < 300 {
			t.Errorf("seed %d: %d operations, want at least 300", r.Seed, r.Ops)
		}
	}
	t.Log(total)
	for _, f := range fault.Kinds() {
		if total.Faults[f.Kind] == 0 && f.Awaits == "" {
			t.Errorf("no fault of kind %q in %d seeds", f.Kind, seeds)
		}
	}
	if len(total.Hashes) != seeds {
		t.Errorf("%d distinct hashes of %d seeds", len(total.Hashes), seeds)
	}
	for _, rare := range []string{"read repair", "write stamped anew", "block read hedged",
		"a replaced version was reclaimed", "an upload was reclaimed", "the audit released an orphan",
		"guessed block was right", "anti-entropy brought a row", "anti-entropy after a hint",
		"k2v poll woken", "k2v write tried at another replica", "k2v write was there already"} {
		if total.Sometimes[rare] == 0 {
			t.Errorf("no seed of %d reached %q", seeds, rare)
		}
	}
}

// TestCorpus runs what once failed.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("../corpus/*.plan")
	if err != nil || len(files) == 0 {
		t.Fatal("no corpus", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p, err := ReadPlan(text)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), "\n# ") {
				t.Error("no comment says what it found")
			}
			if r := Run(p, Options{}); r.Failed() {
				var b strings.Builder
				r.Report(&b)
				t.Error(b.String())
			}
		})
	}
}

// TestSameSeedSameHash replays a seed with everything on; when the hashes differ it names the first event in
// which the runs differ.
func TestSameSeedSameHash(t *testing.T) {
	for seed := range uint64(3) {
		a, b := Seed(seed, Options{}), Seed(seed, Options{Log: func(sched.Line) {}})
		if a.Hash == b.Hash {
			continue
		}
		i := 0
		for i < min(len(a.Checks), len(b.Checks)) && a.Checks[i] == b.Checks[i] {
			i++
		}
		window := [2]uint64{uint64(i) * sched.CheckpointEvery, uint64(i+1) * sched.CheckpointEvery}
		x, y := Seed(seed, Options{Window: window}), Seed(seed,
			Options{Window: window, Log: func(sched.Line) {}})
		t.Errorf("seed %d: %s", seed, sched.FirstDifference(x.Trace, y.Trace))
	}
}

// small are the options of a quick simulation.
func small() Options { return Options{Ops: 40, Span: 15 * time.Second} }

// TestPlanIsText: a plan survives being written and read, and runs as the seed does.
func TestPlanIsText(t *testing.T) {
	for seed := range uint64(5) {
		p := Draw(seed, small())
		q, err := ReadPlan([]byte("# a comment\n\n" + p.String()))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(p, q); d != "" {
			t.Fatalf("seed %d: %s", seed, d)
		}
		if seed == 0 && Run(q, Options{}).Hash != Seed(seed, small()).Hash {
			t.Error("the plan that was read does not run as the seed does")
		}
	}
	head := planHead + "\nseed 1\n"
	for text, want := range map[string]string{
		"":                            "no plan",
		"seed 1":                      "line 1: a plan begins with",
		head + "sead 2":               `line 3: there is no "sead"`,
		head + "seed x":               "line 3:",
		head + "fault 0s smash a for": "line 3: fault",
		head + `op {"colour":1}`:      `line 3: json: unknown field "colour"`,
		head + "item 1":               "line 3:",
		head:                          "0 zones",
		head + `config {"zones":2,"nodes":["a1","q1"]}`: "q",
	} {
		if _, err := ReadPlan([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// TestStreamsAreSplit: what one part of a plan holds does not depend on another.
func TestStreamsAreSplit(t *testing.T) {
	calm, full := small(), small()
	calm.Calm = true
	a, b := Draw(7, calm), Draw(7, full)
	if len(a.Faults) > 0 || len(b.Faults) == 0 {
		t.Fatalf("%d and %d faults", len(a.Faults), len(b.Faults))
	}
	b.Faults, b.Config.Victims, b.Flags = nil, nil, a.Flags
	if d := cmp.Diff(a, b); d != "" {
		t.Error(d)
	}
}

// TestShrink makes a failing plan small: it must still fail in the same way, with a fraction of its lines.
func TestShrink(t *testing.T) {
	o := small()
	o.Mutants = []string{"quorum of one"}
	var p *Plan
	var kind check.Fault
	for seed := uint64(0); p == nil; seed++ {
		if r := Seed(seed, o); len(r.Violations) > 0 {
			p, kind = r.Plan, r.Violations[0].Fault
		}
	}
	const runs = 60
	q, err := Shrink(p, runs, nil)
	if err != nil {
		t.Fatal(err)
	}
	if q.size() > p.size()/2 {
		t.Errorf("%d lines of %d are left", q.size(), p.size())
	}
	same := func(v check.Violation) bool { return v.Fault == kind }
	if r := Run(q, Options{}); !slices.ContainsFunc(r.Violations, same) {
		t.Errorf("it does not fail with %q any more: %v", kind, r.Violations)
	}
	q.Mutants = nil
	if _, err := Shrink(q, runs, nil); err != ErrPasses {
		t.Errorf("a plan that passes: %v", err)
	}
}

// TestFiles: a failure's folder has all that a person needs.
func TestFiles(t *testing.T) {
	o := small()
	o.Mutants = []string{"quorum of one"}
	for seed := uint64(0); ; seed++ {
		r := Seed(seed, o)
		if len(r.Violations) == 0 || r.Violations[0].Op < 0 {
			continue
		}
		files := map[string]string{}
		for _, f := range Files(r.Plan) {
			files[f.Name] = string(f.Text)
		}
		for name, want := range map[string]string{
			"report.txt": "replay: go run ./sim/cmd/sim -seed", "failing.plan": planHead,
			"nodes.log": "info", "history.html": "<html", "space-time.svg": "bytes, ",
			"trace.json": "traceEvents",
		} {
			if !strings.Contains(files[name], want) {
				t.Errorf("%s has no %q", name, want)
			}
		}
		return
	}
}

// TestRareStatesExist: each of the rare states that campaigns must reach is named somewhere in the code.
func TestRareStatesExist(t *testing.T) {
	var code strings.Builder
	for _, dir := range []string{"../../core", "../disk", "../fault", "../campaign"} {
		err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			code.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range Rare {
		if !strings.Contains(code.String(), `Sometimes("`+name+`"`) {
			t.Errorf("nothing in core or sim/disk reports %q", name)
		}
	}
}
