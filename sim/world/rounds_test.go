package world

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"granary/core/auth"
	"granary/core/bucket"
	"granary/core/node"
	"granary/core/rt"
	"granary/sim/sched"
)

// roundTrip is that of the topology 3dc-100ms-flat, which has no jitter and no delay inside a zone: what an
// operation takes, divided by it, is the rounds that it made.
const roundTrip = 100 * time.Millisecond

// client makes signed S3 requests of one node of a world.
type client struct {
	t   *testing.T
	w   *World
	at  int
	key bucket.Key
	// hangUp is when the client of a request goes; 0: never.
	hangUp time.Duration
}

// answer is what came back, and how long the first byte of it took.
type answer struct {
	*httptest.ResponseRecorder
	env  *sched.Sched
	from time.Duration
	took time.Duration
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	a.took = a.env.Now() - a.from
	a.ResponseRecorder.WriteHeader(status)
}

// do makes one request and runs the world until it is answered.
func (c *client) do(method, target string, body []byte, header ...string) *answer {
	c.t.Helper()
	u, err := url.Parse("http://sim" + target)
	if err != nil {
		c.t.Fatal(err)
	}
	rec := &answer{ResponseRecorder: httptest.NewRecorder(), env: c.w.Sched, from: c.w.Sched.Now()}
	err = c.w.Do(time.Minute, func(ctx context.Context) error {
		return c.ask(ctx, rec, method, u, body, header)
	})
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, target, err)
	}
	return rec
}

// ask makes one request, from a task outside the cluster.
func (c *client) ask(ctx context.Context, rec *answer, method string, u *url.URL, body []byte,
	header []string) error {
	env, handler, ok := c.w.Serve(c.at)
	if !ok {
		return fmt.Errorf("node %d is down", c.at)
	}
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	req := &http.Request{Method: method, URL: u, Host: "sim", Header: h, RequestURI: u.RequestURI(),
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body))}
	signer := auth.Signer{Key: auth.KeyID(c.key.ID), Secret: auth.Secret(c.key.Secret), Region: "sim",
		Service: "s3"}
	_, err := signer.Sign(&auth.Request{Method: method, Path: u.EscapedPath(), Query: u.RawQuery,
		Host: "sim", Header: h,
		ContentLength: req.ContentLength}, c.w.Env.Wall(), auth.PayloadHash(auth.Unsigned, [32]byte{}))
	if err != nil {
		return err
	}
	rctx, cancel := env.WithCancel(env.Background())
	if c.hangUp > 0 {
		c.w.Sched.After(c.hangUp, cancel)
	}
	done := rt.NewFuture[struct{}](c.w.Env)
	env.Go("http", func() {
		defer done.Set(struct{}{}, nil)
		defer func() {
			if v := recover(); v != nil && v != http.ErrAbortHandler {
				panic(v)
			}
		}()
		handler.ServeHTTP(rec, req.WithContext(rctx))
	})
	_, err = done.Get(ctx)
	return err
}

// must is do that expects a status, and as many rounds as named.
func (c *client) must(status int, rounds float64, method, target string, body []byte,
	header ...string) *answer {
	c.t.Helper()
	a := c.do(method, target, body, header...)
	if a.Code != status {
		c.t.Fatalf("%s %s: status %d, want %d: %s", method, target, a.Code, status, a.Body)
	}
	if got := float64(a.took) / float64(roundTrip); got > rounds+0.02 || got < rounds-0.02 {
		c.t.Errorf("%s %s: %.2f rounds, budget %v", method, target, got, rounds)
	}
	return a
}

func flatWorld(t *testing.T, seed uint64) (*World, *client) {
	t.Helper()
	o := Default(seed, preset(t, "3dc-100ms-flat"))
	o.Net.TCP.Initial, o.Net.TCP.KeepWindow = 1<<16, true // rounds of the protocols, not of TCP's slow start
	w, err := formed(t, o)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, w: w}
	err = w.Do(time.Minute, func(ctx context.Context) error {
		return w.On(ctx, w.Machines[0], func(ctx context.Context, n *node.Node) (err error) {
			c.key, err = n.Buckets().CreateKey(ctx, "test", true)
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	c.do("PUT", "/warm-up", nil)
	c.do("PUT", "/warm-up/object", content(8<<20)) // opens the connections
	if err := w.Sched.Run(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	return w, c
}

func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + i>>16)
	}
	return b
}

// TestRounds holds every operation to its budget of quorum rounds.
func TestRounds(t *testing.T) {
	w, c := flatWorld(t, 1)
	c.must(200, 2, "PUT", "/bucket", nil)
	w.Sched.Run(5 * time.Second)
	small, big := content(1024), content(3<<20+17)
	c.must(200, 0, "GET", "/", nil)
	c.must(200, 0, "HEAD", "/bucket", nil)
	c.must(200, 1, "PUT", "/bucket/small", small)
	if got := c.must(200, 1, "GET", "/bucket/small", nil); !bytes.Equal(got.Body.Bytes(), small) {
		t.Error("small object came back changed")
	}
	c.must(200, 1, "HEAD", "/bucket/small", nil)
	c.must(200, 1.08, "PUT", "/bucket/big", big) // the blocks are not all sent the same site first
	got := c.must(200, 1, "GET", "/bucket/big", nil)
	if sum := md5.Sum(big); !bytes.Equal(got.Body.Bytes(), big) ||
		got.Header().Get("ETag") != `"`+hex.EncodeToString(sum[:])+`"` {
		t.Error("big object came back changed")
	}
	if got := c.must(206, 1, "GET", "/bucket/big", nil, "Range",
		"bytes=2000000-2000009"); !bytes.Equal(got.Body.Bytes(), big[2000000:2000010]) {
		t.Error("range of the big object came back changed")
	}
	if got := c.must(200, 1, "GET", "/bucket?list-type=2", nil); strings.Count(got.Body.String(),
		"<Key>") != 2 {
		t.Errorf("listing: %s", got.Body)
	}
	c.must(200, 2, "PUT", "/bucket/copy", nil, "X-Amz-Copy-Source", "/bucket/small")
	c.must(200, 3, "PUT", "/bucket/bigcopy", nil, "X-Amz-Copy-Source", "/bucket/big")
	if got := c.must(200, 1, "GET", "/bucket/bigcopy", nil); !bytes.Equal(got.Body.Bytes(), big) {
		t.Error("copy of the big object differs")
	}
	c.must(204, 1, "DELETE", "/bucket/small", nil)
	c.must(404, 1, "GET", "/bucket/small", nil)
}

func TestMultipart(t *testing.T) {
	_, c := flatWorld(t, 2)
	c.must(200, 2, "PUT", "/bucket", nil)
	up := c.must(200, 1, "POST", "/bucket/multi?uploads", nil)
	_, rest, _ := strings.Cut(up.Body.String(), "<UploadId>")
	id, _, _ := strings.Cut(rest, "<")
	one, two := content(5<<20), content(1<<20+5)
	p1 := c.must(200, 2, "PUT", "/bucket/multi?partNumber=1&uploadId="+id, one)
	p2 := c.must(200, 2, "PUT", "/bucket/multi?partNumber=2&uploadId="+id, two)
	c.must(200, 1, "GET", "/bucket/multi?uploadId="+id, nil)
	c.must(200, 1, "GET", "/bucket?uploads", nil)
	list := fmt.Sprintf("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>%s</ETag></Part>"+
		"<Part><PartNumber>2</PartNumber><ETag>%s</ETag></Part></CompleteMultipartUpload>",
		p1.Header().Get("ETag"), p2.Header().Get("ETag"))
	done := c.must(200, 2, "POST", "/bucket/multi?uploadId="+id, []byte(list))
	again := c.must(200, 2, "POST", "/bucket/multi?uploadId="+id, []byte(list))
	if done.Body.String() != again.Body.String() {
		t.Errorf("a repeated Complete answers\n%s, the first\n%s", again.Body, done.Body)
	}
	whole := append(append([]byte(nil), one...), two...)
	if got := c.must(200, 1, "GET", "/bucket/multi", nil); !bytes.Equal(got.Body.Bytes(), whole) {
		t.Error("multipart object came back changed")
	}
	if got := c.must(206, 1, "GET", "/bucket/multi?partNumber=2", nil); !bytes.Equal(got.Body.Bytes(), two) {
		t.Error("part 2 came back changed")
	}
}
