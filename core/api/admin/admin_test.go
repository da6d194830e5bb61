package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"granary/core/bucket"
	"granary/core/cluster"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
)

// TestGuard shows who is let in over TCP: nobody without the token, but to see whether the node is alive,
// and from this machine for its metrics.
func TestGuard(t *testing.T) {
	const near, far = "127.0.0.1:9", "192.0.2.1:9"
	for _, c := range []struct {
		path, from, header string
		want               int
	}{
		{"/v1/status", near, "", 401},
		{"/v1/status", far, "", 401},
		{"/v1/status", far, "Bearer wrong", 401},
		{"/v1/status", far, "Bearer ", 401},
		{"/v1/status", far, "right", 401},
		{"/v1/status", far, "Basic right", 401},
		{"/v1/status", far, "Bearer right", 200},
		{"/v1/status", far, "bearer right", 200},
		{"/v1/keys", near, "", 401},
		{"/nowhere", far, "", 401},
		{"/metrics", far, "", 401},
		{"/metrics", far, "Bearer right", 200},
		{"/metrics", near, "", 200},
		{"/metrics", "[::1]:9", "", 200},
		{"/metrics", "nonsense", "", 401},
		{"/metrics/../v1/status", near, "", 401},
		{"//v1/status", near, "", 401},
		{"/livez", far, "", 200},
		{"/readyz", far, "", 200},
	} {
		r := httptest.NewRequest("GET", "http://admin"+c.path, nil)
		r.RemoteAddr = c.from
		r.Header.Set("Authorization", c.header)
		rec := httptest.NewRecorder()
		newWorld().api.Guarded().ServeHTTP(rec, r)
		if rec.Code != c.want {
			t.Errorf("%s from %s with %q: %d, want %d: %s", c.path, c.from, c.header, rec.Code, c.want,
				rec.Body)
		}
	}
	w := newWorld()
	w.api.Authorize = nil
	r := httptest.NewRequest("GET", "/v1/status", nil)
	r.Header.Set("Authorization", "Bearer right")
	rec := httptest.NewRecorder()
	if w.api.Guarded().ServeHTTP(rec, r); rec.Code != 401 {
		t.Errorf("without a configured token: %d, want 401", rec.Code)
	}
}

func TestReady(t *testing.T) {
	w := newWorld()
	w.ready = errors.New("2 more nodes needed")
	if code, text := w.do(t, "GET", "/readyz", "", nil); code != 503 || text != "2 more nodes needed\n" {
		t.Errorf("readyz: %d %q", code, text)
	}
	if code, _ := w.do(t, "GET", "/livez", "", nil); code != 200 {
		t.Errorf("livez of a node that is not ready: %d", code)
	}
	var s Status
	w.must(t, "GET", "/v1/status", "", &s)
	if s.Ready || s.Missing != "2 more nodes needed" {
		t.Errorf("status: ready %v, missing %q", s.Ready, s.Missing)
	}
}

// TestWarnings shows what each risky choice or state is said to be.
func TestWarnings(t *testing.T) {
	live := func(w *world) {
		w.cluster.status.Layout = &layout.Version{Number: 1, Params: w.cluster.status.Params}
		for i := range w.cluster.status.Nodes {
			w.cluster.status.Nodes[i].Partitions, w.cluster.status.Nodes[i].Synced = 8, 1
		}
	}
	for want, change := range map[string]func(*world){
		"1 of 8 partitions have no copy": func(w *world) {
			live(w)
			w.cluster.status.Copies = []int{1, 0, 7}
		},
		"2 of 8 partitions have one copy": func(w *world) {
			live(w)
			w.cluster.status.Copies = []int{0, 2, 6}
		},
		"does not hold everything yet": func(w *world) { live(w); w.cluster.status.Nodes[1].Synced = 0 },
		"made or changed until nodes return: 2 of 3 zones": func(w *world) {
			live(w)
			w.cluster.status.Undecided = "2 of 3 zones must be heard, missing zone lyon"
		},
		"was given up":          func(w *world) { live(w); w.cluster.status.Nodes[1].Lost = true },
		"metadata.fsync is off": func(w *world) { w.facts.MetadataFsync = false },
		"data.fsync is off":     func(w *world) { w.facts.BlocksFsync = false },
		"without TLS":           func(w *world) { w.facts.S3Beyond = true },
		"the disk is full":      func(w *world) { w.facts.DiskFree = 100 },
		"small objects":         func(w *world) { w.facts.Full = "why" },
		"nearly full":           func(w *world) { w.facts.DiskFree = 1e9 },
		"space is not known":    func(w *world) { w.facts.DiskError = "gone" },
		"two replicas":          live,
		"one replica": func(w *world) {
			live(w)
			w.cluster.status.Params.Replicas = 1
		},
		"one zone": func(w *world) {
			live(w)
			w.cluster.status.Nodes[1].Zone = "paris"
		},
		"node there (zone lyon) cannot be reached": func(w *world) {
			live(w)
			w.cluster.status.Nodes[1].Connected = false
		},
		"1 of 256 partitions have fewer than 2 replicas in reach": func(w *world) {
			live(w)
			s := &w.cluster.status
			s.Nodes[1].Connected = false
			s.Layout.Params = layout.Params{Replicas: 2, Partitions: 256}
			s.Layout.Roles = []layout.Role{{Node: self}, {Node: other}}
			s.Layout.Table = layout.Table{0, 1}
		},
		"off by 2s": func(w *world) {
			live(w)
			w.cluster.status.ClockOffset = 2 * time.Second
		},
		"staged but not applied": func(w *world) {
			live(w)
			w.cluster.status.Pending = []layout.Change{{Node: other}}
		},
	} {
		w := newWorld()
		change(w)
		var s Status
		w.must(t, "GET", "/v1/status", "", &s)
		if !strings.Contains(strings.Join(s.Warnings, "\n"), want) {
			t.Errorf("status does not warn of %q: %q", want, s.Warnings)
		}
	}
	w := newWorld()
	w.facts.S3Beyond, w.facts.S3TLS = true, true
	var s Status
	w.must(t, "GET", "/v1/status", "", &s)
	if len(s.Warnings) > 0 {
		t.Errorf("warnings about nothing: %q", s.Warnings)
	}
	if s.S3.Endpoint != "https://127.0.0.1:3900" {
		t.Errorf("endpoint %q", s.S3.Endpoint)
	}
	if text := strings.Join(s.Notes, "\n"); !strings.Contains(text, "markers of deleted K2V items stay") {
		t.Errorf("the notes do not say what is not done yet: %q", s.Notes)
	}
}

func TestBuckets(t *testing.T) {
	w := newWorld()
	var b Bucket
	w.must(t, "POST", "/v1/buckets", `{"name":"docs"}`, &b)
	if b.Owner != "GKA" {
		t.Errorf("the owner is %q, want the only key", b.Owner)
	}
	w.must(t, "POST", "/v1/keys", `{"name":"b"}`, nil)
	w.must(t, "POST", "/v1/buckets/docs/allow", `{"key":"GKNEW","read":true}`, nil)
	w.must(t, "POST", "/v1/buckets/docs/allow", `{"key":"GKNEW","write":true}`, &b)
	w.must(t, "POST", "/v1/buckets/docs/deny", `{"key":"GKA","owner":true,"write":true}`, nil)
	w.must(t, "GET", "/v1/buckets/docs", "", &b)
	want := []Grant{{"GKNEW", true, true, false}, {"GKA", true, false, false}}
	if d := cmp.Diff(want, b.Grants); d != "" {
		t.Errorf("grants (-want +got):\n%s", d)
	}
	const rules = `{"CORSRules":[{"AllowedOrigins":["*"],"AllowedMethods":["GET"],"MaxAgeSeconds":0}]}`
	w.must(t, "PUT", "/v1/buckets/docs/cors", rules, &b)
	w.must(t, "GET", "/v1/buckets/docs", "", &b)
	if len(b.Rules) != 1 || b.Rules[0].Origins[0] != "*" || *b.Rules[0].MaxAge != 0 {
		t.Errorf("rules %+v", b.Rules)
	}
	w.must(t, "PUT", "/v1/buckets/docs/consistency", `{"level":"monotonic"}`, nil)
	w.must(t, "GET", "/v1/buckets/docs", "", &b)
	if b.Consistency != "monotonic" {
		t.Errorf("consistency %q", b.Consistency)
	}
	var none Bucket
	w.must(t, "PUT", "/v1/buckets/docs/cors", `{}`, nil)
	if w.must(t, "GET", "/v1/buckets/docs", "", &none); len(none.Rules) > 0 {
		t.Errorf("rules that were taken away: %+v", none.Rules)
	}
	w.must(t, "DELETE", "/v1/buckets/docs", "", nil)
	var list []Bucket
	w.must(t, "GET", "/v1/buckets", "", &list)
	if len(list) != 1 || list[0].Name != "photos" {
		t.Errorf("buckets left: %v", list)
	}
}

// TestSecrets shows that a secret is in the answer that creates its key, in the one that was asked to show
// it, and in no other answer or log line.
func TestSecrets(t *testing.T) {
	w := newWorld()
	for _, path := range []string{"/v1/status", "/v1/keys", "/v1/keys/GKA", "/v1/keys/GKA?secret=yes",
		"/v1/buckets/photos",
		"/v1/layout"} {
		if text := w.must(t, "GET", path, "", nil); strings.Contains(text, aSecret) {
			t.Errorf("GET %s shows a secret: %s", path, text)
		}
	}
	if text := w.must(t, "GET", "/v1/keys/GKA?secret=show", "", nil); !strings.Contains(text, aSecret) {
		t.Errorf("the secret is not shown when asked for: %s", text)
	}
	if text := w.must(t, "POST", "/v1/keys", `{"name":"b"}`, nil); !strings.Contains(text, "new secret") {
		t.Errorf("the secret of a new key is not shown: %s", text)
	}
	text := w.must(t, "POST", "/v1/keys/import", `{"id":"AKIA1","secret":"sixteencharacters"}`, nil)
	if strings.Contains(text, "sixteen") {
		t.Errorf("an import shows the secret: %s", text)
	}
	w.buckets.err = errors.New("disk on fire")
	w.do(t, "POST", "/v1/keys/import", `{"id":"AKIA2","secret":"sixteencharacters"}`, nil)
	if !w.env.logged("on fire") || w.env.logged("sixteen") {
		t.Errorf("log lines: %q", w.env.lines)
	}
}

func TestMembership(t *testing.T) {
	w := newWorld()
	w.must(t, "POST", "/v1/layout/assign", `{"node":"there","capacity_bytes":5,"tags":["ssd"]}`, nil)
	want := layout.Role{Node: other, Zone: "lyon", Capacity: 5, Tags: []string{"ssd"}}
	if d := cmp.Diff(want, w.cluster.role); d != "" {
		t.Errorf("staged role (-want +got):\n%s", d)
	}
	w.must(t, "POST", "/v1/layout/assign", `{"node":"`+other.String()[:5]+`","gateway":true,"zone":"x"}`, nil)
	if got := w.cluster.role; got.Capacity != 0 || got.Zone != "x" || got.Node != other {
		t.Errorf("staged role %+v", got)
	}
	w.must(t, "DELETE", "/v1/nodes/"+other.String(), "", nil)
	if w.cluster.removed != other {
		t.Errorf("removed %v", w.cluster.removed)
	}
	var token Token
	w.must(t, "POST", "/v1/tokens", "", &token)
	if got, err := cluster.ParseToken(token.Token); err != nil || got.Addr != token.Address {
		t.Errorf("token %+v: %v", token, err)
	}
	w.must(t, "POST", "/v1/init", `{"replicas":3,"min_zones":2}`, nil)
	if p := w.cluster.params; p.Replicas != 3 || p.MinZones != 2 ||
		p.Partitions != layout.DefaultParams().Partitions {
		t.Errorf("params %+v", p)
	}
	if r := w.cluster.role; r.Zone != "paris" || r.Capacity != 99e9 || r.Node != self {
		t.Errorf("role %+v, want what the facts offer", r)
	}
	w.must(t, "POST", "/v1/join", `{"token":"`+token.Token+`","zone":"nice","gateway":true}`, nil)
	if r := w.cluster.role; r.Zone != "nice" || r.Capacity != 0 {
		t.Errorf("role %+v", r)
	}
}

// TestRefusals shows the code of every refusal.
func TestRefusals(t *testing.T) {
	token := cluster.Token{Addr: "a:1", Node: other, Secret: make([]byte, 32)}.String()
	join := `{"token":"` + token + `"}`
	dev := func(w *world) { w.facts.Dev = true }
	fails := func(err error) func(*world) {
		return func(w *world) { w.cluster.err = fmt.Errorf("here: %w", err) }
	}
	alone := func(w *world) { w.cluster.status = cluster.Status{} }
	staged := func(w *world) {
		w.cluster.live()
		w.cluster.want(func(r *layout.Role) { r.Capacity = 5e9 })
	}
	for _, c := range []struct {
		method, path, body string
		change             func(*world)
		status             int
		code               string
	}{
		{"GET", "/v1/nothing", "", nil, 404, "no_such_path"},
		{"PUT", "/v1/status", "", nil, 404, "no_such_path"},
		{"POST", "/v1/buckets", "", nil, 400, "bad_request"},
		{"POST", "/v1/buckets", `{"name":"docs"`, nil, 400, "bad_request"},
		{"POST", "/v1/buckets", `{"name":"docs"} x`, nil, 400, "bad_request"},
		{"POST", "/v1/buckets", `{"name":"docs","colour":1}`, nil, 400, "bad_request"},
		{"GET", "/v1/status", `{"x":1}`, nil, 400, "bad_request"},
		{"POST", "/v1/buckets", `"` + strings.Repeat("x", BodyMax) + `"`, nil, 413, "body_too_large"},
		{"POST", "/v1/buckets", `{"name":"Docs"}`, nil, 400, "invalid_bucket_name"},
		{"POST", "/v1/buckets", `{"name":"photos"}`, nil, 409, "bucket_exists"},
		{"POST", "/v1/buckets", `{"name":"docs","owner":"GKX"}`, nil, 404, "no_such_key"},
		{"POST", "/v1/buckets", `{"name":"docs"}`, func(w *world) { w.buckets.keys = nil }, 400,
			"bad_request"},
		{"GET", "/v1/buckets/docs", "", nil, 404, "no_such_bucket"},
		{"DELETE", "/v1/buckets/full", "", func(w *world) {
			w.buckets.Create(context.Background(), "full", "GKA")
		}, 409,
			"bucket_not_empty"},
		{"POST", "/v1/buckets/photos/allow", `{"key":"GKX","read":true}`, nil, 404, "no_such_key"},
		{"POST", "/v1/buckets/photos/allow", `{"key":"GKA"}`, nil, 400, "bad_request"},
		{"POST", "/v1/buckets/photos/deny", `{"read":true}`, nil, 400, "bad_request"},
		{"PUT", "/v1/buckets/docs/cors", `{}`, nil, 404, "no_such_bucket"},
		{"PUT", "/v1/buckets/docs/consistency", `{"level":"monotonic"}`, nil, 404, "no_such_bucket"},
		{"PUT", "/v1/buckets/photos/consistency", `{"level":"strong"}`, nil, 400, "bad_consistency"},
		{"PUT", "/v1/buckets/photos/cors", `{"CORSRules":[{"AllowedOrigins":["*"]}]}`, nil, 400,
			"invalid_cors_rules"},
		{"GET", "/v1/keys/GKX", "", nil, 404, "no_such_key"},
		{"DELETE", "/v1/keys/GKX", "", nil, 404, "no_such_key"},
		{"POST", "/v1/keys", `{"secret":"sixteencharacters"}`, nil, 400, "bad_request"},
		{"POST", "/v1/keys", `{"name":"` + strings.Repeat("x", nameMax+1) + `"}`, nil, 400, "bad_request"},
		{"POST", "/v1/keys/import", `{"id":"GKB"}`, nil, 400, "bad_request"},
		{"POST", "/v1/keys/import", `{"id":"GKB","secret":"short"}`, nil, 400, "bad_request"},
		{"POST", "/v1/keys/import", `{"id":"G/B","secret":"sixteencharacters"}`, nil, 400, "bad_request"},
		{"POST", "/v1/keys/import", `{"id":"GKA","secret":"sixteencharacters"}`, nil, 409, "key_exists"},
		{"GET", "/v1/keys", "", func(w *world) { w.buckets.err = errors.New("disk on fire") }, 500,
			"internal"},
		{"GET", "/v1/buckets/photos", "", func(w *world) { w.buckets.err = &quorum.Error{Op: "read"} }, 503,
			"unavailable"},
		{"DELETE", "/v1/buckets/photos", "",
			func(w *world) { w.buckets.err = &quorum.Error{Op: "write", Unknown: true} }, 503,
			"outcome_unknown"},
		{"GET", "/v1/layout", "", alone, 409, "no_cluster"},
		{"POST", "/v1/layout/assign", `{"node":"here"}`, alone, 409, "no_cluster"},
		{"POST", "/v1/layout/assign", `{"node":"nowhere"}`, nil, 404, "no_such_node"},
		{"POST", "/v1/layout/assign", `{"node":"aea"}`, nil, 404, "no_such_node"},
		{"POST", "/v1/layout/assign", `{"node":"same"}`, func(w *world) {
			w.cluster.status.Nodes[0].Member.Name, w.cluster.status.Nodes[1].Member.Name = "same", "same"
		}, 409, "ambiguous_node"},
		{"POST", "/v1/layout/assign", `{"node":"here","gateway":true,"capacity_bytes":1}`, nil, 400,
			"bad_request"},
		{"POST", "/v1/layout/assign", `{"node":"here"}`, dev, 409, "dev_store"},
		{"POST", "/v1/layout/apply", "", alone, 409, "no_cluster"},
		{"POST", "/v1/layout/apply", "", nil, 503, "not_ready"},
		{"POST", "/v1/layout/apply", `{"version":9}`, staged, 409, "layout_changed"},
		{"POST", "/v1/layout/apply", "", staged, 409, "needs_confirmation"},
		{"POST", "/v1/layout/apply", `{"confirm":"x"}`, staged, 400, "bad_request"},
		{"GET", "/v1/layout/plan", "", alone, 409, "no_cluster"},
		{"GET", "/v1/layout/plan?bandwidth=fast", "", staged, 400, "bad_request"},
		{"GET", "/v1/layout/explain", "", alone, 409, "no_cluster"},
		{"GET", "/v1/layout/explain", "", nil, 400, "unsuitable_layout"},
		{"GET", "/v1/layout/explain/nowhere", "", staged, 404, "no_such_node"},
		{"POST", "/v1/layout/simulate", `{}`, alone, 409, "no_cluster"},
		{"POST", "/v1/layout/simulate", "", staged, 400, "bad_request"},
		{"POST", "/v1/layout/buy", `{"target_bytes":9,"prices":{"lyon":1}}`, alone, 409, "no_cluster"},
		{"POST", "/v1/layout/buy", "", staged, 400, "bad_request"},
		{"POST", "/v1/layout/buy", `{"prices":{"lyon":1}}`, staged, 400, "bad_request"},
		{"POST", "/v1/layout/buy", `{"target_bytes":9,"prices":{"nowhere":1}}`, staged, 400, "bad_request"},
		{"POST", "/v1/layout/buy", `{"target_bytes":9,"prices":{"lyon":-1}}`, staged, 400, "bad_request"},
		{"POST", "/v1/layout/buy", `{"target_bytes":9,"new_nodes":{"lyon":-1}}`, staged, 400, "bad_request"},
		{"POST", "/v1/layout/buy", `{"target_bytes":200000000000,"prices":{"lyon":1}}`, staged, 409,
			"unreachable_target"},
		{"POST", "/v1/layout/simulate", `{"remove":["nowhere"]}`, staged, 404, "no_such_node"},
		{"POST", "/v1/layout/simulate", `{"remove":["there","there"]}`, staged, 404, "no_such_node"},
		{"POST", "/v1/layout/simulate", `{"remove":["there"]}`, staged, 400, "unsuitable_layout"},
		{"POST", "/v1/layout/simulate", `{"replicas":99}`, staged, 400, "unsuitable_layout"},
		{"POST", "/v1/layout/simulate", `{"add":[{"name":"there","zone":"x"}]}`, staged, 400, "bad_request"},
		{"POST", "/v1/layout/simulate", `{"add":[{"zone":"x"}]}`, staged, 400, "bad_request"},
		{"POST", "/v1/layout/simulate", `{"add":[{"name":"new","zone":" x"}]}`, staged, 400, "bad_request"},
		{"POST", "/v1/layout/apply", "", fails(cluster.ErrHasData), 409, "has_data"},
		{"POST", "/v1/layout/apply", "", fails(cluster.ErrChanged), 409, "layout_changed"},
		{"POST", "/v1/layout/apply", "", func(w *world) {
			w.cluster.live()
			w.cluster.want(func(r *layout.Role) { r.Capacity = 0 })
		}, 400, "unsuitable_layout"},
		{"POST", "/v1/layout/remove", `{"node":"nowhere"}`, nil, 404, "no_such_node"},
		{"POST", "/v1/layout/remove", `{"node":"there"}`, fails(cluster.ErrNotMember), 404, "no_such_node"},
		{"POST", "/v1/layout/remove", `{"node":"there"}`, dev, 409, "dev_store"},
		{"POST", "/v1/layout/remove", "", nil, 400, "bad_request"},
		{"POST", "/v1/layout/params", `{}`, nil, 400, "bad_request"},
		{"POST", "/v1/layout/params", `{"replicas":"three"}`, nil, 400, "bad_request"},
		{"POST", "/v1/layout/params", `{"replicas":99}`, fails(cluster.ErrUnsuitable), 400,
			"unsuitable_layout"},
		{"POST", "/v1/layout/params", `{"replicas":3}`, alone, 409, "no_cluster"},
		{"POST", "/v1/layout/revert", `{"to":3}`, fails(cluster.ErrNoVersion), 404, "no_such_version"},
		{"POST", "/v1/layout/revert", "", fails(cluster.ErrNoLayout), 503, "not_ready"},
		{"POST", "/v1/layout/revert", "", dev, 409, "dev_store"},
		{"GET", "/v1/layout/history", "", alone, 409, "no_cluster"},
		{"POST", "/v1/layout/apply", "", fails(cluster.ErrNotReady), 503, "not_ready"},
		{"POST", "/v1/layout/apply", "", fails(context.DeadlineExceeded), 504, "timeout"},
		{"DELETE", "/v1/nodes/nowhere", "", nil, 404, "no_such_node"},
		{"DELETE", "/v1/nodes/there", "", fails(cluster.ErrHasData), 409, "has_data"},
		{"POST", "/v1/tokens", "", dev, 409, "dev_store"},
		{"POST", "/v1/tokens", "", fails(cluster.ErrNoCluster), 409, "no_cluster"},
		{"POST", "/v1/init", `{"replicas":3}`, dev, 409, "dev_store"},
		{"POST", "/v1/init", `{"replicas":3}`, fails(cluster.ErrInCluster), 409, "in_cluster"},
		{"POST", "/v1/init", `{"replicas":99}`, fails(cluster.ErrUnsuitable), 400, "unsuitable_layout"},
		{"POST", "/v1/init", `{}`, func(w *world) { w.facts.Zone = "" }, 400, "bad_request"},
		{"POST", "/v1/init", `{}`, func(w *world) { w.facts.Capacity = 0 }, 400, "bad_request"},
		{"POST", "/v1/join", join, dev, 409, "dev_store"},
		{"POST", "/v1/join", `{"token":"granary-join-x"}`, nil, 400, "bad_token"},
		{"POST", "/v1/join", join, fails(cluster.ErrTokenRefused), 403, "token_refused"},
		{"POST", "/v1/join", join, fails(rpc.ErrIdentity), 403, "refused_by_peer"},
		{"POST", "/v1/join", join, fails(rpc.ErrUnreachable), 502, "peer_unreachable"},
	} {
		w := newWorld()
		if c.change != nil {
			c.change(w)
		}
		var e Error
		status, text := w.do(t, c.method, c.path, c.body, &e)
		if status != c.status || e.Code != c.code || e.Message == "" {
			t.Errorf("%s %s %.60s: %d %s, want %d %s", c.method, c.path, c.body, status, text, c.status,
				c.code)
		}
	}
}

// TestPanics shows that a panic ends one request, and a broken invariant is passed on.
func TestPanics(t *testing.T) {
	w := newWorld()
	w.api.Buckets = panicking{fakeBuckets: w.buckets, value: "boom"}
	if code, text := w.do(t, "GET", "/v1/buckets", "", nil); code != http.StatusInternalServerError {
		t.Errorf("after a panic: %d %s", code, text)
	}
	w.api.Buckets = panicking{fakeBuckets: w.buckets, value: rt.Broken{What: "x"}}
	defer func() {
		if _, ok := recover().(rt.Broken); !ok {
			t.Error("a broken invariant was swallowed")
		}
	}()
	w.do(t, "GET", "/v1/buckets", "", nil)
}

type panicking struct {
	*fakeBuckets
	value any
}

func (p panicking) All() ([]bucket.Bucket, error) { panic(p.value) }

// FuzzBodies sends bodies to every operation that takes one; all answers must be JSON.
func FuzzBodies(f *testing.F) {
	paths := []string{"/v1/buckets", "/v1/buckets/photos/allow", "/v1/buckets/photos/deny", "/v1/keys",
		"/v1/keys/import",
		"/v1/layout/assign", "/v1/init", "/v1/join", "/v1/layout/params", "/v1/layout/remove",
		"/v1/layout/revert", "/v1/layout/apply", "/v1/layout/simulate", "/v1/layout/rebalance",
		"/v1/layout/buy", "/v1/buckets/photos/cors"}
	f.Add(0, `{"name":"docs"}`)
	f.Add(4, `{"id":"GKB","secret":"sixteencharacters"}`)
	f.Add(7, `{"token":"granary-join-owFu","zone":"z"}`)
	f.Add(15, `{"CORSRules":[{"AllowedOrigins":["*"],"AllowedMethods":["GET"],"MaxAgeSeconds":1}]}`)
	f.Fuzz(func(t *testing.T, at int, body string) {
		var out json.RawMessage
		method, path := "POST", paths[uint(at)%uint(len(paths))]
		if strings.HasSuffix(path, "/cors") {
			method = "PUT"
		}
		newWorld().do(t, method, path, body, &out)
	})
}

// TestAcceptLoss: a node is given up only by a clear word; status says so, and how far a change has come.
func TestAcceptLoss(t *testing.T) {
	w := newWorld()
	id := w.cluster.status.Nodes[1].ID
	if status, text := w.do(t, "POST", "/v1/nodes/there/accept-loss", "{}", nil); status != 400 ||
		!strings.Contains(text, "for good") {
		t.Errorf("without yes: %d %s", status, text)
	}
	w.must(t, "POST", "/v1/nodes/there/accept-loss", `{"yes":true}`, nil)
	if len(w.cluster.lost) != 1 || w.cluster.lost[0] != id {
		t.Errorf("gave up %v", w.cluster.lost)
	}
	w.cluster.status.Layout = &layout.Version{Number: 2, Params: w.cluster.status.Params}
	w.cluster.status.Change = &cluster.Progress{From: 1, To: 2, Parts: 9, Readable: 3, Retired: 1,
		Syncing: []rt.NodeID{id}}
	var s Status
	w.must(t, "GET", "/v1/status", "", &s)
	want := &LayoutChange{From: 1, To: 2, Parts: 9, Readable: 3, Retired: 1, Syncing: []string{"there"},
		Carrying: []string{}, Closing: []string{}}
	if diff := cmp.Diff(want, s.Cluster.Change); diff != "" {
		t.Errorf("change (-want +got):\n%s", diff)
	}
}
