package lint

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// Analyzer finds what could make two runs of one seed differ. Its result is a []Excuse: the excuses of the
// package. It reports nothing in packages outside [Checked].
var Analyzer = &analysis.Analyzer{
	Name: "detlint",
	Doc: "find goroutines, channels, clocks, global randomness, locks, map order in deterministic code\n\n" +
		"core, netsim and sim reach the world through core/rt only. //det:ok reason excuses a line.",
	ResultType: reflect.TypeFor[[]Excuse](),
	Run:        run,
}

// The parts of the tree that must be deterministic, and what lies inside them but must not be.
var (
	checkedParts = []string{"core", "netsim", "sim"}
	freeParts    = []string{"netsim/wan", "netsim/cmd", "sim/cmd", "sim/lint", "core/goldentest"}
	freeFiles    = []string{"sim/sched/coro.go"} // the one place where coroutines are switched
	spawners     = []string{"core/rt", "sim/sched"}
)

// Checked reports whether the analyzer looks at the package of that import path.
func Checked(path string) bool {
	path, _, _ = strings.Cut(path, " ")
	if !inModule(path) || strings.HasSuffix(path, ".test") { // a generated test main
		return false
	}
	path = relative(path)
	return underAny(path, checkedParts) && !underAny(path, freeParts)
}

// walker walks the files of one package.
type walker struct {
	pass    *analysis.Pass
	path    string // of the package, relative to the module
	parents map[ast.Node]ast.Node
	found   []analysis.Diagnostic
}

func run(pass *analysis.Pass) (any, error) {
	c := &walker{pass: pass, path: relative(strings.TrimSuffix(pass.Pkg.Path(), "_test"))}
	var excuses []Excuse
	if !Checked(pass.Pkg.Path()) {
		return excuses, nil
	}
	for _, f := range pass.Files {
		base := filepath.Base(pass.Fset.Position(f.FileStart).Filename)
		if strings.HasSuffix(base, "_test.go") || slices.Contains(freeFiles, c.path+"/"+base) {
			continue
		}
		c.found = nil
		c.file(f)
		es := excusesIn(pass.Fset, f)
		for _, d := range judge(pass.Fset, c.found, es) {
			pass.Report(d)
		}
		excuses = append(excuses, es...)
	}
	return excuses, nil
}

func (c *walker) report(at ast.Node, format string, args ...any) {
	c.found = append(c.found, analysis.Diagnostic{Pos: at.Pos(), Message: fmt.Sprintf(format, args...)})
}

func (c *walker) file(f *ast.File) {
	c.parents = map[ast.Node]ast.Node{}
	var stack []ast.Node
	ast.Inspect(f, func(n ast.Node) bool {
		if n == nil {
			stack = stack[:len(stack)-1]
			return true
		}
		if len(stack) > 0 {
			c.parents[n] = stack[len(stack)-1]
		}
		stack = append(stack, n)
		return true
	})
	ast.Inspect(f, func(n ast.Node) bool {
		if n != nil {
			c.node(n)
		}
		return true
	})
}

const (
	insteadOfGo   = "start tasks by rt.Group.Go"
	insteadOfChan = "use rt.Queue, rt.Future or rt.Waiter"
	insteadOfMap  = "range over rt.Sorted(m), or collect the keys and sort them before anything else"
)

// node reports what is wrong with n itself; its children get their own turn.
func (c *walker) node(n ast.Node) {
	switch n := n.(type) {
	case *ast.GoStmt:
		c.report(n, "go statement: %s", insteadOfGo)
	case *ast.SelectStmt:
		c.report(n, "select: %s", insteadOfChan)
	case *ast.SendStmt:
		c.report(n, "channel send: %s", insteadOfChan)
	case *ast.ChanType:
		c.report(n, "channel type: %s", insteadOfChan)
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			c.report(n, "channel receive: %s", insteadOfChan)
		}
	case *ast.RangeStmt:
		t := c.pass.TypesInfo.TypeOf(n.X)
		if isChan(t) {
			c.report(n, "range over a channel: %s", insteadOfChan)
		}
		if isMap(t) && !c.orderFree(n) {
			c.report(n, "range over a map: %s", insteadOfMap)
		}
	case *ast.ImportSpec:
		if path := strings.Trim(n.Path.Value, `"`); path == "unsafe" || path == "C" {
			c.report(n, "import of %s: addresses and foreign code differ from run to run", path)
		}
	case *ast.CallExpr:
		c.format(n)
	case *ast.Ident:
		c.use(n)
	}
}

// format reports a %p in a call to package fmt.
func (c *walker) format(call *ast.CallExpr) {
	if pkg, _ := c.callee(call); pkg != "fmt" {
		return
	}
	for _, a := range call.Args {
		v := c.pass.TypesInfo.Types[a].Value
		if v != nil && v.Kind() == constant.String && strings.Contains(constant.StringVal(v), "%p") {
			c.report(call, "%%p: addresses differ from run to run; print an id")
		}
	}
}

// use reports a mention of a forbidden name, called or not.
func (c *walker) use(id *ast.Ident) {
	obj := c.pass.TypesInfo.Uses[id]
	if obj == nil {
		return
	}
	if f, ok := obj.(*types.Func); ok && f.Name() == "Spawn" && c.spawns(id, f) {
		c.report(id, "Env.Spawn: %s; only rt itself spawns", insteadOfGo)
		return
	}
	pkg, name := nameOf(obj)
	if b := lookup(pkg, name); b != nil && (b.unless == nil || !b.unless(c, id)) {
		if pkg != "" {
			name = pkg + "." + name
		}
		c.report(id, "%s: %s", name, b.instead)
	}
}

// spawns reports whether f is the Spawn of an rt.Env, of the interface or of a type that implements it.
func (c *walker) spawns(id *ast.Ident, f *types.Func) bool {
	if slices.Contains(spawners, c.path) {
		return false
	}
	recv := f.Signature().Recv()
	if recv == nil {
		return false
	}
	if named, ok := types.Unalias(recv.Type()).(*types.Named); ok && named.Obj().Pkg() != nil {
		if named.Obj().Pkg().Path() == Module+"/core/rt" {
			return true
		}
	}
	for _, imp := range c.pass.Pkg.Imports() {
		if imp.Path() != Module+"/core/rt" {
			continue
		}
		if env := imp.Scope().Lookup("Env"); env != nil {
			iface, ok := env.Type().Underlying().(*types.Interface)
			return ok && types.Implements(recv.Type(), iface)
		}
	}
	return false
}

// nameOf returns the package path of obj and its name there: "Now", or "Value.MapRange" for a method. A
// builtin has no package. Locals and fields return "", "".
func nameOf(obj types.Object) (pkg, name string) {
	if _, ok := obj.(*types.Builtin); ok && obj.Pkg() == nil {
		return "", obj.Name()
	}
	if obj.Pkg() == nil {
		return "", ""
	}
	if f, ok := obj.(*types.Func); ok && f.Signature().Recv() != nil {
		t := f.Signature().Recv().Type()
		if p, ok := types.Unalias(t).(*types.Pointer); ok {
			t = p.Elem()
		}
		if named, ok := types.Unalias(t).(*types.Named); ok {
			return obj.Pkg().Path(), named.Obj().Name() + "." + obj.Name()
		}
		return "", ""
	}
	if obj.Parent() != obj.Pkg().Scope() {
		return "", ""
	}
	return obj.Pkg().Path(), obj.Name()
}

// callee returns what nameOf says about the function that call calls by its name.
func (c *walker) callee(call *ast.CallExpr) (pkg, name string) {
	fun := ast.Unparen(call.Fun)
	switch x := fun.(type) {
	case *ast.IndexExpr:
		fun = x.X
	case *ast.IndexListExpr:
		fun = x.X
	}
	var id *ast.Ident
	switch x := fun.(type) {
	case *ast.Ident:
		id = x
	case *ast.SelectorExpr:
		id = x.Sel
	default:
		return "", ""
	}
	if obj := c.pass.TypesInfo.Uses[id]; obj != nil {
		return nameOf(obj)
	}
	return "", ""
}

// callOf returns the call whose function is the name id, nil if id is used as a value.
func (c *walker) callOf(id *ast.Ident) *ast.CallExpr {
	var fun ast.Node = id
	for {
		switch p := c.parents[fun].(type) {
		case *ast.SelectorExpr, *ast.ParenExpr, *ast.IndexListExpr:
			fun = p
		case *ast.IndexExpr:
			if p.X != fun {
				return nil
			}
			fun = p
		case *ast.CallExpr:
			if p.Fun == fun {
				return p
			}
			return nil
		default:
			return nil
		}
	}
}

// funcAround returns the innermost function, declared or literal, around n, nil at package level.
func (c *walker) funcAround(n ast.Node) ast.Node {
	for n = c.parents[n]; n != nil; n = c.parents[n] {
		switch n.(type) {
		case *ast.FuncDecl, *ast.FuncLit:
			return n
		}
	}
	return nil
}

func isChan(t types.Type) bool {
	return anyCore(t, func(u types.Type) bool { _, ok := u.(*types.Chan); return ok })
}

func isMap(t types.Type) bool {
	return anyCore(t, func(u types.Type) bool { _, ok := u.(*types.Map); return ok })
}

// anyCore reports whether is holds for t's underlying type or, if t is a type parameter, for that of any of
// its terms.
func anyCore(t types.Type, is func(types.Type) bool) bool {
	if t == nil {
		return false
	}
	tp, ok := types.Unalias(t).(*types.TypeParam)
	if !ok {
		return is(t.Underlying())
	}
	iface, _ := tp.Constraint().Underlying().(*types.Interface)
	for i := range iface.NumEmbeddeds() {
		switch e := iface.EmbeddedType(i).(type) {
		case *types.Union:
			for j := range e.Len() {
				if is(e.Term(j).Type().Underlying()) {
					return true
				}
			}
		default:
			if is(e.Underlying()) {
				return true
			}
		}
	}
	return false
}
