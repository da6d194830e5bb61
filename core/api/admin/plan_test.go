package admin

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"granary/core/cluster"
	"granary/core/layout"
	"granary/core/layout/plan"
)

// halved is a world whose live layout would be halved by what is staged.
func halved() *world {
	w := newWorld()
	w.cluster.live()
	w.cluster.want(func(r *layout.Role) { r.Capacity /= 2 })
	return w
}

// TestPlan: what is staged is planned with the names of the nodes, and nothing is made.
func TestPlan(t *testing.T) {
	w := halved()
	var p Plan
	w.must(t, "GET", "/v1/layout/plan?bandwidth=1000000", "", &p)
	if p.Number != 2 || p.Unchanged || p.Usable.Before != 99e9 || p.Usable.After != 49.5e9 || !p.Confirm {
		t.Errorf("got %+v", p)
	}
	if p.Nodes[0].Name != "there" || p.Nodes[1].Name != "here" {
		t.Errorf("nodes %+v", p.Nodes)
	}
	if w.cluster.adopted != nil {
		t.Error("a plan made a version")
	}
	w.cluster.want(nil)
	p = Plan{}
	w.must(t, "GET", "/v1/layout/plan", "", &p)
	if !p.Unchanged {
		t.Errorf("nothing is staged, and the plan is %+v", p)
	}
}

// TestMeasuredBandwidth: the speeds at which this node was seen to send count as those of the nodes, its
// own as the greatest.
func TestMeasuredBandwidth(t *testing.T) {
	w := newWorld()
	for i, n := range w.cluster.status.Nodes {
		if n.ID != self {
			w.cluster.status.Nodes[i].Bandwidth = 7e6
		}
	}
	in := inputOf(self, w.cluster.status)
	if in.Bandwidth[other] != 7e6 || in.Bandwidth[self] != 7e6 {
		t.Errorf("speeds %v", in.Bandwidth)
	}
}

// TestNames: members with the same name, or none, are told apart.
func TestNames(t *testing.T) {
	w := newWorld()
	w.cluster.status.Nodes[1].Member.Name = "here"
	names := namesOf(w.cluster.status)
	if names[self] != "here-"+self.Short() || names[other] != "here-"+other.Short() {
		t.Errorf("names %q", names)
	}
	w.cluster.status.Nodes[1].Member.Name = ""
	if names := namesOf(w.cluster.status); names[self] != "here" || names[other] != "" {
		t.Errorf("names %q", names)
	}
}

// TestConfirm: what the report asks to confirm is not applied until it is, however the API is called; the
// refusal has the reason, the remedy, and what confirms it.
func TestConfirm(t *testing.T) {
	w := halved()
	var e Error
	status, text := w.do(t, "POST", "/v1/layout/apply", "", &e)
	if status != http.StatusConflict || e.Code != "needs_confirmation" || w.cluster.adopted != nil {
		t.Fatalf("%d %s", status, text)
	}
	if !slices.ContainsFunc(e.Notices, func(n plan.Notice) bool { return n.Code == plan.UsableFalls }) ||
		!strings.Contains(e.Message, "usable capacity falls from 99 GB to 49.5 GB") ||
		!strings.Contains(e.Hint, "--confirm usable_falls") {
		t.Errorf("%+v", e)
	}
	if status, _ := w.do(t, "POST", "/v1/layout/apply", `{"confirm":["idle_node"]}`, nil); status != 409 {
		t.Errorf("confirmed by another code: %d", status)
	}
	for _, body := range []string{`{"confirm":["idle_node","usable_falls"]}`, `{"yes":true}`} {
		w.cluster.adopted = nil
		w.must(t, "POST", "/v1/layout/apply", body, nil)
		if w.cluster.adopted == nil {
			t.Errorf("%s applies nothing", body)
		}
	}
}

func TestExplain(t *testing.T) {
	w := halved()
	var e Explained
	w.must(t, "GET", "/v1/layout/explain", "", &e)
	if e.Number != 1 || !strings.Contains(e.Text, "The layout holds 99 GB") {
		t.Errorf("the live layout is explained as %d: %s", e.Number, e.Text)
	}
	w.must(t, "GET", "/v1/layout/explain/there", "", &e)
	if !strings.HasPrefix(e.Text, "there, in zone lyon, offers 99 GB") {
		t.Errorf("a node is explained: %s", e.Text)
	}
	w = newWorld()
	w.cluster.want(nil)
	e = Explained{}
	w.must(t, "GET", "/v1/layout/explain", "", &e)
	if e.Number != 1 || !strings.Contains(e.Text, "The layout holds 99 GB") {
		t.Errorf("before the first layout: %s", e.Text)
	}
}

// TestSimulate: what might be is told, and neither staged nor applied; it starts from what is live, or is
// staged.
func TestSimulate(t *testing.T) {
	w := halved()
	w.cluster.status.Nodes = append(w.cluster.status.Nodes,
		cluster.NodeStatus{ID: [32]byte{3}, Member: cluster.Member{Name: "idle"}, Zone: "nice"})
	for body, want := range map[string]Simulation{
		`{}`:              {Usable: 99e9},
		`{"staged":true}`: {Usable: 49.5e9},
		`{"resize":[{"node":"there","capacity_bytes":8000}]}`:                  {Usable: 8000},
		`{"remove":["there"],"replicas":1}`:                                    {Usable: 99e9},
		`{"add":[{"name":"idle","zone":"nice","capacity_bytes":99000000000}]}`: {Usable: 132e9, Moves: 4},
		`{"add":[{"name":"new","zone":"nice","capacity_bytes":99000000000}],"min_zones":2,"partitions":16}`: {
			Usable: 144e9, Moves: 10},
	} {
		var s Simulation
		w.must(t, "POST", "/v1/layout/simulate", body, &s)
		if s.Usable != want.Usable || want.Moves != 0 && s.Moves != want.Moves {
			t.Errorf("%s: usable %d, %d moves, want %d, %d", body, s.Usable, s.Moves, want.Usable, want.Moves)
		}
		if len(s.Table) == 0 || s.Report == nil || len(s.Prices) != len(s.Nodes) {
			t.Errorf("%s: %+v", body, s)
		}
	}
	if w.cluster.adopted != nil || w.cluster.role.Capacity != 0 {
		t.Error("a simulation changed something")
	}
}

// TestSimulationIsAContract: programs read these fields.
func TestSimulationIsAContract(t *testing.T) {
	w := halved()
	var fields map[string]json.RawMessage
	w.must(t, "POST", "/v1/layout/simulate", `{}`, &fields)
	for _, name := range []string{"usable", "bound", "partition_size", "limiting", "prices", "moves",
		"table"} {
		if _, ok := fields[name]; !ok {
			t.Errorf("no field %q", name)
		}
	}
}
