package lint

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// proof shows that the order in which a loop over a map runs cannot be seen afterwards. It knows few
// statements, and gives up on every other:
//
//	x = append(x, e)                   if x is sorted before anything else (see sort.go)
//	x += e, x++, x |= e …              of integers: the order cancels out
//	x = max(x, e), x = min(x, e)       likewise, but of floats
//	x = constant                       always the same one; so also return constant, as the only effect
//	delete(m, k), m[k] = e, m[k] += e  if k is the loop's key, so that one round touches each element
//
// under if, switch, continue and loops over slices. Each e must be free of calls and must not read what the
// loop changes.
type proof struct {
	c    *walker
	body *ast.BlockStmt
	key  types.Object // differs in every round; nil if the loop has none

	appended []*types.Var
	changed  []change
	returns  []string            // constants returned
	reads    map[*types.Var]bool // variables and fields mentioned in expressions
	whole    map[*types.Var]bool // of them, variables mentioned otherwise than to select a field

	writesMaps bool
	readsMaps  bool // other than by the loop's key
	derefs     bool
	breaks     bool
	effects    int
	depth      int // of inner loops and switches, where break is harmless
}

// change is one assignment that outlives the round, to a variable or to a field.
type change struct {
	of   *types.Var // the variable, or the field whoever's it is
	root *types.Var // the variable at the left end of s.total
	how  string     // "+", "max" …, or "=" and the constant
}

func newProof(c *walker, body *ast.BlockStmt) *proof {
	return &proof{c: c, body: body, reads: map[*types.Var]bool{}, whole: map[*types.Var]bool{}}
}

// orderFree reports whether the order in which loop runs over its map cannot be seen afterwards.
func (c *walker) orderFree(loop *ast.RangeStmt) bool {
	if isBlank(loop.Key) && isBlank(loop.Value) {
		return true // every round is the same
	}
	if loop.Tok != token.DEFINE {
		return false // the last key stays visible
	}
	l := newProof(c, loop.Body)
	if id, ok := loop.Key.(*ast.Ident); ok && !c.rangesValues(loop) {
		l.key = c.pass.TypesInfo.Defs[id]
	}
	return l.block(loop.Body) && l.independent() && !slices.ContainsFunc(l.appended, func(x *types.Var) bool {
		return !c.sortedAfter(loop, x)
	})
}

func isBlank(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return e == nil || ok && id.Name == "_"
}

// rangesValues reports a loop over maps.Values, whose first variable may repeat.
func (c *walker) rangesValues(loop *ast.RangeStmt) bool {
	call, ok := loop.X.(*ast.CallExpr)
	if !ok {
		return false
	}
	_, name := c.callee(call)
	return name == "Values"
}

// independent reports whether no round reads what another has changed.
func (l *proof) independent() bool {
	if l.writesMaps && l.readsMaps {
		return false
	}
	for _, x := range l.appended {
		if l.reads[x] {
			return false
		}
	}
	for _, t := range l.changed {
		if l.reads[t.of] || l.whole[t.root] || l.derefs {
			return false
		}
		for _, u := range l.changed {
			if t.of == u.of && t.how != u.how {
				return false
			}
		}
	}
	same := func(r string) bool { return r == l.returns[0] }
	if len(l.returns) > 0 && (l.effects > 0 || l.breaks || !all(l.returns, same)) {
		return false
	}
	if l.breaks { // whichever round comes first must have done the same
		first := func(t change) bool { return t.how[0] == '=' && t.of == l.changed[0].of }
		return l.effects == len(l.changed) && all(l.changed, first)
	}
	return true
}

func all[T any](list []T, is func(T) bool) bool {
	return !slices.ContainsFunc(list, func(t T) bool { return !is(t) })
}

func (l *proof) block(b *ast.BlockStmt) bool { return l.stmts(b.List) }

func (l *proof) stmts(list []ast.Stmt) bool {
	for _, s := range list {
		if !l.stmt(s) {
			return false
		}
	}
	return true
}

func (l *proof) stmt(s ast.Stmt) bool {
	switch s := s.(type) {
	case nil, *ast.EmptyStmt:
		return true
	case *ast.BlockStmt:
		return l.block(s)
	case *ast.AssignStmt:
		return l.assign(s)
	case *ast.IncDecStmt:
		return l.add(s.X)
	case *ast.ExprStmt:
		return l.remove(s.X)
	case *ast.DeclStmt:
		return l.declare(s)
	case *ast.IfStmt:
		return l.stmt(s.Init) && l.pure(s.Cond) && l.block(s.Body) && l.stmt(s.Else)
	case *ast.SwitchStmt:
		return l.choose(s)
	case *ast.RangeStmt:
		inner := s.Tok == token.DEFINE || isBlank(s.Key) && isBlank(s.Value)
		_, iterates := l.c.pass.TypesInfo.TypeOf(s.X).Underlying().(*types.Signature)
		return inner && !iterates && l.pure(s.X) && l.inside(s.Body.List)
	case *ast.BranchStmt:
		if s.Label != nil || s.Tok != token.BREAK && s.Tok != token.CONTINUE {
			return false
		}
		l.breaks = l.breaks || s.Tok == token.BREAK && l.depth == 0
		return true
	case *ast.ReturnStmt:
		return l.leave(s)
	}
	return false
}

func (l *proof) inside(list []ast.Stmt) bool {
	l.depth++
	defer func() { l.depth-- }()
	return l.stmts(list)
}

func (l *proof) choose(s *ast.SwitchStmt) bool {
	if !l.stmt(s.Init) || s.Tag != nil && !l.pure(s.Tag) {
		return false
	}
	for _, clause := range s.Body.List {
		c := clause.(*ast.CaseClause)
		if !l.allPure(c.List) || !l.inside(c.Body) {
			return false
		}
	}
	return true
}

func (l *proof) declare(s *ast.DeclStmt) bool {
	d := s.Decl.(*ast.GenDecl)
	for _, spec := range d.Specs {
		if v, ok := spec.(*ast.ValueSpec); ok && !l.allPure(v.Values) {
			return false
		}
	}
	return true
}

func (l *proof) leave(s *ast.ReturnStmt) bool {
	var what []string
	for _, r := range s.Results {
		k := l.constant(r)
		if k == "" {
			return false
		}
		what = append(what, k)
	}
	l.returns = append(l.returns, strings.Join(what, ", "))
	return true
}

func (l *proof) assign(s *ast.AssignStmt) bool {
	if s.Tok == token.DEFINE {
		return l.allPure(s.Rhs)
	}
	if len(s.Lhs) != 1 || len(s.Rhs) != 1 {
		return false
	}
	lhs, rhs := s.Lhs[0], s.Rhs[0]
	if l.ownElement(lhs) {
		l.effects++
		l.writesMaps = true
		if call := l.builtin(rhs, "append"); call != nil && sameExpr(call.Args[0], lhs) {
			return l.allPure(call.Args[1:])
		}
		return l.pure(rhs)
	}
	switch s.Tok {
	case token.ADD_ASSIGN, token.SUB_ASSIGN:
		return l.pure(rhs) && l.isInteger(lhs) && l.change(lhs, "+")
	case token.OR_ASSIGN, token.AND_ASSIGN, token.XOR_ASSIGN, token.MUL_ASSIGN, token.AND_NOT_ASSIGN:
		return l.pure(rhs) && l.isInteger(lhs) && l.change(lhs, s.Tok.String())
	case token.ASSIGN:
		return l.set(lhs, rhs)
	}
	return false
}

// set judges lhs = rhs.
func (l *proof) set(lhs, rhs ast.Expr) bool {
	if x := l.variable(lhs); x != nil {
		if call := l.builtin(rhs, "append"); call != nil && sameExpr(call.Args[0], lhs) {
			if !l.local(x) {
				l.effects++
				l.appended = append(l.appended, x)
			}
			return l.allPure(call.Args[1:])
		}
		if l.local(x) {
			return l.pure(rhs)
		}
	}
	for _, fold := range []string{"max", "min"} {
		if call := l.builtin(rhs, fold); call != nil && sameExpr(call.Args[0], lhs) {
			return l.allPure(call.Args[1:]) && !l.isFloat(lhs) && l.change(lhs, fold)
		}
	}
	k := l.constant(rhs)
	return k != "" && l.change(lhs, "="+k)
}

// add judges x++ and x--.
func (l *proof) add(x ast.Expr) bool {
	if l.ownElement(x) {
		l.effects++
		l.writesMaps = true
		return true
	}
	return l.isInteger(x) && l.change(x, "+")
}

// remove judges delete(m, k).
func (l *proof) remove(e ast.Expr) bool {
	call := l.builtin(e, "delete")
	if call == nil || !l.isKey(call.Args[1]) || l.root(call.Args[0]) == nil {
		return false
	}
	l.effects++
	l.writesMaps = true
	return true
}

// change notes that the loop assigns lhs.
func (l *proof) change(lhs ast.Expr, how string) bool {
	of, root := l.target(lhs), l.root(lhs)
	if of == nil || root == nil {
		return false
	}
	if of == root && l.local(root) {
		return true
	}
	l.effects++
	l.changed = append(l.changed, change{of, root, how})
	return true
}
