package lint

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of the tree.
const (
	FileLinesMax   = 800
	LineColumnsMax = 110 // a tab counts TabColumns
	TabColumns     = 4
	CoreFuncMax    = 70 // lines, listed and not enforced
	FuncMax        = 100
)

// longLines are the files whose lines may be longer, with the reason: addresses and tables of strings.
var longLines = map[string]string{}

// unfinished are words that promise work instead of doing it.
var unfinished = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)

// File is one Go file of the tree.
type File struct {
	Path   string // relative to the module's root
	Text   string
	Test   bool
	Set    *token.FileSet
	Syntax *ast.File // nil if it does not parse, for which see Err
	Err    error
}

// Folder is the file's folder, relative to the module's root.
func (f *File) Folder() string { return path.Dir(f.Path) }

// Files reads every Go file under root, in order of path, but those in testdata and in hidden folders.
func Files(root string) ([]*File, error) {
	var all []*File
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() && name != root && (base == "testdata" || base[0] == '.' || base[0] == '_') {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(base, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		all = append(all, NewFile(filepath.ToSlash(rel), string(text)))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the Go files under %s: %w", root, err)
	}
	return all, nil
}

// NewFile parses one file.
func NewFile(name, text string) *File {
	f := &File{Path: name, Text: text, Test: strings.HasSuffix(name, "_test.go"), Set: token.NewFileSet()}
	syntax, err := parser.ParseFile(f.Set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		f.Err = err
		return f
	}
	f.Syntax = syntax
	return f
}

// Sizes returns the files and lines that are too long, the promises of work in core, and the exemptions that
// exempt nothing.
func Sizes(files []*File) []string {
	var faults []string
	used := map[string]bool{}
	for _, f := range files {
		lines := strings.Split(strings.TrimSuffix(f.Text, "\n"), "\n")
		if len(lines) > FileLinesMax {
			faults = append(faults, fmt.Sprintf("%s: %d lines, at most %d: split it by noun",
				f.Path, len(lines), FileLinesMax))
		}
		for i, line := range lines {
			if n := columns(line); n > LineColumnsMax && longLines[f.Path] != "" {
				used[f.Path] = true
			} else if n > LineColumnsMax {
				faults = append(faults,
					fmt.Sprintf("%s:%d: %d columns, at most %d", f.Path, i+1, n, LineColumnsMax))
			}
			if word := unfinished.FindString(line); word != "" && under(f.Path, "core") && !f.Test {
				faults = append(faults, fmt.Sprintf("%s:%d: %s: core holds finished work", f.Path, i+1, word))
			}
		}
	}
	for name := range longLines {
		if !used[name] {
			faults = append(faults, name+": exempt from the line length for nothing")
		}
	}
	slices.Sort(faults)
	return faults
}

func columns(line string) int {
	return utf8.RuneCountInString(line) + strings.Count(line, "\t")*(TabColumns-1)
}

// LongFuncs lists the functions outside tests that are longer than their limit, longest first.
func LongFuncs(files []*File) []string {
	type long struct {
		lines int
		text  string
	}
	var all []long
	for _, f := range files {
		if f.Test || f.Syntax == nil {
			continue
		}
		limit := FuncMax
		if under(f.Path, "core") {
			limit = CoreFuncMax
		}
		for _, d := range f.Syntax.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			from := f.Set.Position(fn.Name.Pos()).Line
			n := f.Set.Position(fn.End()).Line - from + 1
			if n > limit {
				all = append(all, long{n, fmt.Sprintf("%4d lines (at most %d) %s:%d %s",
					n, limit, f.Path, from, fn.Name.Name)})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b long) int { return cmp.Compare(b.lines, a.lines) })
	var text []string
	for _, l := range all {
		text = append(text, l.text)
	}
	return text
}
