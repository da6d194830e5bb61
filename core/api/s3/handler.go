package s3

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"granary/core/auth"
	"granary/core/bucket"
	"granary/core/object"
	"granary/core/rt"
)

// Config says what a Handler stands on. Env, Objects, Buckets and Region must be set.
type Config struct {
	Env     rt.Env
	Objects Objects
	Buckets Buckets
	// Region is the only region that signatures may name.
	Region string
	// Domain lists the roots of virtual-host style: with "s3.example.org", a request to b.s3.example.org is
	// about bucket b. Without ports. Empty means path style only.
	Domain []string
	// Ready returns why requests cannot be served yet, which clients are told with a 503. Nil is always
	// ready.
	Ready func() error
}

// Handler is the S3 endpoint of one node.
type Handler struct {
	env      rt.Env
	objects  Objects
	buckets  Buckets
	region   string
	domain   []string
	ready    func() error
	host     string // HostId of answers
	ids      *rand.Rand
	verifier auth.Verifier
	free     buffers
}

// New returns a Handler. It panics when a field that must be set is not.
func New(c Config) *Handler {
	if c.Env == nil || c.Objects == nil || c.Buckets == nil || c.Region == "" {
		rt.Break("s3: Env, Objects, Buckets and Region must be set; region is %q", c.Region)
	}
	h := &Handler{
		env: c.Env, objects: c.Objects, buckets: c.Buckets, region: c.Region, domain: c.Domain,
		ready: c.Ready,
		host:  c.Env.Self().Short(), ids: c.Env.Rand("s3 request id"),
		verifier: auth.Verifier{Region: c.Region, Service: "s3", Lock: c.Env.NewLock()},
		free:     buffers{lock: c.Env.NewLock()},
	}
	if h.ready == nil {
		h.ready = func() error { return nil }
	}
	return h
}

// call is one request on its way through the gates. It belongs to the request's task.
type call struct {
	h     *Handler
	http  *http.Request
	w     http.ResponseWriter
	ctx   context.Context
	id    string
	began time.Duration

	path   string // as on the request line, escaped
	query  string // likewise, without '?'
	params params
	fields http.Header // the headers, with those that a presigned URL carries as parameters

	bucketName string
	key        object.Key
	at         level
	op         *operation // nil before routing
	opID       opID
	opName     string // also of operations that are not implemented

	verified auth.Verified
	signer   bucket.Key
	bucket   bucket.Bucket

	running bool // the gates are passed
	status  int  // 0 until the head of the answer is sent
	sent    int64
	body    *content // nil unless the request's body is read
}

// errAborted means that the answer's head promised more than could be sent.
var errAborted = errors.New("the answer was cut off")

// ServeHTTP answers one request. It panics with http.ErrAbortHandler when an answer that has begun cannot be
// ended.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{h: h, http: r, w: w, ctx: r.Context(), id: h.newID(), began: h.env.Now(), opName: "Unknown"}
	c.path, c.query = requestLine(r)
	header := w.Header()
	header["X-Amz-Request-Id"] = []string{c.id}
	header["X-Amz-Id-2"] = []string{h.host}
	header["Server"] = []string{"granary"}
	err := rt.Guard(h.env, "s3 request", c.serve)
	if errors.Is(err, bucket.ErrClosed) {
		if gone := h.buckets.Again(c.ctx, c.bucket); gone != nil {
			err = gone
		}
	}
	if err != nil {
		err = c.fail(err)
	}
	c.account()
	if errors.Is(err, errAborted) {
		panic(http.ErrAbortHandler)
	}
}

// serve passes the request through the gates, in the order of the package's contract.
func (c *call) serve() error {
	if err := c.h.ready(); err != nil {
		f := refuseCause("ServiceUnavailable", sentence(err.Error()), err)
		f.wait = 5
		return f
	}
	if err := c.route(); err != nil {
		return err
	}
	if c.http.Method == http.MethodOptions {
		return c.preflight()
	}
	c.crossOrigin()
	for _, gate := range [...]func(*call) error{
		(*call).choose, (*call).checkTables, (*call).authenticate, (*call).enterBucket,
	} {
		if err := gate(c); err != nil {
			return err
		}
	}
	c.running = true
	return c.op.run(c)
}

// newID returns a request id.
func (h *Handler) newID() string {
	const digits = "0123456789ABCDEF"
	var b [16]byte
	n := h.ids.Uint64()
	for i := range b {
		b[i] = digits[n>>(60-4*i)&15]
	}
	return string(b[:])
}

// account counts the request.
func (c *call) account() {
	env := c.h.env
	env.Count("s3_requests_total", 1, "operation", c.opName, "status", strconv.Itoa(c.status))
	env.Observe("s3_request_seconds", (env.Now() - c.began).Seconds(), "operation", c.opName)
	if c.sent > 0 {
		env.Count("s3_sent_bytes_total", float64(c.sent), "operation", c.opName)
	}
	if c.body != nil && c.body.read > 0 {
		env.Count("s3_received_bytes_total", float64(c.body.read), "operation", c.opName)
	}
}

// buffers is a free list of byte slices.
type buffers struct {
	lock rt.Locker
	list [][]byte
}

// take returns an empty slice with room for bufferSize bytes.
func (f *buffers) take() []byte {
	f.lock.Lock()
	defer f.lock.Unlock()
	if n := len(f.list); n > 0 {
		b := f.list[n-1]
		f.list[n-1] = nil
		f.list = f.list[:n-1]
		return b
	}
	return make([]byte, 0, bufferSize)
}

// give returns a slice for the next request.
func (f *buffers) give(b []byte) {
	if cap(b) < bufferSize || cap(b) > bufferKept {
		return
	}
	f.lock.Lock()
	defer f.lock.Unlock()
	if len(f.list) < buffersKept {
		f.list = append(f.list, b[:0])
	}
}

// sentence makes an error's text one.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
