package admin

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"granary/core/cluster"
	"granary/core/layout"
)

// uneven is a world of twelve equal nodes in two zones, whose live table pairs nodes unevenly.
func uneven(t *testing.T) *world {
	t.Helper()
	w := newWorld()
	s := &w.cluster.status
	s.Nodes, s.Roles = nil, nil
	s.Params = layout.Params{Replicas: 2, Partitions: 64}
	for i := range 12 {
		zone := layout.ZoneName([]string{"lyon", "paris"}[i%2])
		s.Nodes = append(s.Nodes, cluster.NodeStatus{ID: [32]byte{byte(i + 1)}, Zone: zone, Capacity: 1e12,
			Member: cluster.Member{Name: fmt.Sprint("n", i)}, Connected: true})
	}
	w.cluster.want(nil)
	v := &layout.Version{Number: 1, Params: s.Params, Roles: s.Roles, Algorithm: layout.Algorithm}
	for p := range 64 {
		pair := p % 6
		v.Table = append(v.Table, uint16(2*pair), uint16(2*pair+1))
	}
	v.Size = uint64(1e12) / 11
	if err := v.Validate(); err != nil {
		t.Fatal(err)
	}
	s.Layout = v
	w.cluster.want(nil)
	return w
}

// TestRebalance: a version of the live roles moves at most the budget, is shown first if that is wanted, and
// leaves what is staged alone.
func TestRebalance(t *testing.T) {
	w := uneven(t)
	w.cluster.want(func(r *layout.Role) { r.Capacity *= 2 })
	budget := 4 * w.cluster.status.Layout.Size
	var done Rebalanced
	dry := fmt.Sprintf(`{"budget_bytes":%d,"dry_run":true}`, budget)
	w.must(t, "POST", "/v1/layout/rebalance", dry, &done)
	moves := done.Report.Migration.Replicas
	if done.Version != 2 || done.Unchanged || moves < 1 || moves > 4 || w.cluster.adopted != nil {
		t.Fatalf("%+v, %d moves, adopted %v", done.Applied, moves, w.cluster.adopted)
	}
	w.must(t, "POST", "/v1/layout/rebalance", fmt.Sprintf(`{"budget_bytes":%d,"yes":true}`, budget), &done)
	v := w.cluster.adopted
	if v == nil || v.Number != 2 || v.Roles[0].Capacity != 1e12 || v.Moves(w.cluster.status.Layout) != moves {
		t.Errorf("adopted %+v", v)
	}
}

// TestRebalanceRefuses shows when nothing is placed anew, and why.
func TestRebalanceRefuses(t *testing.T) {
	for _, c := range []struct {
		body string
		w    *world
		code string
	}{
		{`{"budget_bytes":1}`, uneven(t), "bad_request"},
		{`{}`, uneven(t), "bad_request"},
		{`{"budget_bytes":"500G"}`, uneven(t), "bad_request"},
		{`{"budget_bytes":1000000000000,"version":7}`, uneven(t), "layout_changed"},
		{`{"budget_bytes":1}`, newWorld(), "not_ready"},
	} {
		var e Error
		status, text := c.w.do(t, "POST", "/v1/layout/rebalance", c.body, &e)
		if status == http.StatusOK || e.Code != c.code || c.w.cluster.adopted != nil {
			t.Errorf("%s: %d %s", c.body, status, text)
		}
	}
	w := uneven(t)
	var e Error
	w.do(t, "POST", "/v1/layout/rebalance", `{"budget_bytes":1}`, &e)
	if want := "a partition may hold 90909090909"; !strings.Contains(e.Message, want) || e.Hint == "" {
		t.Errorf("%+v", e)
	}
	even := newWorld()
	even.cluster.live()
	var done Rebalanced
	even.must(t, "POST", "/v1/layout/rebalance", `{"budget_bytes":100000000000}`, &done)
	if !done.Unchanged || done.Version != 1 || even.cluster.adopted != nil {
		t.Errorf("nothing to gain: %+v", done.Applied)
	}
}
