package plan

import (
	"strings"
	"testing"

	"granary/core/goldentest"
	"granary/core/layout"
	"granary/core/rt"
)

// TestExplain compares what is said of a cluster and its nodes with testdata/explain.txt.
func TestExplain(t *testing.T) {
	var told strings.Builder
	tell := func(title string, r *Report) {
		told.WriteString("# " + title + "\n" + r.Explain())
		for i := range 11 {
			text, _ := r.ExplainNode(node(i))
			told.WriteString(text)
		}
		told.WriteString("\n")
	}
	in := Input{Roles: talk(), Params: layout.DefaultParams(), Names: names()}
	first := make1(t, in)
	tell("talk", first)
	in.Previous = first.Next
	in.Roles = append(talk()[:6], role(8, "neptune", 10*terabyte), role(9, "pluto", 0),
		role(10, "pluto", 1000))
	in.Down = []rt.NodeID{node(8)}
	in.Params.MinZones, in.Params.Tolerance = 2, 100
	tell("a node leaves, three come", make1(t, in))
	in.Roles = talk()[:2]
	refused := make1(t, in)
	told.WriteString("# refused\n" + refused.Explain())
	if text, ok := refused.ExplainNode(node(1)); !ok || text != refused.Explain() {
		t.Errorf("a node of a refused layout: %s", text)
	}
	goldentest.Check(t, "testdata/explain.txt", told.String())
	if text, ok := first.ExplainNode(node(77)); ok {
		t.Errorf("a stranger is explained: %s", text)
	}
}
