package lint

import (
	"go/ast"
	"go/token"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// Excuse is one comment //det:ok: a line that looks nondeterministic and is not.
type Excuse struct {
	Pos    token.Position // of the comment
	Reason string
	Used   int // findings excused; 0 means that the comment should go

	at    token.Pos
	alone bool // on a line of its own, so it speaks for the next line
}

const excuseMark = "//det:ok"

// excusesIn returns the excuses of one file in order.
func excusesIn(fset *token.FileSet, f *ast.File) []Excuse {
	code := linesWithCode(fset, f)
	var all []Excuse
	for _, group := range f.Comments {
		for _, comment := range group.List {
			reason, ok := strings.CutPrefix(comment.Text, excuseMark)
			if !ok || reason != "" && reason[0] != ' ' && reason[0] != '\t' {
				continue
			}
			pos := fset.Position(comment.Pos())
			all = append(all, Excuse{
				Pos: pos, Reason: strings.TrimSpace(reason), at: comment.Pos(), alone: !code[pos.Line],
			})
		}
	}
	return all
}

// linesWithCode returns the lines on which some token of f begins or ends.
func linesWithCode(fset *token.FileSet, f *ast.File) map[int]bool {
	lines := map[int]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n.(type) {
		case nil:
			return false
		case *ast.Comment, *ast.CommentGroup:
			return false
		case *ast.File:
			return true
		}
		lines[fset.Position(n.Pos()).Line] = true
		lines[fset.Position(n.End()-1).Line] = true
		return true
	})
	return lines
}

// judge returns the findings that no excuse covers, and those about the excuses themselves. It counts in es.
func judge(fset *token.FileSet, found []analysis.Diagnostic, es []Excuse) []analysis.Diagnostic {
	var left []analysis.Diagnostic
	for _, d := range found {
		line, excused := fset.Position(d.Pos).Line, false
		for i := range es {
			if es[i].covers(line) {
				es[i].Used++
				excused = true
			}
		}
		if !excused {
			left = append(left, d)
		}
	}
	for _, e := range es {
		if e.Reason == "" {
			left = append(left, analysis.Diagnostic{Pos: e.at, Message: excuseMark + " needs a reason"})
		}
		if e.Used == 0 {
			idle := excuseMark + " excuses nothing: remove it"
			left = append(left, analysis.Diagnostic{Pos: e.at, Message: idle})
		}
	}
	return left
}

func (e Excuse) covers(line int) bool {
	return line == e.Pos.Line || e.alone && line == e.Pos.Line+1
}
