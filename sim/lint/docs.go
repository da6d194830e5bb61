package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// Docs returns what lacks a doc comment in the files outside tests, in order: packages, exported names at top
// level, and exported methods of exported types. A comment begins with the name. A group of constants or
// variables may share the comment of the group; fields and interface methods are not looked at, nor is Error,
// whose meaning is always the same.
func Docs(files []*File) []string {
	var faults []string
	packages := map[string][]*File{} // by folder
	var folders []string
	for _, f := range files {
		if f.Test || f.Syntax == nil {
			continue
		}
		if packages[f.Folder()] == nil {
			folders = append(folders, f.Folder())
		}
		packages[f.Folder()] = append(packages[f.Folder()], f)
		faults = append(faults, fileDocs(f)...)
	}
	slices.Sort(folders)
	for _, dir := range folders {
		if fault := packageDoc(dir, packages[dir]); fault != "" {
			faults = append(faults, fault)
		}
	}
	return faults
}

// packageDoc returns what is wrong with the package comment of the files of one folder.
func packageDoc(dir string, files []*File) string {
	name := files[0].Syntax.Name.Name
	var text string
	for _, f := range files {
		if f.Syntax.Doc != nil {
			text += f.Syntax.Doc.Text()
		}
	}
	want := "Package " + name + " "
	if name == "main" {
		want = "Command "
	}
	if strings.HasPrefix(text, want) {
		return ""
	}
	return fmt.Sprintf("%s: the package comment must begin with %q", dir, want)
}

// fileDocs returns what is undocumented in one file.
func fileDocs(f *File) []string {
	var faults []string
	fault := func(n ast.Node, what string) {
		line := f.Set.Position(n.Pos()).Line
		faults = append(faults,
			fmt.Sprintf("%s:%d: %s: the doc comment must begin with the name", f.Path, line, what))
	}
	for _, d := range f.Syntax.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if name := exportedFunc(d); name != "" && !beginsWith(d.Doc, d.Name.Name) {
				fault(d.Name, name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if id := undocumented(d, s); id != nil {
					fault(id, id.Name)
				}
			}
		}
	}
	return faults
}

// exportedFunc returns the name of a function or method that needs a comment, or "".
func exportedFunc(d *ast.FuncDecl) string {
	if !d.Name.IsExported() {
		return ""
	}
	if d.Recv == nil {
		return d.Name.Name
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			if x.IsExported() && d.Name.Name != "Error" {
				return x.Name + "." + d.Name.Name
			}
			return ""
		default:
			return ""
		}
	}
}

// undocumented returns the first exported name of one type, constant or variable declaration that lacks a
// comment.
func undocumented(d *ast.GenDecl, s ast.Spec) *ast.Ident {
	switch s := s.(type) {
	case *ast.TypeSpec:
		doc := s.Doc
		if doc == nil && !d.Lparen.IsValid() {
			doc = d.Doc
		}
		if s.Name.IsExported() && !beginsWith(doc, s.Name.Name) {
			return s.Name
		}
	case *ast.ValueSpec:
		if d.Lparen.IsValid() && d.Doc != nil {
			return nil
		}
		doc := s.Doc
		if doc == nil {
			doc = d.Doc
		}
		for _, id := range s.Names {
			named := slices.ContainsFunc(s.Names, func(n *ast.Ident) bool { return beginsWith(doc, n.Name) })
			if id.IsExported() && !named {
				return id
			}
		}
	}
	return nil
}

func beginsWith(doc *ast.CommentGroup, name string) bool {
	if doc == nil {
		return false
	}
	rest, ok := strings.CutPrefix(doc.Text(), name)
	return ok && rest != "" && !token.IsIdentifier("x"+rest[:1])
}
