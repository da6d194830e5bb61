package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"

	"granary/core/rt"
)

// Handler is the admin API of one node. It may be used by many tasks.
type Handler struct {
	Config
	mux *http.ServeMux
}

// New returns a Handler. It panics when a field that must be set is not.
func New(c Config) *Handler {
	if c.Env == nil || c.Cluster == nil || c.Buckets == nil || c.Facts == nil {
		rt.Break("admin: Env, Cluster, Buckets and Facts must be set")
	}
	h := &Handler{Config: c, mux: http.NewServeMux()}
	if h.Ready == nil {
		h.Ready = func() error { return nil }
	}
	h.routes()
	return h
}

func (h *Handler) routes() {
	h.mux.HandleFunc("GET /livez", livez)
	h.mux.HandleFunc("GET /readyz", h.readyz)
	h.mux.HandleFunc("GET /metrics", h.metrics)
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, nil, &Error{Status: http.StatusNotFound, Code: "no_such_path",
			Message: "there is no " + r.Method + " " + r.URL.Path})
	})
	route(h, "GET /v1/status", h.status)
	route(h, "GET /v1/buckets", h.listBuckets)
	route(h, "POST /v1/buckets", h.createBucket)
	route(h, "GET /v1/buckets/{name}", h.bucketInfo)
	route(h, "DELETE /v1/buckets/{name}", h.deleteBucket)
	route(h, "POST /v1/buckets/{name}/allow", h.allow)
	route(h, "POST /v1/buckets/{name}/deny", h.deny)
	route(h, "PUT /v1/buckets/{name}/cors", h.setCORS)
	route(h, "PUT /v1/buckets/{name}/consistency", h.setConsistency)
	route(h, "GET /v1/keys", h.listKeys)
	route(h, "POST /v1/keys", h.createKey)
	route(h, "POST /v1/keys/import", h.importKey)
	route(h, "GET /v1/keys/{id}", h.keyInfo)
	route(h, "DELETE /v1/keys/{id}", h.deleteKey)
	route(h, "GET /v1/layout", h.layout)
	route(h, "POST /v1/layout/assign", h.assign)
	route(h, "POST /v1/layout/remove", h.retire)
	route(h, "POST /v1/layout/params", h.stageParams)
	route(h, "POST /v1/layout/revert", h.revert)
	route(h, "GET /v1/layout/history", h.layoutHistory)
	route(h, "GET /v1/layout/plan", h.planNext)
	route(h, "GET /v1/layout/explain", h.explain)
	route(h, "GET /v1/layout/explain/{node}", h.explain)
	route(h, "POST /v1/layout/simulate", h.simulate)
	route(h, "POST /v1/layout/buy", h.buy)
	route(h, "POST /v1/layout/apply", h.apply)
	route(h, "POST /v1/layout/rebalance", h.rebalance)
	route(h, "GET /v1/blocks/lost", h.lostBlocks)
	route(h, "POST /v1/blocks/give-up", h.giveUpBlocks)
	route(h, "GET /v1/scrub", h.scrub)
	route(h, "POST /v1/scrub", h.startScrub)
	route(h, "GET /v1/jobs", h.listJobs)
	route(h, "POST /v1/jobs/{name}/pause", h.pauseJob)
	route(h, "POST /v1/jobs/{name}/resume", h.resumeJob)
	route(h, "POST /v1/jobs/{name}/speed", h.speedJob)
	route(h, "GET /v1/nodes", h.listNodes)
	route(h, "DELETE /v1/nodes/{node}", h.removeNode)
	route(h, "POST /v1/nodes/{node}/accept-loss", h.acceptLoss)
	route(h, "POST /v1/tokens", h.token)
	route(h, "POST /v1/init", h.init)
	route(h, "POST /v1/join", h.join)
}

// Trusted serves everything to everybody, for listeners that only the owner can reach.
func (h *Handler) Trusted() http.Handler { return h.mux }

// Guarded wants a bearer token, but for /livez and /readyz, and for /metrics from this machine.
func (h *Handler) Guarded() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !open(r) && !h.authorized(r) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			answer(w, nil, &Error{Status: http.StatusUnauthorized, Code: "unauthorized",
				Message: "the right bearer token is needed",
				Hint: "set GRANARY_ADMIN_TOKEN to the token that granary config token printed with the " +
					"hash in admin.token_hash"})
			return
		}
		h.mux.ServeHTTP(w, r)
	})
}

// open reports whether a request needs no token.
func open(r *http.Request) bool {
	switch r.URL.Path {
	case "/livez", "/readyz":
		return true
	case "/metrics":
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		return err == nil && from.Addr().Unmap().IsLoopback()
	}
	return false
}

func (h *Handler) authorized(r *http.Request) bool {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return ok && strings.EqualFold(scheme, "Bearer") && h.Authorize != nil && h.Authorize(token)
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, text+"\n")
}

func livez(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") }

func (h *Handler) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := h.Ready(); err != nil {
		plain(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	plain(w, http.StatusOK, "ok")
}

func (h *Handler) metrics(w http.ResponseWriter, r *http.Request) {
	if h.Metrics == nil {
		plain(w, http.StatusNotFound, "no metrics are kept")
		return
	}
	h.Metrics.ServeHTTP(w, r)
}

// request is what an operation is given beside its argument.
type request struct {
	ctx  context.Context
	http *http.Request
}

// route adds an operation; In is read from the body, which must be empty if In is none.
func route[In, Out any](h *Handler, pattern string, f func(request, In) (Out, error)) {
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		var out Out
		err := rt.Guard(h.Env, "admin request", func() error {
			var in In
			if err := decode(r, &in); err != nil {
				return err
			}
			ctx, cancel := h.Env.WithTimeout(r.Context(), requestTimeout)
			defer cancel()
			var err error
			out, err = f(request{ctx, r}, in)
			return err
		})
		if err == nil {
			answer(w, out, nil)
			return
		}
		e := refusal(err)
		if e.Status >= http.StatusInternalServerError {
			h.Env.Warn("admin request failed", "method", r.Method, "path", r.URL.Path, "code", e.Code,
				"err", err)
		}
		answer(w, nil, e)
	})
}

// none is the argument of operations that take none.
type none struct{}

// optional marks arguments whose body may be absent.
type optional interface{ optional() }

func (none) optional()   {}
func (Apply) optional()  {}
func (Revert) optional() {}

// decode reads the body.
func decode(r *http.Request, in any) error {
	raw, err := io.ReadAll(io.LimitReader(r.Body, BodyMax+1))
	if err != nil {
		return badRequest("the body could not be read: %v", err)
	}
	if len(raw) > BodyMax {
		return &Error{Status: http.StatusRequestEntityTooLarge, Code: "body_too_large",
			Message: "the body is too large"}
	}
	if _, ok := in.(optional); ok && len(raw) == 0 {
		return nil
	}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		return badRequest("the body is not the JSON that is expected here: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return badRequest("the body goes on after its JSON")
	}
	return nil
}

// answer writes out, or the refusal.
func answer(w http.ResponseWriter, out any, refused *Error) {
	status := http.StatusOK
	if refused != nil {
		status, out = refused.Status, refused
	}
	raw, err := json.Marshal(out)
	if err != nil { // a number that JSON does not have
		http.Error(w, fmt.Sprintf("the answer, a %T, cannot be encoded: %v", out, err),
			http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(append(raw, '\n'))
}
