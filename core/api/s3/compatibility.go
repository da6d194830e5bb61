package s3

import (
	"slices"
	"strings"
)

// Compatibility renders the tables of operations, headers and parameters as the Markdown page
// docs/s3-compatibility.md.
//
// Determinism: a pure function of the tables.
func Compatibility() string {
	var p page
	p.line("# What of S3 is implemented")
	p.line("")
	p.line("This page is printed from the tables by which the server decides (`core/api/s3`); a test")
	p.line("compares them. A request that asks for something that is not implemented fails and says so:")
	p.line("nothing that would change what is stored or deleted is ignored.")
	p.operations()
	p.missing()
	p.rules("Headers", "header", headerRules, []string{
		"An `x-amz-*` header that is not in this table is refused with 501 NotImplemented; any other",
		"header is harmless.",
		"Parameters named `x-amz-*` count as headers, because presigned URLs may carry headers that way.",
	})
	p.rules("Query parameters", "parameter", paramRules, []string{
		"A parameter that is not in this table is refused with 400 InvalidArgument on operations that change",
		"what is stored, and ignored on others. One that chooses an operation which does not exist for the",
		"method and the resource is refused with 405 MethodNotAllowed.",
	})
	return p.b.String()
}

// page builds Markdown.
type page struct{ b strings.Builder }

// line adds a line.
func (p *page) line(s string) {
	p.b.WriteString(s)
	p.b.WriteByte('\n')
}

// row adds a row of a table.
func (p *page) row(cells ...string) { p.line("| " + strings.Join(cells, " | ") + " |") }

// table begins a table.
func (p *page) table(heads ...string) {
	p.line("")
	p.row(heads...)
	p.line("|" + strings.Repeat(" --- |", len(heads)))
}

// operations lists what is implemented.
func (p *page) operations() {
	p.line("")
	p.line("## Operations")
	p.table("operation", "request", "needs")
	for id := opNone + 1; id < opCount; id++ {
		o := &operations[id]
		p.row(o.name, "`"+requestForm(id)+"`", needNames[o.need])
	}
	p.row("CORS preflight", "`OPTIONS /bucket/key`", "no signature")
	p.line("")
	p.line("Buckets are found in the path or, for a configured domain, in the host name.")
}

// needNames are the permissions as the page shows them.
var needNames = [...]string{
	needSigned: "any key", needCreate: "a key that may create buckets", needGrant: "any grant in the bucket",
	needRead: "read", needWrite: "write", needOwner: "owner",
}

// requestForm shows method, path and selecting parameter of an operation.
func requestForm(id opID) string {
	o := &operations[id]
	form := o.method + " " + [...]string{"/", "/bucket", "/bucket/key"}[o.at]
	same := id
	switch id {
	case opCopyObject:
		return form + " with x-amz-copy-source"
	case opUploadPartCopy:
		same = opUploadPart
	}
	for _, s := range selectors {
		if s.op == same {
			form += "?" + s.param
			break
		}
	}
	if same != id {
		form += " with x-amz-copy-source"
	}
	return form
}

// missing lists what is not implemented.
func (p *page) missing() {
	p.line("")
	p.line("## Operations that answer 501 NotImplemented")
	p.table("operation", "request")
	for _, s := range selectors {
		if s.op == opNone {
			p.row(s.name, "`"+s.method+" "+[...]string{"/", "/bucket", "/bucket/key"}[s.at]+"?"+s.param+"`")
		}
	}
	p.row("PostObject", "`POST /bucket`")
}

// rules lists one of the two tables of rules.
func (p *page) rules(title, what string, table []rule, intro []string) {
	p.line("")
	p.line("## " + title)
	p.line("")
	for _, s := range intro {
		p.line(s)
	}
	p.table(what, "operations", "", "remark")
	for i := range table {
		r := &table[i]
		p.row("`"+r.name+"`", r.scope(table[:i]), r.answer(), r.note)
	}
}

// scope names the operations that a rule is for; before are the rules that win over it.
func (r *rule) scope(before []rule) string {
	if r.ops == everyOp {
		if slices.ContainsFunc(before, func(b rule) bool { return b.name == r.name }) {
			return "all others"
		}
		return "all"
	}
	var names, others []string
	for id := opNone + 1; id < opCount; id++ {
		if r.ops.has(id) {
			names = append(names, operations[id].name)
		} else {
			others = append(others, operations[id].name)
		}
	}
	if r.ops == opsWrite {
		return "all that write"
	}
	if len(others) < 4 {
		return "all but " + strings.Join(others, ", ")
	}
	return strings.Join(names, ", ")
}

// answer shows a rule's verdict.
func (r *rule) answer() string {
	switch r.verdict {
	case fixed:
		return r.verdict.String() + " `" + strings.Join(r.values, "`, `") + "`"
	case refused:
		code := r.code
		if code == "" {
			code = "NotImplemented"
		}
		return r.verdict.String() + ": " + itoa(int64(codeOf[code].status)) + " " + code
	}
	return r.verdict.String()
}
