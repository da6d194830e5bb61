package canary

import (
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"

	"github.com/klauspost/compress/zstd"
)

var modified = http.Cookie{}.Expires

func client() {
	var c http.Client                      // want `http.Client: handlers only`
	_ = http.DefaultClient                 // want `http.DefaultClient`
	_, _ = http.Get("")                    // want `http.Get`
	_, _ = http.Head("")                   // want `http.Head`
	_, _ = http.Post("", "", nil)          // want `http.Post`
	_, _ = http.PostForm("", nil)          // want `http.PostForm`
	_ = http.Transport{}                   // want `http.Transport`
	_ = http.DefaultTransport              // want `http.DefaultTransport`
	_ = httputil.ReverseProxy{}            // want `httputil.ReverseProxy`
	_ = httputil.NewSingleHostReverseProxy // want `httputil.NewSingleHostReverseProxy`
	_ = c
}

func server(h http.Handler) {
	_ = http.Server{}                         // want `http.Server`
	_ = http.Serve(nil, h)                    // want `http.Serve`
	_ = http.ServeTLS(nil, h, "", "")         // want `http.ServeTLS`
	_ = http.ListenAndServe("", h)            // want `http.ListenAndServe`
	_ = http.ListenAndServeTLS("", "", "", h) // want `http.ListenAndServeTLS`
	_ = http.TimeoutHandler(h, 1, "")         // want `http.TimeoutHandler`
	_ = http.DefaultServeMux                  // want `http.DefaultServeMux`
	http.Handle("", h)                        // want `http.Handle`
	http.HandleFunc("", nil)                  // want `http.HandleFunc`
	var s *httptest.Server                    // want `httptest.Server`
	s = httptest.NewServer(h)                 // want `httptest.NewServer`
	s = httptest.NewTLSServer(h)              // want `httptest.NewTLSServer`
	s = httptest.NewUnstartedServer(h)        // want `httptest.NewUnstartedServer`
	_ = s
	http.NewServeMux().Handle("/", h)
}

func handle(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "", modified, nil) // want `http.ServeContent`
	http.ServeFile(w, r, "")                   // want `http.ServeFile`
	http.ServeFileFS(w, r, nil, "")            // want `http.ServeFileFS`
	_ = http.FileServer(nil)                   // want `http.FileServer`
	_ = http.FileServerFS(nil)                 // want `http.FileServerFS`
	_ = http.Dir("x")                          // want `http.Dir`
	_ = r.ParseMultipartForm(1)                // want `http.Request.ParseMultipartForm`
	_ = r.FormValue("x")                       // want `http.Request.FormValue`
	_, _, _ = r.FormFile("x")                  // want `http.Request.FormFile`
	_ = r.PostFormValue("x")                   // want `http.Request.PostFormValue`
	read := r.FormValue                        // want `http.Request.FormValue`
	_ = read
	w.WriteHeader(http.StatusOK)
	_ = r.Header.Get("x")
	_ = mime.TypeByExtension(".x")                      // want `mime.TypeByExtension`
	_, _ = mime.ExtensionsByType("x")                   // want `mime.ExtensionsByType`
	_ = mime.AddExtensionType("x", "y")                 // want `mime.AddExtensionType`
	_, _ = multipart.NewReader(r.Body, "b").ReadForm(1) // want `multipart.Reader.ReadForm`
}

func parts(out io.Writer) {
	_ = multipart.NewWriter(out) // want `multipart.NewWriter: .* SetBoundary`
}

func partsWithBoundary(out io.Writer) {
	w := multipart.NewWriter(out)
	_ = w.SetBoundary("b")
}

func compress(out io.Writer, in io.Reader, n int) {
	_, _ = zstd.NewWriter(out)                                 // want `zstd.NewWriter: it starts goroutines`
	_, _ = zstd.NewReader(in)                                  // want `zstd.NewReader`
	_, _ = zstd.NewWriter(out, zstd.WithEncoderConcurrency(n)) // want `zstd.NewWriter`
	_, _ = zstd.NewWriter(out, zstd.WithEncoderConcurrency(1))
	_, _ = zstd.NewReader(in, zstd.WithDecoderConcurrency(1))
}
