package k2v

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"granary/core/auth"
	"granary/core/bucket"
	"granary/core/cors"
	"granary/core/crdt"
	"granary/core/k2v"
	"granary/core/rt"
	"granary/sim/sched"
)

// nothing holds no items, and checks that what it is asked for is in bounds.
type nothing struct{ t *testing.T }

func (n nothing) check(err error) {
	if err != nil {
		n.t.Error(err)
	}
}

func (n nothing) Read(_ context.Context, k k2v.Key) (k2v.Item, error) {
	return k2v.Item{}, k2v.ErrNoSuchItem
}

func (n nothing) Insert(context.Context, k2v.Write) (crdt.Context, error) { return nil, nil }

func (n nothing) InsertBatch(_ context.Context, writes []k2v.Write) error {
	for _, w := range writes {
		n.check(k2v.CheckKey("pk", w.PK))
		n.check(k2v.CheckKey("sk", w.SK))
		if w.Value.Deleted && w.Value.Bytes != nil {
			n.t.Error("a deletion with a value")
		}
	}
	return nil
}

func (n nothing) ReadBatch(_ context.Context, _ bucket.BucketID, searches []k2v.Search) ([]k2v.Found, error) {
	for _, s := range searches {
		n.check(s.Check())
		n.check(k2v.CheckKey("pk", s.PK))
	}
	return make([]k2v.Found, len(searches)), nil
}

func (n nothing) DeleteBatch(_ context.Context, b bucket.BucketID, searches []k2v.Search) ([]int, error) {
	_, err := n.ReadBatch(context.Background(), b, searches)
	return make([]int, len(searches)), err
}

func (n nothing) ReadIndex(_ context.Context, _ bucket.BucketID, r k2v.Range) (k2v.PartitionPage, error) {
	return k2v.PartitionPage{}, r.Check()
}

func (n nothing) PollItem(_ context.Context, _ k2v.Key, _ crdt.Context, d time.Duration) (k2v.Item, error) {
	if d != 0 && (d < k2v.PollMin || d > k2v.PollMax) {
		n.t.Errorf("a poll of %v", d)
	}
	return k2v.Item{}, k2v.ErrNothingNew
}

func (n nothing) PollRange(_ context.Context, _ bucket.BucketID, _ string, r k2v.Range, _ string,
	d time.Duration) (k2v.News, error) {
	_, err := n.PollItem(context.Background(), k2v.Key{}, nil, d)
	return k2v.News{}, err
}

func (n nothing) ValueMax() int { return 1 << 10 }

// Again implements Buckets.
func (n nothing) Again(context.Context, bucket.Bucket) error { return nil }

// ByName implements Buckets.
func (n nothing) ByName(_ context.Context, name string) (bucket.Bucket, error) {
	return bucket.Bucket{Name: name, Grants: []bucket.Grant{{Key: "GK", Read: true, Write: true}}}, nil
}

// CORS implements Buckets.
func (n nothing) CORS(context.Context, string) (cors.Rules, error) {
	return cors.Rules{{Origins: []string{"https://*"}, Methods: []string{"PUT"}}}, nil
}

// Key implements Buckets.
func (n nothing) Key(context.Context, bucket.KeyID) (bucket.Key, error) {
	return bucket.Key{ID: "GK", Secret: "secret"}, nil
}

// FuzzRequest makes well signed requests with any method, path, query and body. Whatever they are, the
// answer is no failure of the server, and every error is a document with a code and a text.
func FuzzRequest(f *testing.F) {
	for _, s := range [][4]string{
		{"GET", "/b/pk", "sort_key=a", ""}, {"PUT", "/b/pk", "sort_key=a", "value"},
		{"POST", "/b", "",
			`[{"pk":"a","sk":"b","ct":"AAAAAAAAAAA","v":"AAAA"},{"pk":"a","sk":"b","v":null}]`},
		{"POST", "/b", "search", `[{"partitionKey":"a","prefix":"x","limit":1,"reverse":true}]`},
		{"POST", "/b", "delete", `[{"partitionKey":"a","start":"x","singleItem":true}]`},
		{"POST", "/b/pk", "poll_range", `{"prefix":"a","timeout":1.5,"seenMarker":"x"}`},
		{"GET", "/b", "prefix=a&start=ab&end=c&limit=10&reverse=true", ""},
		{"GET", "/b/pk", "sort_key=a&causality_token=AAAAAAAAAAA&timeout=1", ""},
	} {
		f.Add(s[0], s[1], s[2], []byte(s[3]))
	}
	s := sched.New(sched.Options{Seed: 1})
	env := s.NewEnv(rt.NodeID{1}, "node")
	signer := auth.Signer{Key: "GK", Secret: "secret", Region: "r", Service: Service, PathTwice: true}
	f.Fuzz(func(t *testing.T, method, path, query string, body []byte) {
		u, err := url.ParseRequestURI(path + "?" + query)
		if err != nil || !strings.HasPrefix(path, "/") {
			return
		}
		req := &http.Request{Method: method, URL: u, Host: "h", Header: http.Header{},
			RequestURI:    u.RequestURI(),
			ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body))}
		rawPath, rawQuery := requestLine(req)
		_, err = signer.Sign(&auth.Request{Method: method, Path: rawPath, Query: rawQuery, Host: "h",
			Header: req.Header, ContentLength: req.ContentLength}, time.Unix(1e9, 0),
			auth.PayloadHash(auth.Hashed, sha256.Sum256(body)))
		if err != nil {
			return
		}
		rec := httptest.NewRecorder()
		n := nothing{t}
		env.Go("request", func() {
			h := New(Config{Env: wallEnv{env}, Items: n, Buckets: n, Region: "r"})
			h.ServeHTTP(rec, req)
		})
		if err := s.Run(time.Minute); err != nil {
			t.Fatal(err)
		}
		var e struct{ Code, Message string }
		switch {
		case rec.Code >= 500, rec.Code == 403 && !strings.Contains(rec.Body.String(), "CORS"):
			t.Errorf("%s %q: %d %s", method, u, rec.Code, rec.Body)
		case rec.Code >= 400 && method != "HEAD" &&
			(json.Unmarshal(rec.Body.Bytes(), &e) != nil || e.Code == "" || e.Message == ""):
			t.Errorf("%s %q: %d %q", method, u, rec.Code, rec.Body)
		}
	})
}

// wallEnv is an Env at the time of the signatures.
type wallEnv struct{ *sched.Env }

// Wall implements rt.Env.
func (wallEnv) Wall() time.Time { return time.Unix(1e9, 0).UTC() }
