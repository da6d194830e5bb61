package world

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"granary/core/api/admin"
	"granary/core/node"
	"granary/netsim"
)

// operator asks the admin API of one machine's node.
func operator(t *testing.T, w *World, at int, method, path, body string, out any) (int, string) {
	t.Helper()
	rec := httptest.NewRecorder()
	err := w.Do(time.Minute, func(ctx context.Context) error {
		return w.On(ctx, w.Machines[at], func(ctx context.Context, n *node.Node) error {
			h := admin.New(admin.Config{Env: w.Machines[at].Env, Cluster: n.Cluster(), Buckets: n.Buckets(),
				Facts: func(context.Context) admin.Facts { return admin.Facts{} }, Ready: n.Ready})
			req := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
			h.Trusted().ServeHTTP(rec, req)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(rec.Body.Bytes(), out); err != nil {
			t.Fatalf("%s %s: %v in %s", method, path, err, rec.Body)
		}
	}
	return rec.Code, rec.Body.String()
}

// TestLayoutByAdmin: a change is staged at one node, planned at another and applied at a third, and the
// history has it; with data in the cluster too.
func TestLayoutByAdmin(t *testing.T) {
	for seed := range uint64(3) {
		topology, err := netsim.Preset("3dc-100ms-flat")
		if err != nil {
			t.Fatal(err)
		}
		w, err := New(Default(seed, topology))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.Close)
		if err := w.Form(); err != nil {
			t.Fatal(err)
		}
		must := func(at int, method, path, body string, out any) {
			t.Helper()
			if status, text := operator(t, w, at, method, path, body, out); status != http.StatusOK {
				t.Fatalf("seed %d: %s %s: %d %s", seed, method, path, status, text)
			}
		}
		var before, after admin.Plan
		must(1, "GET", "/v1/layout/plan", "", &before)
		stage := func(capacity uint64) {
			must(2, "POST", "/v1/layout/assign", fmt.Sprintf(`{"node":"%s","capacity_bytes":%d}`,
				w.Machines[0].ID, capacity), nil)
			if err := w.Sched.Run(5 * time.Second); err != nil { // until all have heard of it
				t.Fatal(err)
			}
		}
		stage(3 << 40)
		must(1, "GET", "/v1/layout/plan", "", &after)
		if !before.Unchanged || after.Unchanged || after.Number != before.Number {
			t.Errorf("seed %d: planned version %d, then %d", seed, before.Number, after.Number)
		}
		var applied admin.Applied
		body := fmt.Sprintf(`{"version":%d,"yes":true}`, after.Number)
		must(1, "POST", "/v1/layout/apply", body, &applied)
		if applied.Version != after.Number || applied.Unchanged {
			t.Errorf("seed %d: applied %+v", seed, applied)
		}
		if err := w.Sched.Run(5 * time.Second); err != nil {
			t.Fatal(err)
		}
		for at := range w.Machines {
			var past []admin.Past
			must(at, "GET", "/v1/layout/history", "", &past)
			last := past[len(past)-1]
			if last.Version != applied.Version || !last.Live || len(last.Changes) != 1 ||
				last.Changes[0].To.Capacity != 3<<40 {
				t.Errorf("seed %d: node %d knows %+v", seed, at, last)
			}
		}

		key, err := w.MakeBucket("photos")
		if err != nil {
			t.Fatal(err)
		}
		c := &client{t: t, w: w, key: key}
		c.expect(200, "PUT", "/photos/cat", []byte("meow"))
		stage(4 << 40)
		must(0, "GET", "/v1/layout/plan", "", &after)
		if after.Unchanged || after.Number != applied.Version+1 || len(after.Refusals) > 0 {
			t.Errorf("seed %d: with data, planned %+v", seed, after.Report)
		}
		must(1, "POST", "/v1/layout/apply", `{"yes":true}`, &applied)
		w.mustSettle(t, after.Number-1)
		c.sees("/photos/cat", []byte("meow"))
	}
}
