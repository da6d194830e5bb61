package lint

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func filesOf(t *testing.T) []*File {
	t.Helper()
	files, err := Files(rootOf(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Err != nil {
			t.Errorf("%s does not parse: %v", f.Path, f.Err)
		}
	}
	return files
}

// TestDocs checks the comments of the tree.
func TestDocs(t *testing.T) {
	for _, fault := range Docs(filesOf(t)) {
		t.Error(fault)
	}
}

// TestSizes checks the files and lines of the tree.
func TestSizes(t *testing.T) {
	for _, fault := range Sizes(filesOf(t)) {
		t.Error(fault)
	}
}

func TestDocsFinds(t *testing.T) {
	src := `// Package p is here.
package p

// Good is good.
type Good struct{}

// Does is good.
func (g *Good) Does() {}

func (g Good) Bare() {}

// wrong begins badly.
func (g Good) Wrong() {}

// Goodness is another name.
type Gen[T any] struct{}

func (g *Gen[T]) Of() {}

func (h hidden) Free() {}

type hidden struct{}

// The group speaks for all.
const (
	A = 1
	B = 2
)

const (
	// C is good.
	C = 3
	D = 4
)

// X and Y are a pair.
var X, Y = 1, 2

var Z = 3

type (
	// In is good.
	In int
	Out int
)

func Func() {}
`
	want := []string{"Good.Bare", "Good.Wrong", "Gen", "Gen.Of", "D", "Z", "Out", "Func"}
	var got []string
	for _, fault := range Docs([]*File{NewFile("core/p/p.go", src)}) {
		got = append(got, strings.Fields(strings.ReplaceAll(fault, ":", " "))[2])
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Docs (-want +got):\n%s", d)
	}
}

func TestDocsFindsPackages(t *testing.T) {
	files := []*File{
		NewFile("core/a/a.go", "package a\n"),
		NewFile("core/b/b.go", "package b\n"), NewFile("core/b/doc.go", "// Package b is here.\npackage b\n"),
		NewFile("core/c/c.go", "// Package other is here.\npackage c\n"),
		NewFile("core/d/d_test.go", "package d\n"),
		NewFile("prod/cmd/m/main.go", "package main\n"),
	}
	want := []string{"core/a", "core/c", "prod/cmd/m"}
	var got []string
	for _, fault := range Docs(files) {
		dir, _, _ := strings.Cut(fault, ":")
		got = append(got, dir)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Docs (-want +got):\n%s", d)
	}
}

func TestSizesFinds(t *testing.T) {
	word := "TO" + "DO"
	files := []*File{
		NewFile("core/a/ok.go", "package a\n"+strings.Repeat("\n", FileLinesMax-1)),
		NewFile("core/a/long.go", "package a\n"+strings.Repeat("\n", FileLinesMax)),
		NewFile("core/a/wide.go", "package a\n\t// "+strings.Repeat("é", LineColumnsMax-7)+
			"\n\t// "+strings.Repeat("é", LineColumnsMax-6)+"\n"),
		NewFile("core/a/todo.go", "package a\n\n// "+word+": later\n"),
		NewFile("core/a/todo_test.go", "package a\n\n// "+word+": later\n"),
		NewFile("prod/a/todo.go", "package a\n\n// "+word+": later\n"),
	}
	want := []string{
		"core/a/long.go: 801 lines, at most 800: split it by noun",
		"core/a/todo.go:3: " + word + ": core holds finished work",
		"core/a/wide.go:3: 111 columns, at most 110",
	}
	if d := cmp.Diff(want, Sizes(files)); d != "" {
		t.Errorf("Sizes (-want +got):\n%s", d)
	}
}

func TestLongFuncs(t *testing.T) {
	body := func(lines int) string {
		return "package a\n\nfunc F() {" + strings.Repeat("\n", lines-1) + "}\n"
	}
	files := []*File{
		NewFile("core/a/short.go", body(CoreFuncMax)), NewFile("core/a/long.go", body(CoreFuncMax+1)),
		NewFile("prod/a/short.go", body(FuncMax)), NewFile("prod/a/long.go", body(FuncMax+1)),
		NewFile("core/a/long_test.go", body(FuncMax+1)),
	}
	want := []string{
		" 101 lines (at most 100) prod/a/long.go:3 F",
		"  71 lines (at most 70) core/a/long.go:3 F",
	}
	if d := cmp.Diff(want, LongFuncs(files)); d != "" {
		t.Errorf("LongFuncs (-want +got):\n%s", d)
	}
}
