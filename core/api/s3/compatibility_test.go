package s3

import (
	"slices"
	"strings"
	"testing"

	"granary/core/goldentest"
)

func TestCompatibilityPage(t *testing.T) {
	goldentest.Check(t, "../../../docs/s3-compatibility.md", Compatibility())
}

func TestTablesAreWhole(t *testing.T) {
	for id := opNone + 1; id < opCount; id++ {
		o := &operations[id]
		if o.name == "" || o.run == nil || o.method == "" {
			t.Errorf("operation %d is not whole: %+v", id, o)
		}
		if o.writes != opsWrite.has(id) {
			t.Errorf("%s: writes = %v, and the set says otherwise", o.name, o.writes)
		}
		if o.writes != (o.method != get && o.method != "HEAD") {
			t.Errorf("%s: writes = %v with method %s", o.name, o.writes, o.method)
		}
	}
	for _, table := range [][]rule{headerRules, paramRules} {
		for i, r := range table {
			switch {
			case r.ops == 0 || r.ops&^everyOp != 0:
				t.Errorf("%s: operations %b", r.name, r.ops)
			case (r.verdict == fixed) != (len(r.values) > 0):
				t.Errorf("%s: %v with values %q", r.name, r.verdict, r.values)
			case r.code != "" && codeOf[r.code] == nil:
				t.Errorf("%s: no such code: %s", r.name, r.code)
			}
			earlier := func(b rule) bool { return b.name == r.name && b.ops|r.ops == b.ops }
			if slices.ContainsFunc(table[:i], earlier) {
				t.Errorf("%s: row %d never holds", r.name, i)
			}
		}
	}
	for _, s := range selectors {
		if (s.op == opNone) == (s.name == "") {
			t.Errorf("selector %s: op %d, name %q", s.param, s.op, s.name)
		}
		if s.op != opNone && (operations[s.op].at != s.at || operations[s.op].method != s.method) {
			t.Errorf("selector %s contradicts the operation %s", s.param, operations[s.op].name)
		}
		if s.op != opNone && paramIndex.find(s.param, s.op) == nil {
			t.Errorf("selector %s is not in the table of parameters", s.param)
		}
	}
	for _, k := range kinds {
		if codeOf[k.code] == nil {
			t.Errorf("kind %v has the unknown code %s", k.kind, k.code)
		}
	}
	if !slices.IsSortedFunc(codes, func(a, b code) int { return strings.Compare(a.name, b.name) }) {
		t.Error("codes are not sorted")
	}
}
