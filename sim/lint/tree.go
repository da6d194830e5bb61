package lint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Module is the path of the module whose rules these are.
const Module = "granary"

// Package is what the lattice judges: one package of the module and what it imports.
type Package struct {
	Path        string   // relative to the module: core/kv
	Imports     []string // full paths, of the package itself
	TestImports []string // full paths, of its test files, those of package x_test included
	Err         string   // why go list could not read it, or empty
}

// Root returns the folder of the module around dir: the nearest one above that has a go.mod.
func Root(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("find module root: no go.mod in %s or above", dir)
		}
	}
}

// List asks the go command for every package of the module in root, in its order. A package that it cannot
// read is listed with Err set.
func List(root string) ([]Package, error) {
	fields := "-json=ImportPath,Imports,TestImports,XTestImports,Error"
	cmd := exec.Command("go", "list", "-e", fields, "./...")
	cmd.Dir = root
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list ./... in %s: %w: %s", root, err, stderr.String())
	}
	return decodeList(strings.NewReader(string(out)))
}

// decodeList reads the stream of objects that go list -json prints.
func decodeList(r io.Reader) ([]Package, error) {
	var all []Package
	for dec := json.NewDecoder(r); ; {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
			Error                              *struct{ Pos, Err string }
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("decode the output of go list: %w", err)
		}
		pkg := Package{Path: relative(p.ImportPath), Imports: p.Imports}
		pkg.TestImports = append(p.TestImports, p.XTestImports...)
		if p.Error != nil {
			pkg.Err = strings.TrimPrefix(p.Error.Pos+": "+p.Error.Err, ": ")
		}
		all = append(all, pkg)
	}
}

// relative cuts the module off a package path; vet's mark of a test variant ("p [p.test]") goes too.
func relative(path string) string {
	path, _, _ = strings.Cut(path, " ")
	return strings.TrimPrefix(path, Module+"/")
}

// inModule reports whether an import path lies in the module.
func inModule(path string) bool { return path == Module || strings.HasPrefix(path, Module+"/") }

// inStd reports whether an import path is the standard library's: its first element has no dot.
func inStd(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".") && !inModule(path)
}

// under reports whether path is folder or lies below it.
func under(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

// underAny reports whether path lies under one of the folders; "*" covers everything.
func underAny(path string, folders []string) bool {
	for _, f := range folders {
		if f == "*" || under(path, f) {
			return true
		}
	}
	return false
}
