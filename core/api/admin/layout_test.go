package admin

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"granary/core/cluster"
	"granary/core/hlc"
	"granary/core/layout"
)

func TestLayout(t *testing.T) {
	w := newWorld()
	role := layout.Role{Node: other, Zone: "lyon", Capacity: 5}
	w.cluster.status.Pending = []layout.Change{{Node: other, From: nil, To: &role}}
	var l Layout
	w.must(t, "GET", "/v1/layout", "", &l)
	want := []Change{{Node: other.String(), Name: "there",
		To: &Role{Node: other.String(), Name: "there", Zone: "lyon", Capacity: 5}}}
	if d := cmp.Diff(want, l.Staged); d != "" {
		t.Errorf("staged (-want +got):\n%s", d)
	}
}

// TestStagedParams: the layout is shown with its own parameters, and those that are staged beside it.
func TestStagedParams(t *testing.T) {
	w := newWorld()
	w.cluster.live()
	var l Layout
	w.must(t, "POST", "/v1/layout/params", `{"min_zones":1,"tolerance":100}`, &l)
	before := Params{Replicas: 2, Partitions: 8}
	after := Params{Replicas: 2, MinZones: 1, Partitions: 8, Tolerance: 100}
	if l.Version != 1 || l.Params != before || l.StagedParams == nil || *l.StagedParams != after {
		t.Errorf("got %+v, staged %+v", l, l.StagedParams)
	}
}

func TestRetireAndRevert(t *testing.T) {
	w := newWorld()
	w.must(t, "POST", "/v1/layout/remove", `{"node":"there"}`, nil)
	if w.cluster.retired != other {
		t.Errorf("retired %v", w.cluster.retired)
	}
	w.must(t, "POST", "/v1/layout/revert", `{"to":3}`, nil)
	if w.cluster.to != 3 {
		t.Errorf("reverted to %d", w.cluster.to)
	}
	w.must(t, "POST", "/v1/layout/revert", "", nil)
	if w.cluster.to != 0 {
		t.Errorf("reverted to %d, want what is live", w.cluster.to)
	}
}

func TestLayoutHistory(t *testing.T) {
	w := newWorld()
	w.cluster.live()
	role := layout.Role{Node: other, Zone: "lyon", Capacity: 5}
	w.cluster.past = []cluster.PastVersion{{Number: 1, Hash: layout.Hash{0xab}, Made: hlc.At(epoch),
		Params: layout.Params{Replicas: 2, Partitions: 8}, Usable: 80, Moves: 16,
		Changes: []layout.Change{{Node: other, To: &role}}}}
	var list []Past
	w.must(t, "GET", "/v1/layout/history", "", &list)
	to := Role{Node: other.String(), Name: "there", Zone: "lyon", Capacity: 5}
	want := []Past{{Version: 1, Hash: layout.Hash{0xab}.String(), Made: epoch.Truncate(time.Millisecond),
		Live: true, Params: Params{Replicas: 2, Partitions: 8}, Usable: 80, Moves: 16,
		Changes: []Change{{Node: other.String(), Name: "there", To: &to}}}}
	if d := cmp.Diff(want, list); d != "" {
		t.Errorf("history (-want +got):\n%s", d)
	}
}

// TestApply: what is adopted is the version that follows from what is staged; nothing staged is no version.
func TestApply(t *testing.T) {
	w := newWorld()
	w.cluster.live()
	var applied Applied
	w.must(t, "POST", "/v1/layout/apply", "", &applied)
	if want := (Applied{Version: 1, Unchanged: true}); applied != want || w.cluster.adopted != nil {
		t.Errorf("with nothing staged: %+v, adopted %v", applied, w.cluster.adopted)
	}
	w.cluster.want(func(r *layout.Role) { r.Capacity *= 2 })
	applied = Applied{}
	w.must(t, "POST", "/v1/layout/apply", `{"version":2}`, &applied)
	if v := w.cluster.adopted; applied != (Applied{Version: 2}) || v == nil || v.Number != 2 ||
		v.Parent != w.cluster.status.Layout.Hash() || v.Roles[0].Capacity != 198e9 {
		t.Errorf("%+v, adopted %+v", applied, v)
	}
}
