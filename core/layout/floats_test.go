package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// TestNoFloats: floats differ between machines, so nothing that decides a table may know them.
func TestNoFloats(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, e := range entries {
		name := e.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		files++
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if what := floatIn(n); what != "" {
				t.Errorf("%v: %s; reports are made in package plan", set.Position(n.Pos()), what)
			}
			return true
		})
	}
	if files < 10 {
		t.Errorf("%d files were looked at", files)
	}
}

// floatIn names what a node of the syntax has to do with floats.
func floatIn(n ast.Node) string {
	switch n := n.(type) {
	case *ast.Ident:
		name := strings.ToLower(n.Name)
		if strings.HasPrefix(name, "float") || strings.HasPrefix(name, "newfloat") {
			return n.Name
		}
	case *ast.BasicLit:
		if n.Kind == token.FLOAT || n.Kind == token.IMAG {
			return n.Value
		}
	case *ast.SelectorExpr:
		// Of package math, the limits of integers alone.
		if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "math" && !strings.Contains(n.Sel.Name, "Int") &&
			!strings.Contains(n.Sel.Name, "Uint") {
			return "math." + n.Sel.Name
		}
	}
	return ""
}

// TestFloatsAreFound: the test above can fail.
func TestFloatsAreFound(t *testing.T) {
	for _, text := range []string{"float64(1)", "1.5", "r.Float64()", "math.Sqrt(4)", "big.NewFloat(x)"} {
		expr, err := parser.ParseExpr(text)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		ast.Inspect(expr, func(n ast.Node) bool {
			found = found || floatIn(n) != ""
			return true
		})
		if !found {
			t.Errorf("%s is not found", text)
		}
	}
}
