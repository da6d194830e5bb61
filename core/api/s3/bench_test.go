package s3

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// sink is a ResponseWriter that keeps nothing.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

func benchmark(b *testing.B, key string, size int, a ask) {
	w := newWorld(b)
	w.put(key, strings.Repeat("x", size))
	for i := 0; a.target == "/bucket?list-type=2" && i < 1000; i++ {
		w.put("some/longer/key/"+itoa(int64(1000+i)), "x")
	}
	r := w.request(a)
	b.ReportAllocs()
	b.SetBytes(int64(max(size, 1)))
	for b.Loop() {
		r.Body = io.NopCloser(strings.NewReader(a.body))
		w.h.ServeHTTP(&sink{http.Header{}}, r)
	}
}

func BenchmarkGet4K(b *testing.B) {
	benchmark(b, "k", 4<<10, ask{method: "GET", target: "/bucket/k"})
}

func BenchmarkGet1M(b *testing.B) {
	benchmark(b, "k", 1<<20, ask{method: "GET", target: "/bucket/k"})
}

func BenchmarkPut4K(b *testing.B) {
	benchmark(b, "k", 4<<10, ask{method: "PUT", target: "/bucket/k", body: strings.Repeat("x", 4<<10),
		noSum: true})
}

func BenchmarkList1000(b *testing.B) {
	benchmark(b, "k", 1, ask{method: "GET", target: "/bucket?list-type=2"})
}
