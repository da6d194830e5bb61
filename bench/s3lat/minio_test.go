package s3lat

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// server is as much of S3 as a measurement needs.
type server struct {
	mu      sync.Mutex
	objects map[string][]byte
	made    bool // the bucket
	short   bool // it gives one byte less than it has
	conns   map[string]bool
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[r.RemoteAddr] = true
	key := strings.TrimPrefix(r.URL.Path, "/bucket/")
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/":
		fmt.Fprint(w, `<ListAllMyBucketsResult><Buckets></Buckets></ListAllMyBucketsResult>`)
	case r.Method == http.MethodGet && r.URL.Query().Has("list-type"):
		fmt.Fprint(w, `<ListBucketResult><Name>bucket</Name></ListBucketResult>`)
	case r.Method == http.MethodPut && strings.Trim(r.URL.Path, "/") == "bucket":
		if s.made {
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `<Error><Code>BucketAlreadyOwnedByYou</Code></Error>`)
		}
		s.made = true
	case r.Method == http.MethodPut:
		s.objects[key] = unchunk(r)
		w.Header().Set("ETag", `"1"`)
	case r.Method == http.MethodGet && s.objects[key] != nil:
		body := s.objects[key]
		if s.short {
			body = body[:len(body)-1]
		}
		w.Header().Set("Last-Modified", time.Unix(0, 0).UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.Write(body)
	case r.Method == http.MethodDelete:
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		http.Error(w, "no such key", http.StatusNotFound)
	}
}

// unchunk reads a body of signed chunks: a line with the length in hexadecimal, the bytes, an empty line.
func unchunk(r *http.Request) []byte {
	in := bufio.NewReader(r.Body)
	var body []byte
	for {
		var n int64
		line, err := in.ReadString('\n')
		if _, scanErr := fmt.Sscanf(line, "%x;", &n); err != nil || scanErr != nil || n == 0 {
			return body
		}
		chunk := make([]byte, n+2)
		if _, err := io.ReadFull(in, chunk); err != nil {
			return body
		}
		body = append(body, chunk[:n]...)
	}
}

func TestS3(t *testing.T) {
	s := &server{objects: map[string][]byte{}, conns: map[string]bool{}}
	web := httptest.NewServer(s)
	defer web.Close()
	store, err := DialS3(Endpoint{URL: web.URL, Region: "r", Key: "k", Secret: "secret", Bucket: "bucket"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		if made, err := store.MakeBucket(t.Context()); err != nil || made != want {
			t.Fatalf("made the bucket: %t, %v; want %t", made, err, want)
		}
	}
	do := func(op Operation, size int64) (Took, error) {
		return store.Do(context.Background(), op, "key", size)
	}
	const size = 300 << 10
	for _, op := range Whole {
		took, err := do(op, size)
		if err != nil {
			t.Fatalf("%s: %v", op, err)
		}
		if took.Whole <= 0 || took.Part < 0 || took.Part > took.Whole {
			t.Errorf("%s took %+v", op, took)
		}
	}
	if len(s.conns) != 1 {
		t.Errorf("%d connections for requests one after the other", len(s.conns))
	}
	if len(s.objects) != 0 {
		t.Error("the object is still there")
	}
	if _, err := do(PutObject, size); err != nil {
		t.Fatal(err)
	}
	if _, err := do(GetObject, size+1); err == nil {
		t.Error("an object of another length was accepted")
	}
	s.short = true
	if _, err := do(GetObject, size); err == nil {
		t.Error("a shortened object was accepted")
	}
	if _, err := do(PutLastByte, size); err == nil {
		t.Error("a part of a request was made as if it were one")
	}
	if _, err := DialS3(Endpoint{URL: "localhost:1"}); err == nil {
		t.Error("an endpoint without scheme was accepted")
	}
}
