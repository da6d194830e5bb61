package lint

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// purePackages have functions that only compute, as long as nobody hands them a function.
var purePackages = []string{
	"bytes", "cmp", "math/bits", "path", "strconv", "strings", "unicode", "unicode/utf8",
}

// pureBuiltins only compute.
var pureBuiltins = []string{"cap", "len", "max", "min", "make", "new"}

func (l *proof) allPure(list []ast.Expr) bool {
	return all(list, l.pure)
}

// pure reports whether evaluating e changes nothing, and notes what it reads.
func (l *proof) pure(e ast.Expr) bool {
	ok := true
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			ok = false
		case *ast.StarExpr:
			l.derefs = true
		case *ast.UnaryExpr:
			ok = ok && n.Op != token.ARROW
		case *ast.CallExpr:
			ok = ok && l.pureCall(n)
		case *ast.IndexExpr:
			if isMap(l.c.pass.TypesInfo.TypeOf(n.X)) && !l.isKey(n.Index) {
				l.readsMaps = true
			}
		case *ast.Ident:
			l.read(n)
		}
		return ok
	})
	return ok
}

func (l *proof) read(id *ast.Ident) {
	x, ok := l.c.pass.TypesInfo.Uses[id].(*types.Var)
	if !ok {
		return
	}
	l.reads[x] = true
	if sel, ok := l.c.parents[id].(*ast.SelectorExpr); !ok || sel.X != id {
		l.whole[x] = true
	}
}

func (l *proof) pureCall(call *ast.CallExpr) bool {
	info := l.c.pass.TypesInfo
	if info.Types[call.Fun].IsType() {
		return true // a conversion
	}
	pkg, name := l.c.callee(call)
	if pkg == "" {
		if name == "len" && isMap(info.TypeOf(call.Args[0])) {
			l.readsMaps = true
		}
		return slices.Contains(pureBuiltins, name) && l.builtin(call, name) != nil
	}
	writes := strings.Contains(name, ".") || strings.HasPrefix(name, "Append") // a method; into its argument
	if writes || !slices.Contains(purePackages, pkg) {
		return false
	}
	return all(call.Args, func(a ast.Expr) bool {
		_, isFunc := info.TypeOf(a).Underlying().(*types.Signature)
		return !isFunc
	})
}

// builtin returns e as a call of the named builtin, nil if it is none.
func (l *proof) builtin(e ast.Expr, name string) *ast.CallExpr {
	call, ok := ast.Unparen(e).(*ast.CallExpr)
	if !ok {
		return nil
	}
	id, ok := ast.Unparen(call.Fun).(*ast.Ident)
	if !ok || id.Name != name {
		return nil
	}
	if _, ok := l.c.pass.TypesInfo.Uses[id].(*types.Builtin); !ok {
		return nil
	}
	return call
}

// ownElement reports whether e is m[k] with the loop's key k, of a map m that is a variable or a field.
func (l *proof) ownElement(e ast.Expr) bool {
	ix, ok := ast.Unparen(e).(*ast.IndexExpr)
	return ok && isMap(l.c.pass.TypesInfo.TypeOf(ix.X)) && l.root(ix.X) != nil && l.isKey(ix.Index)
}

func (l *proof) isKey(e ast.Expr) bool {
	x := l.variable(e)
	return x != nil && x == l.key
}

// variable returns the variable that e names, nil if e is anything else.
func (l *proof) variable(e ast.Expr) *types.Var {
	id, ok := ast.Unparen(e).(*ast.Ident)
	if !ok {
		return nil
	}
	x, _ := l.c.pass.TypesInfo.Uses[id].(*types.Var)
	return x
}

// target returns the variable x or the field f of x.y.f, nil for anything else.
func (l *proof) target(e ast.Expr) *types.Var {
	if sel, ok := ast.Unparen(e).(*ast.SelectorExpr); ok {
		return l.variable(sel.Sel)
	}
	return l.variable(e)
}

// root returns x of x.y.f, nil if e is no such chain.
func (l *proof) root(e ast.Expr) *types.Var {
	for {
		sel, ok := ast.Unparen(e).(*ast.SelectorExpr)
		if !ok {
			return l.variable(e)
		}
		if l.c.pass.TypesInfo.Selections[sel] == nil {
			return l.variable(sel.Sel) // pkg.Var
		}
		e = sel.X
	}
}

// local reports whether x lives for one round only.
func (l *proof) local(x *types.Var) bool {
	return l.body.Pos() <= x.Pos() && x.Pos() < l.body.End()
}

// constant returns a text for e that is equal only for equal values, "" if e is not constant. A variable of a
// package counts, since what is returned there is one of the errors.
func (l *proof) constant(e ast.Expr) string {
	tv := l.c.pass.TypesInfo.Types[e]
	switch {
	case tv.Value != nil:
		return tv.Value.ExactString()
	case tv.IsNil():
		return "nil"
	}
	if x := l.target(e); x != nil && x.Pkg() != nil && x.Parent() == x.Pkg().Scope() {
		return x.Pkg().Path() + "." + x.Name()
	}
	return ""
}

func (l *proof) isInteger(e ast.Expr) bool { return l.basic(e)&types.IsInteger != 0 }

func (l *proof) isFloat(e ast.Expr) bool { return l.basic(e)&types.IsFloat != 0 }

func (l *proof) basic(e ast.Expr) types.BasicInfo {
	t := l.c.pass.TypesInfo.TypeOf(e)
	if t == nil {
		return 0
	}
	b, ok := t.Underlying().(*types.Basic)
	if !ok {
		return 0
	}
	return b.Info()
}

func sameExpr(a, b ast.Expr) bool {
	return types.ExprString(ast.Unparen(a)) == types.ExprString(ast.Unparen(b))
}
