package admin

import (
	"testing"

	"granary/core/layout/plan"
)

// TestBuy: the cheapest capacity is told for what is live, or staged, and nothing is staged.
func TestBuy(t *testing.T) {
	w := halved()
	var o plan.Order
	body := `{"target_bytes":198000000000,"prices":{"lyon":2,"paris":1}`
	w.must(t, "POST", "/v1/layout/buy", body+`}`, &o)
	if o.Before != 99e9 || o.Usable < 198e9 || len(o.Items) != 2 || o.Items[0].Node != "there" ||
		o.Added != 198e9 || o.Cost < 0.296 || o.Cost > 0.298 {
		t.Errorf("for what is live: %+v", o)
	}
	o = plan.Order{}
	w.must(t, "POST", "/v1/layout/buy", body+`,"staged":true}`, &o)
	if o.Before != 49.5e9 || o.Usable < 198e9 {
		t.Errorf("for what is staged: %+v", o)
	}
	o = plan.Order{}
	w.must(t, "POST", "/v1/layout/buy", `{"target_bytes":150000000000,"prices":{"nice":1,"paris":1},`+
		`"new_nodes":{"nice":1},"node_max_bytes":120000000000}`, &o)
	if len(o.Items) == 0 || o.Usable < 150e9 {
		t.Errorf("with a new node: %+v", o)
	}
	for _, i := range o.Items {
		if i.Was+i.Added > 120e9 {
			t.Errorf("%s gets %d bytes", i.Node, i.Was+i.Added)
		}
	}
}
