package k2v

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"granary/core/auth"
	"granary/core/bucket"
	"granary/core/cors"
	"granary/core/crdt"
	"granary/core/k2v"
	"granary/core/rt"
)

// Service is the name of the service that requests are signed for.
const Service = "k2v"

// TokenHeader carries causality tokens, both ways.
const TokenHeader = "X-Garage-Causality-Token"

// documentMax bounds a body that is a document, in bytes.
const documentMax = 32 << 20

// Items is what the endpoint needs of items, a *k2v.Store. Errors are of the kinds of packages k2v and
// quorum.
type Items interface {
	// Read returns an item.
	Read(ctx context.Context, k k2v.Key) (k2v.Item, error)
	// Insert writes a value; the context is nil if there are others in the item.
	Insert(ctx context.Context, w k2v.Write) (crdt.Context, error)
	// InsertBatch writes values.
	InsertBatch(ctx context.Context, writes []k2v.Write) error
	// ReadBatch makes searches.
	ReadBatch(ctx context.Context, b bucket.BucketID, searches []k2v.Search) ([]k2v.Found, error)
	// DeleteBatch deletes what searches find, and counts it.
	DeleteBatch(ctx context.Context, b bucket.BucketID, searches []k2v.Search) ([]int, error)
	// ReadIndex lists partition keys.
	ReadIndex(ctx context.Context, b bucket.BucketID, r k2v.Range) (k2v.PartitionPage, error)
	// PollItem waits for an item to change.
	PollItem(ctx context.Context, k k2v.Key, seen crdt.Context, limit time.Duration) (k2v.Item, error)
	// PollRange waits for a range to change.
	PollRange(ctx context.Context, b bucket.BucketID, pk string, r k2v.Range, seen string,
		limit time.Duration) (k2v.News, error)
	// ValueMax is the longest value in bytes.
	ValueMax() int
}

// Buckets is what the endpoint needs of buckets and access keys. Errors are of the kinds of package bucket.
type Buckets interface {
	// ByName finds a bucket.
	ByName(ctx context.Context, name string) (bucket.Bucket, error)
	// CORS returns a bucket's rules for the pages of other origins, to a request that has proved nothing.
	CORS(ctx context.Context, name string) (cors.Rules, error)
	// Again resolves a bucket's name once more after a write was refused with bucket.ErrClosed: nil if it is
	// still this bucket.
	Again(ctx context.Context, b bucket.Bucket) error
	// Key finds an access key.
	Key(ctx context.Context, k bucket.KeyID) (bucket.Key, error)
}

// Config says what a Handler stands on. Env, Items, Buckets and Region must be set.
type Config struct {
	Env     rt.Env
	Items   Items
	Buckets Buckets
	Region  string // the only one that signatures may name
	// Ready returns why requests cannot be served yet. Nil is always ready.
	Ready func() error
}

// Handler is the K2V endpoint of one node.
type Handler struct {
	Config
	verifier auth.Verifier
}

// New returns a Handler. It panics when a field that must be set is not.
func New(c Config) *Handler {
	if c.Env == nil || c.Items == nil || c.Buckets == nil || c.Region == "" {
		rt.Break("k2v: Env, Items, Buckets and Region must be set; region is %q", c.Region)
	}
	if c.Ready == nil {
		c.Ready = func() error { return nil }
	}
	return &Handler{Config: c, verifier: auth.Verifier{Region: c.Region, Service: Service, PathTwice: true,
		Lock: c.Env.NewLock()}}
}

// call is one request on its way through the gates. It belongs to the request's task.
type call struct {
	*Handler
	http     *http.Request
	w        http.ResponseWriter
	ctx      context.Context
	request                // what it asks for
	verified auth.Verified // who asks
	bucket   bucket.Bucket
	status   int // 0 until the head of the answer is sent
}

// errAborted means that the answer could not be sent whole.
var errAborted = errors.New("the answer was cut off")

// ServeHTTP answers one request. It panics with http.ErrAbortHandler when an answer cannot be ended.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{Handler: h, http: r, w: w, ctx: r.Context()}
	began := h.Env.Now()
	w.Header()["Server"] = []string{"granary"}
	err := rt.Guard(h.Env, "k2v request", c.serve)
	if errors.Is(err, bucket.ErrClosed) {
		if gone := h.Buckets.Again(c.ctx, c.bucket); gone != nil {
			err = gone
		}
	}
	if err != nil {
		err = c.fail(err)
	}
	h.Env.Count("k2v_requests_total", 1, "operation", c.name(), "status", strconv.Itoa(c.status))
	if !c.waits() {
		h.Env.Observe("k2v_request_seconds", (h.Env.Now() - began).Seconds(), "operation", c.name())
	}
	if errors.Is(err, errAborted) {
		panic(http.ErrAbortHandler)
	}
}

func (c *call) serve() error {
	if err := c.Ready(); err != nil {
		return refuse("ServiceUnavailable", "%v", err)
	}
	var err error
	c.request, err = parse(c.http)
	c.crossOrigin()
	if err != nil {
		return err
	}
	if c.op == opPreflight {
		return c.preflight()
	}
	if err := c.authenticate(); err != nil {
		return err
	}
	return c.op.run(c)
}

// authenticate verifies the signature, and what its key may do in the bucket.
func (c *call) authenticate() error {
	var signer bucket.KeyID
	r := c.signed()
	v, err := c.verifier.Verify(&r, c.Env.Wall(), func(id auth.KeyID) (auth.Secret, error) {
		k, err := c.Buckets.Key(c.ctx, bucket.KeyID(id))
		if errors.Is(err, bucket.ErrNoSuchKey) {
			return "", auth.ErrUnknownKey
		}
		signer = k.ID
		return auth.Secret(k.Secret), err
	})
	switch {
	case err != nil:
		return err
	case v.Mechanism == auth.Anonymous:
		return refuse("AccessDenied",
			"anonymous access is not possible: sign the request for the service k2v")
	}
	if c.verified = v; signer == "" { // the look-up was cached
		signer = bucket.KeyID(v.Key)
	}
	if c.bucket, err = c.Buckets.ByName(c.ctx, c.bucketName); err != nil {
		return err
	}
	if !cors.CrossOrigin(c.http.Header) { // else it is done
		c.bucket.CORS.Answer(c.w.Header(), c.http.Header, c.http.Method)
	}
	switch g, _ := c.bucket.Grant(signer); {
	case c.op.writes && !g.Write:
		return refuse("AccessDenied", "this key lacks the write permission in bucket %s", c.bucket.Name)
	case !c.op.writes && !g.Read:
		return refuse("AccessDenied", "this key lacks the read permission in bucket %s", c.bucket.Name)
	}
	return nil
}

// signed returns the request as the signature covers it.
func (c *call) signed() auth.Request {
	path, query := requestLine(c.http)
	return auth.Request{Method: c.http.Method, Path: path, Query: query, Host: c.http.Host,
		Header:        c.http.Header,
		ContentLength: c.http.ContentLength, TransferEncoding: c.http.TransferEncoding}
}

// key names the item that the request is about.
func (c *call) key() k2v.Key {
	return k2v.Key{Bucket: c.bucket.ID, PK: c.pk, SK: c.params.Get("sort_key")}
}

// head sends the head of the answer; length is that of the body, -1 for none.
func (c *call) head(status int, length int) {
	if length >= 0 {
		c.w.Header().Set("Content-Length", strconv.Itoa(length))
	}
	c.status = status
	c.w.WriteHeader(status)
}

// send answers with a body.
func (c *call) send(status int, contentType string, body []byte) error {
	c.w.Header().Set("Content-Type", contentType)
	c.head(status, len(body))
	if c.http.Method == http.MethodHead {
		return nil
	}
	if _, err := c.w.Write(body); err != nil {
		return errAborted
	}
	return nil
}

// answer sends a document.
func (c *call) answer(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.send(status, "application/json", b)
}

// empty answers without a body.
func (c *call) empty(status int) error {
	c.head(status, -1)
	return nil
}
