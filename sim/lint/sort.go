package lint

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
)

// sorters order the slice that is their first argument, or that it wraps.
var sorters = []string{
	"sort.Sort", "sort.Stable", "sort.Slice", "sort.SliceStable", "sort.Strings", "sort.Ints",
	"sort.Float64s",
	"slices.Sort", "slices.SortFunc", "slices.SortStableFunc",
}

// assignedSorted reports whether call stands alone on the right of an assignment to a local variable that is
// sorted before anything else.
func (c *walker) assignedSorted(call *ast.CallExpr) bool {
	s, ok := c.parents[call].(*ast.AssignStmt)
	if !ok || len(s.Lhs) != 1 || len(s.Rhs) != 1 {
		return false
	}
	id, ok := s.Lhs[0].(*ast.Ident)
	if !ok {
		return false
	}
	x, ok := c.pass.TypesInfo.ObjectOf(id).(*types.Var)
	return ok && c.sortedAfter(s, x)
}

// sortedAfter reports whether the slice x, filled in an unknown order by the statement at, is sorted on every
// way on, in the same function, before anything but its length is looked at.
func (c *walker) sortedAfter(at ast.Stmt, x *types.Var) bool {
	fn := c.funcAround(at)
	if fn == nil || x.Pos() < fn.Pos() || x.Pos() >= fn.End() {
		return false
	}
	if r, ok := at.(*ast.RangeStmt); ok && r.Body.Pos() <= x.Pos() && x.Pos() < r.Body.End() {
		return true // lives for one round only
	}
	sorting := c.firstSort(fn, at, x)
	if sorting == nil {
		return false
	}
	// A loop around both statements is harmless; one around at alone runs it again before the sort.
	from := at.Pos()
	for n := c.parents[at]; n != fn; n = c.parents[n] {
		switch n.(type) {
		case *ast.ForStmt, *ast.RangeStmt:
			if sorting.Pos() >= n.End() {
				from = n.Pos()
			}
		}
	}
	seen := false
	ast.Inspect(fn, func(n ast.Node) bool {
		if n == nil || n == at || n.Pos() >= sorting.Pos() || n.End() <= from {
			return false
		}
		if n.Pos() >= from {
			seen = seen || c.shows(n, fn, x)
		}
		return true
	})
	return !seen
}

// firstSort returns the first statement after at that sorts x and that every way on passes, nil if there is
// none.
func (c *walker) firstSort(fn ast.Node, at ast.Stmt, x *types.Var) ast.Stmt {
	var first ast.Stmt
	ast.Inspect(fn, func(n ast.Node) bool {
		s, ok := n.(*ast.ExprStmt)
		if !ok || first != nil || s.Pos() < at.End() || !c.sorts(s, x) {
			return first == nil
		}
		block := c.parents[s]
		if c.funcAround(s) == fn && block.Pos() <= at.Pos() && at.End() <= block.End() {
			first = s
		}
		return first == nil
	})
	return first
}

// sorts reports whether s is a call that sorts x.
func (c *walker) sorts(s *ast.ExprStmt, x *types.Var) bool {
	call, ok := s.X.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return false
	}
	pkg, name := c.callee(call)
	if !slices.Contains(sorters, pkg+"."+name) {
		return false
	}
	arg := ast.Unparen(call.Args[0])
	for {
		wrap, ok := arg.(*ast.CallExpr) // sort.Sort(byName(x))
		if !ok || len(wrap.Args) != 1 || !c.pass.TypesInfo.Types[wrap.Fun].IsType() {
			break
		}
		arg = ast.Unparen(wrap.Args[0])
	}
	id, ok := arg.(*ast.Ident)
	return ok && c.pass.TypesInfo.Uses[id] == x
}

// shows reports whether n lets the order of x be seen: a mention of x, but for its length, a comparison with
// nil, and further appends to it; a bare return if x is a named result; a jump.
func (c *walker) shows(n ast.Node, fn ast.Node, x *types.Var) bool {
	switch n := n.(type) {
	case *ast.ReturnStmt:
		return len(n.Results) == 0 && c.isResult(fn, x)
	case *ast.BranchStmt:
		return n.Tok == token.GOTO || n.Label != nil
	case *ast.Ident:
		return c.pass.TypesInfo.Uses[n] == x && !c.harmless(n)
	}
	return false
}

// harmless reports whether the mention id of a slice shows nothing of the order of its elements.
func (c *walker) harmless(id *ast.Ident) bool {
	switch p := c.parents[id].(type) {
	case *ast.BinaryExpr:
		other := p.X
		if other == id {
			other = p.Y
		}
		return c.pass.TypesInfo.Types[other].IsNil()
	case *ast.AssignStmt:
		return len(p.Lhs) == 1 && p.Lhs[0] == id && p.Tok == token.ASSIGN // judged by its right side
	case *ast.SliceExpr:
		s, ok := c.parents[p].(*ast.AssignStmt)
		high, zero := p.High.(*ast.BasicLit)
		return ok && zero && high.Value == "0" && sameExpr(s.Lhs[0], id)
	case *ast.CallExpr:
		_, name := c.callee(p)
		s, assigned := c.parents[p].(*ast.AssignStmt)
		appends := name == "append" && p.Args[0] == id && assigned && sameExpr(s.Lhs[0], id)
		return name == "len" || name == "cap" || appends
	}
	return false
}

// isResult reports whether x is a named result of fn.
func (c *walker) isResult(fn ast.Node, x *types.Var) bool {
	var t *ast.FuncType
	switch fn := fn.(type) {
	case *ast.FuncDecl:
		t = fn.Type
	case *ast.FuncLit:
		t = fn.Type
	}
	return t != nil && t.Results != nil && t.Results.Pos() <= x.Pos() && x.Pos() < t.Results.End()
}
