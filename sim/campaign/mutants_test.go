package campaign

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"granary/core/goldentest"
	"granary/sim/check"
	"granary/sim/fault"
)

// mutant is a protocol step that is broken on purpose, and the campaign that must notice.
type mutant struct {
	name  string
	rule  string // that the step follows
	seeds uint64 // of a campaign; 0: the directed plan in testdata
	o     Options
	by    []check.Fault
	// ends, if set, is part of the error that ends the run, with which nodes say themselves what they lost.
	ends string
}

var mutants = []mutant{
	{"quorum of one", "every read set meets every write set", 0, Options{},
		[]check.Fault{check.Stale, check.Lost, check.Resurrected}, ""},
	{"behind counts as clean", "acknowledged at a write quorum of clean answers", 0, Options{},
		[]check.Fault{check.Lost, check.Stale, check.Resurrected}, ""},
	{"unknown outcome told as failure", "an unknown outcome is told as such", 16, Options{},
		[]check.Fault{check.TakenBack}, ""},
	{"anti-entropy: row without its parts", "what carries a row carries its parts", 6, Options{},
		[]check.Fault{check.Diverged}, ""},
	{"anti-entropy: newer is equal", "what one replica has and another has not is brought", 6, Options{},
		[]check.Fault{check.Diverged}, ""},
	{"anti-entropy: full-copy tables only", "replicas become equal without reads", 6, Options{},
		[]check.Fault{check.Diverged}, ""},
	{"reclaim: abort beats commit", "what is committed is not aborted", 5, Options{},
		nil, ""},
	{"reclaim: references keyed by upload", "references belong to one attempt to write", 5, Options{},
		nil, ""},
	{"block: reference does not fetch its block", "every block that is referred to is fetched", 5, Options{},
		nil, ""},
	{"block: blocks without references stay", "nothing is left over", 5, Options{},
		nil, ""},
	{name: "acknowledged before it is durable", rule: "what is acknowledged is durable on a write quorum",
		by: []check.Fault{check.Lost}, ends: "what is known here may be out of date"},
	{"block not verified", "every block is verified on read", 0, Options{},
		[]check.Fault{check.WrongBytes}, ""},
	{"guessed block not compared", "a guess counts if its block is the winner's", 0, Options{},
		[]check.Fault{check.WrongBytes}, ""},
	{"listing filters before merging", "replicas never filter before merging", 0, Options{},
		[]check.Fault{check.ListGhost}, ""},
	{"listing trusts one witness", "one witness for a prefix is not enough", 0, Options{},
		[]check.Fault{check.ListMissing}, ""},
	{"layout: taken over from nobody", "a node is in sync when it has taken over from a read quorum", 40,
		Options{Always: changing(true).Always, Resting: true, Span: time.Minute}, nil, ""},
	{"cluster: a store that was set back serves",
		"a store that is older than what others have heard of it forgot what it acknowledged", 24,
		Options{Always: []fault.Kind{fault.SetBack}, Items: true, Span: time.Minute}, nil, ""},
	{"k2v context dropped", "k2v: a write discards what its token covers", 6, Options{Items: true},
		[]check.Fault{check.ItemBack}, ""},
	{"k2v merge by last writer", "k2v: concurrent values are all kept", 6, Options{Items: true},
		[]check.Fault{check.ItemLost}, ""},
	{"k2v token over siblings", "a token covers only what its client has seen", 6, Options{Items: true},
		[]check.Fault{check.ItemLost}, ""},
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
		if m.ends != "" && r.Err != nil && strings.Contains(r.Err.Error(), m.ends) {
			f.v.Fault = "the nodes, which do not trust their stores"
			return true
		}
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
	if goldentest.Updating() && !t.Failed() {
		writeTable(t, lines)
	}
}

// story is a mutant that tests of their own break, and the folder of the tests.
type story struct{ name, where, rule string }

var stories = []story{
	{"absent bucket not confirmed", "sim/world",
		"what is not known here is asked of a majority before it is denied"},
	{"ahead: copies of any layout count", "core/block",
		"a copy stored behind the fence of a newer layout is none of those that an older plan counts"},
	{"ahead: failures are forgotten", "core/object",
		"a row is not sent ahead of one block once another has failed"},
	{"ahead: rows do not wait", "core/object",
		"a row that is sent before its blocks are durable is not seen before they are"},
	{"answers before its first block", "sim/world", "success is told only with the first block in hand"},
	{"block: a copy does not tell that it was given up", "core/block",
		"a block that was given up and turns up is a block again"},
	{"block: a file is there, so it is durable", "core/block",
		"a second copy is skipped only if the first is known to be durable"},
	{"block: file removed before presence", "core/block",
		"a block is absent by its record before its file goes"},
	{"block: given up without asking everybody", "core/block",
		"a block is given up when every node has said that it does not have it"},
	{"block: marked past the fence", "core/block",
		"references are marked where the layout of the mark holds"},
	{"block: reference without body acknowledged", "core/block",
		"a reference counts only where its block is"},
	{"block: references not looked at again", "core/block",
		"a block that is referred to again is not removed"},
	{"block: removal without the mutex", "core/block", "writing and removing a block exclude each other"},
	{"block: resync in the order of hashes", "core/block",
		"the block with the fewest copies is fetched first"},
	{"block: scrub looks and does nothing", "core/block", "what scrub finds damaged is fetched anew"},
	{"block: unknown files stay", "core/block", "files that nothing knows are removed at last"},
	{"bucket: no gate", "sim/world", "a bucket that is being deleted takes no object in"},
	{"floor: a lost store forgets", "core/table",
		"a store that is in sync again keeps the promises of those that it took over from"},
	{"floor: a missing row says nothing", "core/table",
		"what is missing below the floor was deleted, whatever an older answer says"},
	{"floor: a promise is not kept", "core/table",
		"what is no newer than a promise is taken from no coordinator any more"},
	{"floor: rows below it come back", "core/table", "what is below the floor and not here is gone"},
	{"floor: without levelling", "core/table", "the floor rises when all replicas hold the same"},
	{"full-copy lease: for ever", "sim/world", "who is cut off honours nothing that may have been revoked"},
	{"k2v changes wake no poll", "sim/world", "who polls is told of changes"},
	{"k2v clock forgotten", "sim/world", "a node's writes to an item are numbered once"},
	{"k2v: a batch goes where its first item goes", "sim/world",
		"each item of a batch goes to its own replicas"},
	{"k2v: a repaired item is counted as it was", "sim/world",
		"an item that rotted is counted as it is when it is repaired"},
	{"k2v: a syncing store counts", "sim/world",
		"a write of an item counts where a store knows all that was acknowledged"},
	{"k2v: written where it is not known", "sim/world",
		"a write is acknowledged with the replicas that know all that was"},
	{"layout: a source serves everybody", "core/transition",
		"a node is the source of a few others at once"},
	{"layout: a syncing store votes", "sim/world",
		"a store that lost its memory does not vote until it is whole"},
	{"layout: fence after push", "core/table",
		"a replica is asked for its rows when it refuses who does not know the new layout, not before"},
	{"layout: in sync backwards", "sim/world",
		"a store that is in sync with a version knows what that gives it, and no more"},
	{"layout: in sync with what is over", "core/cluster", "a node gets in sync with live versions only"},
	{"layout: in sync without blocks", "sim/world",
		"a node is in sync when the blocks are there that its rows name"},
	{"layout: closed before all are in sync", "sim/world",
		"the old replicas answer until the new ones are as many"},
	{"layout: in sync a turn early", "core/cluster",
		"a replica answers for the parts that it has taken over, and for no other"},
	{"layout: no fence", "core/table", "writes planned without the new layout are refused"},
	{"layout: no read fence", "core/table", "a replica set that is retired refuses reads"},
	{"layout: not chosen", "core/cluster", "the successor of a layout is agreed on"},
	{"layout: registers not carried", "core/register",
		"what was decided is known to the new voters before they decide"},
	{"layout: retire before readable", "sim/world",
		"the old replicas are let go when the new ones can be read"},
	{"layout: taken over from the closed", "core/table",
		"who has closed a set is asked for nothing as a member of it"},
	{"layout: the newest version first", "sim/world",
		"a node catches up with the version that is read before the one that will be"},
	{"memory without limit", "sim/world", "what is held in memory has a limit"},
	{"monotonic: hurried stamp", "core/table",
		"a monotonic write is stamped anew only when it cannot be clean any more"},
	{"monotonic: no write-back", "core/table", "what a monotonic read returns is held by a write quorum"},
	{"reclaim: from local transition", "core/object",
		"what is replaced is freed when the replicas agree, not when one has seen it"},
	{"reclaim: seal by one replica", "core/object", "an upload is given up when all replicas have sealed it"},
	{"reclaim: superseder at one replica", "core/object",
		"what is replaced is freed when its successor is held by a write quorum"},
	{"reclaim: what a rotten row knew stays", "core/object",
		"block lists of which no row knows are looked into, and go"},
	{"register accepts what it promised not to", "core/register", "a voter keeps its promise"},
	{"register: a lost store votes", "core/register",
		"a voter that lost its memory is silent until it is whole"},
	{"silent replica is waited for", "sim/world", "a silent replica costs a hedge, never a time-out"},
	{"stamps of the wall clock", "sim/world", "stamps exceed all that were heard of"},
	{"table: an unreadable row is absent", "core/table", "a row that cannot be read is not absent"},
	{"unknown headers are ignored", "sim/world", "what would change what is stored is refused, not ignored"},
	{"voters: a zone counts with one node", "sim/world", "a zone votes with a majority of its nodes"},
	{"write ends with its client", "sim/world", "the commit of an object outlives its client"},
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
	for _, m := range stories {
		fmt.Fprintf(&b, "| %s | %s | a story | `%s` |\n", m.name, m.rule, m.where)
	}
	if err := os.WriteFile(tableFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestEveryMutantIsHunted: each protocol step of core that can be broken is in one of the tables, with what
// it is, and those are up to date; what a story breaks is named by the tests there.
func TestEveryMutantIsHunted(t *testing.T) {
	table, err := os.ReadFile(tableFile)
	if err != nil {
		t.Fatal(err)
	}
	rules, where := map[string]string{}, map[string]string{}
	for _, m := range mutants {
		rules[m.name] = m.rule
	}
	for _, m := range stories {
		rules[m.name], where[m.name] = m.rule, m.where
	}
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`Mutant\(([^)]*)\)`).FindAllStringSubmatch(
		sources(t, "../../core"), -1) {
		name := strings.Trim(m[1], `"`)
		if name == "name string" {
			continue // the declaration in rt
		}
		known[name] = true
		if rules[name] == "" {
			t.Errorf("mutant %q is in no table", name)
		}
	}
	for name, rule := range rules {
		if !known[name] || !strings.Contains(string(table), "| "+name+" | "+rule+" |") {
			t.Errorf("mutant %q: in core: %v; its row of %s is not up to date: run the tests with -update",
				name, known[name], tableFile)
		}
		at := where[name]
		if at != "" && !strings.Contains(sources(t, "../../"+at, "_test.go"), `"`+name+`"`) {
			t.Errorf("mutant %q: no test in %s names it", name, at)
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
