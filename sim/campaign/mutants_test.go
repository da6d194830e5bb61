package campaign

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"granary/sim/check"
)

var update = flag.Bool("update", false, "rewrite ../MUTANTS.md")

// mutant is a protocol step that is broken on purpose, and the campaign that must notice.
type mutant struct {
	name  string
	rule  string // of protocols or of the design that the step answers
	seeds uint64 // of a campaign; 0: the directed plan in testdata
	o     Options
	by    []check.Fault
}

var mutants = []mutant{
	{"quorum of one", "every read set meets every write set", 0, Options{},
		[]check.Fault{check.Stale, check.Lost, check.Resurrected}},
	{"behind counts as clean", "protocols 2: acknowledged at W clean answers", 0, Options{},
		[]check.Fault{check.Lost, check.Stale, check.Resurrected}},
	{"unknown outcome told as failure", "protocols 27: an unknown outcome is told as such", 6, Options{},
		[]check.Fault{check.TakenBack}},
	{"anti-entropy: row without its parts", "protocols 15: the row batch is the unit", 6, Options{},
		[]check.Fault{check.Diverged}},
	{"anti-entropy: newer is equal", "what one replica has and another has not is brought", 6, Options{},
		[]check.Fault{check.Diverged}},
	{"anti-entropy: full-copy tables only", "replicas become equal without reads", 6, Options{},
		[]check.Fault{check.Diverged}},
	{"reclaim: abort beats commit", "protocols 3: what is committed is not aborted", 5, Options{},
		nil},
	{"reclaim: references keyed by upload", "protocols 8: references belong to an owner", 5, Options{},
		nil},
	{"block: reference does not fetch its block", "protocols 7: every block that is referred to is here", 5, Options{},
		nil},
	{"block: blocks without references stay", "protocols 28: nothing is left over", 5, Options{},
		nil},
	{"acknowledged before it is durable", "rule 1: acknowledged is durable on W replicas", 0, Options{},
		[]check.Fault{check.Lost}},
	{"block not verified", "rule 5: every block is verified on read", 0, Options{},
		[]check.Fault{check.WrongBytes}},
	{"guessed block not compared", "protocols 24: a guess counts if owner and hash are the winner's", 0, Options{},
		[]check.Fault{check.WrongBytes}},
	{"listing filters before merging", "rule 4: replicas never filter before merging", 0, Options{},
		[]check.Fault{check.ListGhost}},
	{"listing trusts one witness", "protocols 23: one witness for a prefix is not enough", 0, Options{},
		[]check.Fault{check.ListMissing}},
	{"k2v context dropped", "k2v: a write discards what its token covers", 6, Options{Items: true},
		[]check.Fault{check.ItemBack}},
	{"k2v merge by last writer", "k2v: concurrent values are all kept", 6, Options{Items: true},
		[]check.Fault{check.ItemLost}},
	{"k2v token over siblings", "protocols 11: a token covers only what its client has seen", 6, Options{Items: true},
		[]check.Fault{check.ItemLost}},
}

// quick are the options of a mutant's campaign.
func (m mutant) quick() Options {
	o := m.o
	o.Ops, o.Span, o.Mutants = 120, max(o.Span, small().Span), []string{m.name}
	return o
}

// found says how a mutant was noticed.
type found struct {
	v     check.Violation
	seeds uint64 // how many were needed
}

// hunt runs a mutant's campaign until a checker notices.
func (m mutant) hunt(t *testing.T) (f found, ok bool) {
	t.Helper()
	notices := func(r *Result) bool {
		for _, v := range r.Violations {
			if f.v = v; m.by == nil || slices.Contains(m.by, v.Fault) {
				return true
			}
		}
		return false
	}
	if m.seeds == 0 {
		p := m.plan(t)
		if r := Run(p, Options{}); r.Failed() {
			t.Errorf("the plan fails without the mutant: %v %v", r.Err, r.Violations)
		}
		p.Mutants = []string{m.name}
		return f, notices(Run(p, Options{}))
	}
	for seed := range m.seeds {
		if f.seeds = seed + 1; notices(Seed(seed, m.quick())) {
			return f, true
		}
	}
	return f, false
}

// plan reads a mutant's directed plan.
func (m mutant) plan(t *testing.T) *Plan {
	t.Helper()
	file := filepath.Join("testdata", strings.ReplaceAll(m.name, " ", "-")+".plan")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ReadPlan(text)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return p
}

// TestMutants breaks protocol steps, and demands that the right checker notices within a few seeds, or in the
// plan that was made for it. What is broken by a story of its own is in the tests that MUTANTS.md names.
func TestMutants(t *testing.T) {
	lines := map[string]string{}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			f, ok := m.hunt(t)
			if !ok {
				t.Fatalf("nobody noticed in %d seeds; last seen: %v", m.seeds, f.v)
			}
			where := fmt.Sprintf("%d of at most %d seeds", f.seeds, m.seeds)
			if m.seeds == 0 {
				where = "its plan"
			}
			t.Logf("found by %q in %s: %v", f.v.Fault, where, f.v)
			lines[m.name] = fmt.Sprintf("| %s | %s | %s | %s |", m.name, m.rule, f.v.Fault, where)
		})
	}
	if *update && !t.Failed() {
		writeTable(t, lines)
	}
}

// stories are the mutants that tests of their own break, by the file of the test.
var stories = map[string]string{
	"block: a file is there, so it is durable":         "core/block",
	"block: file removed before presence":              "core/block",
	"block: reference without body acknowledged":       "core/block",
	"block: references not looked at again":            "core/block",
	"block: removal without the mutex":                 "core/block",
	"block: resync in the order of hashes":             "core/block",
	"block: scrub looks and does nothing":              "core/block",
	"block: unknown files stay":                        "core/block",
	"absent bucket not confirmed":                      "sim/world",
	"answers before its first block":                   "sim/world",
	"stamps of the wall clock":                         "sim/world",
	"unknown headers are ignored":                      "sim/world",
	"write ends with its client":                       "sim/world",
	"memory without limit":                             "sim/world",
	"full-copy lease: for ever":                        "sim/world",
	"k2v clock forgotten":                              "sim/world",
	"register accepts what it promised not to":         "core/register",
	"silent replica is waited for":                     "sim/world",
	"voters: a zone counts with one node":              "sim/world",
	"block: marked past the fence":                     "core/block",
	"block: given up without asking everybody":         "core/block",
	"block: a copy does not tell that it was given up": "core/block",
	"table: an unreadable row is absent":               "core/table",
}

const tableFile = "../MUTANTS.md"

func writeTable(t *testing.T, lines map[string]string) {
	text, err := os.ReadFile(tableFile)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "| mutant |")
	var b strings.Builder
	b.WriteString(head + "| mutant | the step it breaks | found by | in |\n|---|---|---|---|\n")
	for _, m := range mutants {
		b.WriteString(lines[m.name] + "\n")
	}
	var names []string
	for name := range stories {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "| %s | | a story | `%s` |\n", name, stories[name])
	}
	if err := os.WriteFile(tableFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestEveryMutantIsHunted: each protocol step of core that can be broken is in the table of mutants, or some
// test names it; and what the tables name exists.
func TestEveryMutantIsHunted(t *testing.T) {
	table, err := os.ReadFile(tableFile)
	if err != nil {
		t.Fatal(err)
	}
	code := sources(t, "../../core")
	tests := sources(t, "../../core", "_test.go") + sources(t, "..", "_test.go")
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`Mutant\("([^"]+)"\)`).FindAllStringSubmatch(code, -1) {
		known[m[1]] = true
		if !strings.Contains(tests, `"`+m[1]+`"`) {
			t.Errorf("mutant %q is hunted by no test", m[1])
		}
	}
	for _, m := range mutants {
		if !known[m.name] || !strings.Contains(string(table), "| "+m.name+" | "+m.rule+" |") {
			t.Errorf("mutant %q: in core: %v; its row of %s is not up to date: run the tests with -update",
				m.name, known[m.name], tableFile)
		}
	}
	for name, where := range stories {
		if !known[name] || !strings.Contains(string(table), "| "+name+" |") ||
			!strings.Contains(sources(t, "../../"+where, "_test.go"), `"`+name+`"`) {
			t.Errorf("mutant %q: in core: %v, in %s and %s?", name, known[name], where, tableFile)
		}
	}
}

// sources returns the Go sources below a folder: those that end so, or, without an ending, all that are no
// tests.
func sources(t *testing.T, dir string, ending ...string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, _ os.FileInfo, err error) error {
		isTest := strings.HasSuffix(path, "_test.go")
		if err != nil || !strings.HasSuffix(path, ".go") || isTest != (len(ending) > 0) {
			return err
		}
		text, err := os.ReadFile(path)
		b.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
