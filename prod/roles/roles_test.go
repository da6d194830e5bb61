package roles

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"granary/core/api/admin"
	"granary/core/layout"
	"granary/core/layout/plan"
)

func talk(t testing.TB) *File {
	t.Helper()
	const path = "testdata/talk.toml"
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse(path, raw)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestParse(t *testing.T) {
	f := talk(t)
	if f.Params != (layout.Params{Replicas: 3, MinZones: 3, Partitions: 256}) || len(f.Nodes) != 7 {
		t.Errorf("got %+v", f)
	}
	if want := (Node{"digitale", "atuin", 10e12}); f.Nodes[2] != want {
		t.Errorf("got %+v, want %+v", f.Nodes[2], want)
	}
	small := `tolerance = 0.01
node = [{name = "a", zone = "x", capacity = 5}, {name = "b", zone = "y", capacity = "1Ki"},
	{name = "c", zone = "y", capacity = 20e12}]`
	f, err := Parse("-", []byte(small))
	want := &File{Params: layout.Params{Replicas: 3, Partitions: 256, Tolerance: 100},
		Nodes: []Node{{"a", "x", 5}, {"b", "y", 1024}, {"c", "y", 20e12}}}
	if d := cmp.Diff(want, f); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

// TestFaults: every fault is named with the file, the line and column, the key, and what would be right.
func TestFaults(t *testing.T) {
	const node = "[[node]]\nname = \"a\"\nzone = \"x\"\ncapacity = 1\n"
	for text, want := range map[string][]string{
		"":                                       {"f:1:1: no nodes: add a table [[node]]"},
		"replicas = \n" + node:                   {"f:1:12: not TOML: "},
		"replicas = 17\n" + node:                 {"f:1:1: replicas = 17: want a whole number from 1 to 16"},
		"replicas = \"3\"\n" + node:              {"f:1:1: replicas = 3: want a whole number from 1 to 16"},
		"\n partitions = 100\n" + node:           {"f:2:2: partitions = 100: want a power of two: 64 or 128"},
		"replicas = 2\nmin_zones = 3\n" + node:   {"f:2:1: min_zones = 3: want at most the replicas, 2"},
		"replicas = 2\nmin_regions = 3\n" + node: {"f:2:1: min_regions = 3: want at most the replicas, 2"},
		"tolerance = 1\n" + node:                 {`f:1:1: tolerance "1": too large; write a percent`},
		"tolerance = 0.00001\n" + node:           {`f:1:1: tolerance "0.00001": finer than 0.01%; write`},
		"tolerance = -0.1\n" + node:              {`f:1:1: tolerance "-0.1": not a share; write`},
		"tolerance = \"1 %%\"\n" + node:          {`f:1:1: tolerance "1 %%": not a share`},
		"tolerance = true\n" + node:              {`f:1:1: tolerance "true": not a share`},
		"replica = 3\n" + node: {"f:1:1: replica: no such key; there are replicas, min_zones, min_regions, " +
			"partitions, tolerance, node"},
		node + "colour = \"red\"\n":      {"f:5:1: colour: no such key; there are name, zone, capacity"},
		node + "[node.disk]\nsize = 1\n": {"f:5:2: disk: no such key", "f:6:1: size: no such key"},
		node + "\"node.0\" = 1\n":        {"f:5:1: node?0: no such key"},
		"[node]\nname = \"a\"\n":         {"f:1:2: node: want one table for each node, headed [[node]]"},
		"node = [1]\n":                   {"f:1:1: node 1: want a table"},
		"[[node]]\n": {`f:1:3: node 1 has no name: add one, as in name = "celeri"`,
			"node 1 has no zone: add the place", "node 1 has no capacity: add one"},
		"[[node]]\nname = \"\"\nzone = 5\ncapacity = \"lots\"\n": {`f:2:1: node 1: name = "": want a text`,
			`f:3:1: node 1: zone = "5": want a text`,
			`f:4:1: node 1: capacity: size "lots": not a number; write a number of bytes, or one like 500G`},
		"[[node]]\nname = \"a\"\nzone = \" x\"\ncapacity = -1\n": {`f:3:1: node "a": zone = " x"`,
			`f:4:1: node "a": capacity: -1: want 0 to 1024Pi bytes`},
		"[[node]]\nname = \"a\"\nzone = \"x\"\ncapacity = 1.5\n": {`f:4:1: node "a": capacity: 1.5: want a ` +
			`whole number of bytes, at most`},
		"[[node]]\nname = \"a\"\nzone = \"x\"\ncapacity = 1e99\n": {`f:4:1: node "a": capacity: 1e+99: want`},
		"[[node]]\nname = \"a\"\nzone = \"x\"\ncapacity = [1]\n": {`f:4:1: node "a": capacity: [1]: want a ` +
			`whole number of bytes, or a text`},
		node + node: {`f:6:1: name = "a": the node at line 1 is called so: give each another`},
		"node = [{name = \"a\", zone = \"x\", size = 1}]\n": {`f:1:1: node "a" has no capacity`,
			"f:1:34: size: no such key; there are name, zone, capacity"},
	} {
		f, err := Parse("f", []byte(text))
		if err == nil {
			t.Errorf("%q is taken as %+v", text, f)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q:\n%v\nlacks %q", text, err, w)
			}
		}
	}
}

// TestFaultsAreBounded: of a file that is nothing but faults, not all are printed.
func TestFaultsAreBounded(t *testing.T) {
	_, err := Parse("f", []byte(strings.Repeat("[[node]]\nx = 1\n", 1000)))
	lines := strings.Count(err.Error(), "\n")
	if lines > 4*faultsMax || !strings.Contains(err.Error(), "more") {
		t.Errorf("%d lines, %v", lines, err)
	}
	if _, err := Parse("f", make([]byte, FileMax+1)); err == nil {
		t.Error("a file beyond FileMax is read")
	}
}

func TestTolerance(t *testing.T) {
	for text, want := range map[string]Tolerance{"0": 0, "1%": 100, "0.01": 100, " 0.25 % ": 25, "50%": 5000,
		"0.0001": 1, "2.50%": 250, "0.5000": 5000} {
		got, err := ParseTolerance(text)
		if got != want || err != nil {
			t.Errorf("ParseTolerance(%q) = %d, %v, want %d", text, got, err, want)
		}
		if back, err := ParseTolerance(got.String()); back != got || err != nil {
			t.Errorf("%v is read as %v, %v", got, back, err)
		}
	}
	for _, text := range []string{"", "%", ".5", "1", "51%", "-1%", "0.00001", "0.001%", "1e-2", "1%%"} {
		if got, err := ParseTolerance(text); err == nil {
			t.Errorf("ParseTolerance(%q) = %v, want an error", text, got)
		}
	}
}

// TestPrevious: what was printed is read as the same table, and following it without change moves nothing.
func TestPrevious(t *testing.T) {
	f := talk(t)
	report, err := plan.Make(plan.Input{Roles: f.Roles(), Params: f.Params, Names: f.Names()})
	if err != nil {
		t.Fatal(err)
	}
	simulated := admin.SimulationOf(report)
	printed, err := json.Marshal(simulated)
	if err != nil {
		t.Fatal(err)
	}
	back, names, err := ParsePrevious("p", printed, &File{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(f.Names(), names); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	equal := cmp.Comparer(func(a, b []string) bool { return slices.Equal(a, b) }) // nil or empty
	if d := cmp.Diff(report.Next, back, equal); d != "" {
		t.Errorf("-printed +read:\n%s", d)
	}
	bare, err := json.Marshal(map[string]any{"table": simulated.Table, "more": 1})
	if err != nil {
		t.Fatal(err)
	}
	back, _, err = ParsePrevious("p", bare, f)
	if err != nil {
		t.Fatal(err)
	}
	next, err := layout.Assign(f.Roles(), f.Params, back)
	if err != nil {
		t.Fatal(err)
	}
	if moves := next.Moves(back); moves != 0 || next.Number != 2 {
		t.Errorf("version %d moves %d replicas", next.Number, moves)
	}
	smaller := &File{Params: f.Params, Nodes: f.Nodes[:6]}
	if back, _, err = ParsePrevious("p", bare, smaller); err != nil || len(back.Roles) != 7 {
		t.Errorf("with a node that has gone: %v, %d roles", err, len(back.Roles))
	}
}

// TestPreviousDoubled: what a simulation of doubled partitions printed moves nothing when it is read back,
// whatever the table is; one that is not valid, or says that it is finer than it is, is made anew.
func TestPreviousDoubled(t *testing.T) {
	f := talk(t)
	simulate := func(partitions int, prev *layout.Version) *plan.Report {
		t.Helper()
		f.Params.Partitions = partitions
		r, err := plan.Make(plan.Input{Roles: f.Roles(), Params: f.Params, Names: f.Names(), Previous: prev})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	read := func(s admin.Simulation) *layout.Version {
		t.Helper()
		printed, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		v, _, err := ParsePrevious("p", printed, f)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	first := simulate(256, nil)
	doubled := admin.SimulationOf(simulate(512, read(admin.SimulationOf(first))))
	again := simulate(512, read(doubled))
	if doubled.Moves != 0 || doubled.Split != 1 || again.Migration.Replicas != 0 || again.Next.Split != 1 {
		t.Errorf("doubled: %d moves, split %d; again: %d, %d", doubled.Moves, doubled.Split,
			again.Migration.Replicas, again.Next.Split)
	}
	doubled.Split = 0
	if r := simulate(512, read(doubled)); r.Next.Split != 0 {
		t.Errorf("without saying that it was split, it is %d", r.Next.Split)
	}
	bent := admin.SimulationOf(first)
	for i := range bent.Table {
		bent.Table[i] = []string{"celeri", "concombre", "io"}
	}
	if r := simulate(256, read(bent)); r.Migration.Replicas == 0 {
		t.Error("a table with two replicas in one zone was kept")
	}
}

func TestPreviousFaults(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "p:1:1: ",
		"{\n\"table\":5}":                 "p:2:9: ",
		"{\n\"table\":[],":                "p:2:11: ",
		`{}`:                              "p: table: it is absent or empty; want what",
		`{"table":[["a"],["b"],["c"]]}`:   "a power of two",
		`{"table":[["a","b"],["a"]]}`:     `p: table: partition 1 is on ["a"]: want 2 nodes, each once`,
		`{"table":[["a","a"]]}`:           `p: table: partition 0 is on ["a" "a"]: want 2 nodes, each once`,
		`{"table":[[]]}`:                  "replicas 0",
		`{"table":[["a"]],"min_zones":2}`: "zones 2",
		`{"table":[["a"]],"version":-1}`:  "p:1:",
		`{"table":[["a"]],"nodes":[{"name":"a","zone":"","capacity":1}]}`: "zone \"\"",
	} {
		v, _, err := ParsePrevious("p", []byte(text), &File{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %+v, %v, want %q", text, v, err, want)
		}
	}
	_, _, err := ParsePrevious("p", []byte(`{"table":[["a"]]}`), talk(t))
	if err == nil || !strings.Contains(err.Error(), "another cluster's") {
		t.Errorf("a table of other nodes: %v", err)
	}
	_, _, err = ParsePrevious("p", []byte(`{"table":[["a"]],"version":18446744073709551615}`), &File{})
	if err == nil || !strings.Contains(err.Error(), "version: 18446744073709551615: want at most") {
		t.Errorf("a version out of range: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	raw, err := os.ReadFile("testdata/talk.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte("node = [{name=\"a\", zone=\"b\", capacity=1}]\ntolerance=0.5\n[[node.x]]\n\"node.0\".y=1"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, err := Parse("f", raw)
		if err != nil {
			return
		}
		if err := file.Params.Validate(); err != nil {
			t.Fatalf("taken from %q: %v", raw, err)
		}
		for _, r := range file.Roles() {
			if err := r.Validate(); err != nil {
				t.Fatalf("taken from %q: %v", raw, err)
			}
		}
	})
}

func FuzzPrevious(f *testing.F) {
	f.Add([]byte(`{"table":[["a","b"],["b","c"]],"nodes":[{"name":"a","zone":"x","capacity":5}]}`))
	file := &File{Params: layout.Params{Replicas: 2, Partitions: 4},
		Nodes: []Node{{"a", "x", 10}, {"b", "y", 10}}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, _, err := ParsePrevious("p", raw, file)
		if err != nil || v.Params.Partitions > 64 {
			return
		}
		if _, err := layout.Assign(file.Roles(), file.Params, v); err != nil {
			t.Fatalf("nothing can follow %q: %v", raw, err)
		}
	})
}
