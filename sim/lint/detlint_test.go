package lint

import (
	"go/token"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/analysistest"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"
)

// TestCanary runs the analyzer over packages that commit every sin, each marked by a want comment, and over
// clean ones. It fails when a sin is missed, when something else is reported, and when a ban of the table is
// not in the canary.
func TestCanary(t *testing.T) {
	results := analysistest.Run(t, analysistest.TestData(), Analyzer,
		"granary/core/canary", "granary/core/rt", "granary/netsim/canary", "granary/netsim/wan",
		"granary/sim/canary", "granary/sim/sched", "granary/prod/free")
	var said []string
	for _, r := range results {
		for _, d := range r.Diagnostics {
			said = append(said, d.Message)
		}
	}
	for _, b := range bans {
		for _, name := range strings.Fields(b.names) {
			if b.pkg != "" {
				name = b.pkg + "." + name
			}
			begin := strings.TrimSuffix(name, "*")
			if begin == name {
				begin += ":"
			}
			if !slices.ContainsFunc(said, func(s string) bool { return strings.HasPrefix(s, begin) }) {
				t.Errorf("the ban on %s was not tried, or is dead: commit it once in testdata", name)
			}
		}
	}
}

// TestBansBelongToOneRow finds names listed twice, of which only the last row would count.
func TestBansBelongToOneRow(t *testing.T) {
	n := 0
	for _, b := range bans {
		n += len(strings.Fields(b.names))
	}
	if n != len(banOf) {
		t.Errorf("%d names in the table, %d distinct", n, len(banOf))
	}
}

func TestChecked(t *testing.T) {
	for path, want := range map[string]bool{
		"granary/core/rt": true, "granary/core/api/s3": true, "granary/netsim": true,
		"granary/sim/world":  true,
		"granary/netsim/wan": false, "granary/netsim/cmd/wan": false, "granary/sim/cmd/sim": false,
		"granary/sim/lint": false, "granary/prod/tcp": false, "granary/corex": false, "fmt": false,
		"granary/core/rt [granary/core/rt.test]": true, "granary/core/rt.test": false,
	} {
		if Checked(path) != want {
			t.Errorf("Checked(%q) = %v", path, !want)
		}
	}
}

// TestJudge checks that one excuse may cover several findings of its line, and no other line's.
func TestJudge(t *testing.T) {
	fset := token.NewFileSet()
	f := fset.AddFile("a.go", -1, 30)
	f.SetLines([]int{0, 10, 20})
	found := []analysis.Diagnostic{{Pos: f.Pos(1)}, {Pos: f.Pos(2)}, {Pos: f.Pos(12)}, {Pos: f.Pos(22)}}
	es := []Excuse{{Pos: fset.Position(f.Pos(5)), Reason: "because"}}
	if left := judge(fset, found, es); len(left) != 2 || es[0].Used != 2 {
		t.Errorf("left %v, used %d; want the findings of lines 2 and 3, and 2", left, es[0].Used)
	}
	es[0].alone, es[0].Used = true, 0
	if left := judge(fset, found, es); len(left) != 1 || es[0].Used != 3 {
		t.Errorf("left %v, used %d; want the finding of line 3, and 3", left, es[0].Used)
	}
}

// TestDeterminism runs the analyzer over the tree and lists every excuse.
func TestDeterminism(t *testing.T) {
	root := rootOf(t)
	var paths []string
	for _, p := range listOf(t, root) {
		if Checked(Module + "/" + p.Path) {
			paths = append(paths, Module+"/"+p.Path)
		}
	}
	const mode = packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedModule |
		packages.NeedImports | packages.NeedTypes | packages.NeedTypesSizes | packages.NeedTypesInfo |
		packages.NeedSyntax
	pkgs, err := packages.Load(&packages.Config{Mode: mode, Dir: root}, paths...)
	if err != nil {
		t.Fatal(err)
	}
	var sound []*packages.Package
	for _, p := range pkgs {
		switch {
		case len(p.Errors) > 0:
			lines := strings.SplitN(p.Errors[0].Error(), "\n", 3)
			t.Errorf("%s does not compile, so it was not checked: %s",
				relative(p.PkgPath), strings.Join(lines[:min(2, len(lines))], " "))
		case p.IllTyped:
			t.Errorf("%s was not checked: a package that it imports does not compile", relative(p.PkgPath))
		default:
			sound = append(sound, p)
		}
	}
	graph, err := checker.Analyze([]*analysis.Analyzer{Analyzer}, sound, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range graph.Roots {
		if a.Err != nil {
			t.Errorf("%s was not checked: %v", relative(a.Package.PkgPath), a.Err)
			continue
		}
		for _, d := range a.Diagnostics {
			pos := a.Package.Fset.Position(d.Pos)
			t.Errorf("%s:%d: %s", strings.TrimPrefix(pos.Filename, root+"/"), pos.Line, d.Message)
		}
		for _, e := range a.Result.([]Excuse) {
			t.Logf("excused: %s:%d: %s", strings.TrimPrefix(e.Pos.Filename, root+"/"), e.Pos.Line, e.Reason)
		}
	}
}
