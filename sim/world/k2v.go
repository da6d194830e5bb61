package world

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"granary/core/rt"
	"granary/sim/sched"
)

// K2VDoer answers K2V requests at machine i, as an http.Client would against its endpoint, but without a
// network between: for tests and measurements.
func (w *World) K2VDoer(i int) *Doer { return &Doer{w, i} }

// ServeK2V is Serve for the K2V endpoint.
func (w *World) ServeK2V(i int) (*sched.Env, http.Handler, bool) {
	m := w.Machines[i]
	if m.Down() {
		return nil, nil, false
	}
	return m.Env, m.Node.K2V(), true
}

// Doer is a client.Doer. It must be used from tasks outside the cluster.
type Doer struct {
	w *World
	i int
}

// Do implements client.Doer.
func (d *Doer) Do(req *http.Request) (*http.Response, error) {
	m := d.w.Machines[d.i]
	if m.Down() {
		return nil, fmt.Errorf("machine %s is down", m.Name)
	}
	env, handler := m.Env, m.Node.K2V()
	r := req.Clone(env.Background())
	r.RequestURI = r.URL.RequestURI()
	done := rt.NewFuture[*http.Response](d.w.Env)
	env.Go("k2v", func() {
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, r)
		done.Set(rec.Result(), nil)
	})
	return done.Get(req.Context())
}
