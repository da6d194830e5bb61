package s3

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"granary/core/auth"
	"granary/core/bucket"
	"granary/core/object"
	"granary/core/rt"
)

// testEnv is as much of an rt.Env as the endpoint needs, for ordinary goroutines.
type testEnv struct {
	rt.Env
	mu     sync.Mutex
	wall   time.Time
	lines  []string
	counts map[string]float64
}

var epoch = time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.UTC)

func newTestEnv() *testEnv { return &testEnv{wall: epoch, counts: map[string]float64{}} }

func (e *testEnv) Self() rt.NodeID          { return rt.NodeID{1, 2, 3} }
func (e *testEnv) Now() time.Duration       { return time.Second }
func (e *testEnv) Wall() time.Time          { return e.wall }
func (e *testEnv) Charge(rt.Work, int)      {}
func (e *testEnv) Mutant(string) bool       { return false }
func (e *testEnv) NewLock() rt.Locker       { return new(sync.Mutex) }
func (e *testEnv) Rand(string) *rand.Rand   { return rand.New(&lockedPCG{src: rand.NewPCG(1, 2)}) }
func (e *testEnv) Info(m string, kv ...any) { e.log("info", m, kv) }
func (e *testEnv) Warn(m string, kv ...any) { e.log("warn", m, kv) }
func (e *testEnv) Error(m string, kv ...any) {
	e.log("error", m, kv)
}
func (e *testEnv) Observe(string, float64, ...string) {}

func (e *testEnv) log(level, msg string, kv []any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lines = append(e.lines, fmt.Sprint(level, " ", msg, " ", kv))
}

func (e *testEnv) Count(name string, delta float64, labels ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.counts[name+" "+strings.Join(labels, " ")] += delta
}

type lockedPCG struct {
	mu  sync.Mutex
	src rand.Source
}

func (l *lockedPCG) Uint64() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.src.Uint64()
}

// Keys of the tests: the admin may do everything, the guest nothing unless granted.
const (
	adminKey = "GKADMIN"
	guestKey = "GKGUEST"
	region   = "test-1"
)

// world is an endpoint over a fake store with one bucket.
type world struct {
	t     testing.TB
	env   *testEnv
	store *fakeStore
	h     *Handler
	ready error
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, env: newTestEnv()}
	w.store = newFakeStore(func() time.Time { return w.env.wall })
	w.store.keys[adminKey] = bucket.Key{ID: adminKey, Secret: "admin-secret", CreateBuckets: true}
	w.store.keys[guestKey] = bucket.Key{ID: guestKey, Secret: "guest-secret"}
	w.h = New(Config{Env: w.env, Objects: w.store, Buckets: fakeBuckets{w.store}, Region: region,
		Domain: []string{"s3.example.org"}, Ready: func() error { return w.ready }})
	if _, err := w.store.Create(context.Background(), "bucket", adminKey); err != nil {
		t.Fatal(err)
	}
	return w
}

// grant sets what the guest may do in the bucket.
func (w *world) grant(g bucket.Grant) {
	g.Key = guestKey
	b := w.store.buckets["bucket"]
	b.Grants = []bucket.Grant{b.Grants[0], g}
	w.store.buckets["bucket"] = b
}

// put stores an object behind the endpoint's back.
func (w *world) put(key, data string, headers ...object.Header) {
	body := &content{body: auth.NewBody(strings.NewReader(data), auth.Payload{}, auth.BodySpec{Length: -1})}
	if _, err := w.store.Put(context.Background(), bucketID("bucket"), object.Key(key), headers, -1,
		body); err != nil {
		w.t.Fatal(err)
	}
}

// ask is a request in the making. Headers are "Name: value".
type ask struct {
	method, target string
	body           string
	headers        []string
	host           string
	key            string // admin unless set; "-" for none
	chunks         auth.Mode
	trailer        string // "name:value"
	tamper         func(*http.Request)
	noSum          bool // sign as UNSIGNED-PAYLOAD
	wire           io.Reader
	secret         string
}

// request builds the signed request.
func (w *world) request(a ask) *http.Request {
	if a.host == "" {
		a.host = "s3.example.org"
	}
	r := httptest.NewRequest(a.method, "http://"+a.host+"/", nil)
	r.RequestURI = a.target
	r.Header = http.Header{}
	for _, h := range a.headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	wire := w.sign(r, &a)
	r.Body = io.NopCloser(strings.NewReader(wire))
	if a.wire != nil {
		r.Body = io.NopCloser(a.wire)
	}
	if a.tamper != nil {
		a.tamper(r)
	}
	return r
}

// sign signs the request and returns its body as it goes over the wire.
func (w *world) sign(r *http.Request, a *ask) string {
	if a.key == "" {
		a.key = adminKey
	}
	mode, sum := auth.Hashed, sha256.Sum256([]byte(a.body))
	r.ContentLength = int64(len(a.body))
	if a.noSum {
		mode = auth.Unsigned
	}
	if a.chunks.Chunked() {
		mode = a.chunks
		r.Header.Set("X-Amz-Decoded-Content-Length", fmt.Sprint(len(a.body)))
		if a.trailer != "" {
			name, _, _ := strings.Cut(a.trailer, ":")
			r.Header.Set("X-Amz-Trailer", name)
		}
		r.ContentLength = -1
	}
	if a.key == "-" {
		return a.body
	}
	if a.secret == "" {
		a.secret = w.store.keys[bucket.KeyID(a.key)].Secret
	}
	s := auth.Signer{Key: auth.KeyID(a.key), Secret: auth.Secret(a.secret), Region: region, Service: "s3"}
	path, query, _ := strings.Cut(a.target, "?")
	ar := &auth.Request{Method: r.Method, Path: path, Query: query, Host: r.Host, Header: r.Header,
		ContentLength: r.ContentLength}
	chunker, err := s.Sign(ar, w.env.wall, auth.PayloadHash(mode, sum))
	if err != nil {
		w.t.Fatal(err)
	}
	if !a.chunks.Chunked() {
		return a.body
	}
	var wire []byte
	for rest := a.body; rest != ""; {
		n := min(len(rest), 8192)
		wire = chunker.AppendChunk(wire, []byte(rest[:n]))
		rest = rest[n:]
	}
	var fields []auth.TrailerField
	if a.trailer != "" {
		name, value, _ := strings.Cut(a.trailer, ":")
		fields = []auth.TrailerField{{Name: name, Value: value}}
	}
	return string(chunker.AppendEnd(wire, a.chunks != auth.SignedChunks, fields))
}

// do sends a request. A cut-off answer has the status -1.
func (w *world) do(a ask) *http.Response { return w.serve(w.request(a)) }

func (w *world) serve(r *http.Request) (resp *http.Response) {
	rec := httptest.NewRecorder()
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
			panic(v)
		}
		resp = rec.Result()
		resp.StatusCode = -1
	}()
	w.h.ServeHTTP(rec, r)
	return rec.Result()
}

// text reads an answer's body.
func text(r *http.Response) string {
	b, _ := io.ReadAll(r.Body)
	return string(b)
}

var codeElement = regexp.MustCompile(`<Code>([^<]*)</Code>`)

// errorCode returns the code of an error document.
func errorCode(body string) string {
	if m := codeElement.FindStringSubmatch(body); m != nil {
		return m[1]
	}
	return ""
}

// must sends a request that has to succeed with a status.
func (w *world) must(status int, a ask) (*http.Response, string) {
	w.t.Helper()
	resp := w.do(a)
	body := text(resp)
	if resp.StatusCode != status {
		w.t.Fatalf("%s %s: status %d, want %d: %s", a.method, a.target, resp.StatusCode, status, body)
	}
	return resp, body
}

// refused sends a request that has to fail with a status and code.
func (w *world) refused(status int, code string, a ask) string {
	w.t.Helper()
	resp := w.do(a)
	body := text(resp)
	if resp.StatusCode != status || errorCode(body) != code {
		w.t.Errorf("%s %s: %d %s, want %d %s: %s", a.method, a.target, resp.StatusCode, errorCode(body),
			status, code, body)
	}
	return body
}

// md5Of returns an ETag.
func md5Of(s string) string {
	h := auth.NewHasher(auth.HasherOptions{})
	h.Write([]byte(s))
	sum := h.Sums().MD5
	return hex.EncodeToString(sum[:])
}
