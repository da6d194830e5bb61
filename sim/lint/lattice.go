package lint

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed lattice.txt
var latticeText string

// Lattice is the import lattice read from its text: who may import whom, and why not.
type Lattice struct {
	ranks      []row // rank = index; cols[0] names
	children   []row // parent, subpackage
	parts      []row // from, imports, tests also
	only       []row // package, importers
	thirdParty []row // path, importers, tests also
	std        []row // path
	stdSuites  []row // path
}

// row is one line of the text: its columns split into words, and the reason, which is the last column.
type row struct {
	cols [][]string
	why  string
}

func (r row) key() string { return r.cols[0][0] }

// Granary returns the lattice of this module.
func Granary() (*Lattice, error) { return ParseLattice(latticeText) }

// ParseLattice reads the text form: sections in brackets, columns separated by |, # comments.
//
// Errors: an unknown section, a row with the wrong number of columns, a row without a name or a reason.
func ParseLattice(text string) (*Lattice, error) {
	l := new(Lattice)
	sections := map[string]struct {
		rows  *[]row
		width int
	}{
		"ranks": {&l.ranks, 2}, "children": {&l.children, 3}, "parts": {&l.parts, 4}, "only": {&l.only, 3},
		"third-party": {&l.thirdParty, 4}, "std": {&l.std, 2}, "std-suites": {&l.stdSuites, 2},
	}
	into, name := sections[""], ""
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] == '[' {
			name = strings.Trim(line, "[]")
			if into = sections[name]; into.rows == nil {
				return nil, fmt.Errorf("lattice line %d: unknown section %q", i+1, name)
			}
			continue
		}
		cols := strings.Split(line, "|")
		if len(cols) != into.width {
			return nil, fmt.Errorf("lattice line %d: %d columns, section %q has %d",
				i+1, len(cols), name, into.width)
		}
		r := row{why: strings.TrimSpace(cols[len(cols)-1])}
		for _, c := range cols[:len(cols)-1] {
			r.cols = append(r.cols, strings.Fields(c))
		}
		if len(r.cols[0]) == 0 || r.why == "" {
			return nil, fmt.Errorf("lattice line %d: a row needs a name and a reason", i+1)
		}
		*into.rows = append(*into.rows, r)
	}
	return l, nil
}

// Check returns what is wrong with the imports of p, one sentence each, with the reason. Nil is well.
func (l *Lattice) Check(p Package) []string {
	var faults []string
	check := func(imports []string, test bool) {
		for _, imp := range imports {
			if why := l.refuse(p.Path, imp, test); why != "" {
				faults = append(faults,
					fmt.Sprintf("%s%s imports %s: %s", p.Path, mark(test), relative(imp), why))
			}
		}
	}
	if l.part(p.Path) == nil {
		return []string{p.Path + ": no row in [parts] covers it; say there what it may import, and why"}
	}
	if under(p.Path, "core") && l.rank(p.Path) < 0 {
		return []string{p.Path + ": has no rank; give it one in [ranks], with the reason"}
	}
	check(p.Imports, false)
	check(p.TestImports, true)
	return faults
}

func mark(test bool) string {
	if test {
		return " (test)"
	}
	return ""
}

// refuse returns why from must not import the path imp, or "".
func (l *Lattice) refuse(from, imp string, test bool) string {
	switch {
	case imp == "C":
		return "cgo is not portable and starts threads of its own"
	case inStd(imp):
		return l.refuseStd(from, imp, test)
	case !inModule(imp):
		return l.refuseThirdParty(from, imp, test)
	}
	to := relative(imp)
	if test && to == from {
		return "" // package x_test
	}
	part := l.part(from)
	if !underAny(to, part.cols[1]) && !(test && underAny(to, part.cols[2])) {
		return part.why
	}
	for _, r := range l.only {
		if under(to, r.key()) && !under(from, r.key()) && !underAny(from, r.cols[1]) {
			return "only " + strings.Join(r.cols[1], ", ") + " may: " + r.why
		}
	}
	if isSuite(to) && !test && !isSuite(from) {
		return "a conformance suite is for tests; here it would pull package testing into a binary"
	}
	if under(from, "core") && under(to, "core") {
		return l.refuseRank(from, to, test)
	}
	return ""
}

// refuseRank judges an import inside core.
func (l *Lattice) refuseRank(from, to string, test bool) string {
	rf, rt := l.rank(from), l.rank(to)
	switch {
	case rt < 0:
		return "it has no rank in [ranks]"
	case rt < rf:
		return ""
	case family(from) == family(to):
		if under(from, to) || test || l.childListed(from, to) {
			return ""
		}
		return "a package imports its parent; others of its family only where [children] lists it"
	}
	return fmt.Sprintf("a package imports lower ranks only, and %s stands at rank %d (%s), "+
		"%s at rank %d (%s); an interface in the lower package, implemented above, turns the arrow round",
		family(from), rf, l.ranks[rf].why, family(to), rt, l.ranks[rt].why)
}

// refuseStd judges an import of the standard library; only core outside tests has an allow-list.
func (l *Lattice) refuseStd(from, imp string, test bool) string {
	is := func(r row) bool { return r.key() == imp }
	switch {
	case test, !under(from, "core"), slices.ContainsFunc(l.std, is):
		return ""
	case isSuite(from) && slices.ContainsFunc(l.stdSuites, is):
		return ""
	}
	return "not in the list [std] of sim/lint/lattice.txt; add it to the allow-list with a reason if it " +
		"neither starts goroutines nor reads clocks, draws randomness, or touches files " +
		"and sockets; else go through core/rt"
}

// refuseThirdParty judges an import from another module. A conformance suite counts as a test.
func (l *Lattice) refuseThirdParty(from, imp string, test bool) string {
	for _, r := range l.thirdParty {
		if !under(imp, r.key()) {
			continue
		}
		if underAny(from, r.cols[1]) || (test || isSuite(from)) && underAny(from, r.cols[2]) {
			return ""
		}
		return fmt.Sprintf("allowed in [%s], in tests also in [%s]: %s",
			strings.Join(r.cols[1], " "), strings.Join(r.cols[2], " "), r.why)
	}
	return "not in the list [third-party] of sim/lint/lattice.txt; a dependency needs a row there, " +
		"with its reason"
}

// part returns the row of [parts] with the longest path that covers p, nil if none does.
func (l *Lattice) part(p string) *row {
	var best *row
	for i, r := range l.parts {
		if under(p, r.key()) && (best == nil || len(r.key()) > len(best.key())) {
			best = &l.parts[i]
		}
	}
	return best
}

// rank returns the rank of a core package, lowest 0, -1 if it has none.
func (l *Lattice) rank(p string) int {
	return slices.IndexFunc(l.ranks, func(r row) bool { return slices.Contains(r.cols[0], family(p)) })
}

func (l *Lattice) childListed(from, to string) bool {
	return slices.ContainsFunc(l.children, func(r row) bool {
		return r.key() == from && slices.Contains(r.cols[1], to)
	})
}

// family is the name under core that p and its subpackages share: kv for core/kv/memkv.
func family(p string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(p, "core/"), "/")
	return name
}

// isSuite reports whether p is a conformance suite: a package of core whose name ends in test.
func isSuite(p string) bool { return under(p, "core") && strings.HasSuffix(p, "test") }
