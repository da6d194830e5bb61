package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"granary/core/rt"
	"granary/sim/sched"
)

// world is a client, a server and a handler.
type world struct {
	t      *testing.T
	s      *sched.Sched
	server *sched.Env
	c      *Client
}

func newWorld(t *testing.T, l Link) *world {
	s := sched.New(sched.Options{Seed: 1})
	t.Cleanup(s.Stop)
	w := &world{t: t, s: s, server: s.NewEnv(rt.NodeID{1}, "server")}
	w.c = &Client{Sched: s, Env: s.NewEnv(rt.NodeID{2}, "client"), Link: l}
	return w
}

// run calls f in a task of the client until it ends.
func (w *world) run(f func()) error {
	done := false
	w.c.Env.Go("test", func() { f(); done = true })
	return w.s.RunUntil(time.Hour, func() bool { return done })
}

func (w *world) must(f func()) {
	w.t.Helper()
	if err := w.run(f); err != nil {
		w.t.Fatal(err)
	}
}

func put(body string) Request {
	return Request{Method: "PUT", Target: "/b/k", Host: "h", Header: http.Header{},
		Body: strings.NewReader(body), Length: int64(len(body))}
}

func get() Request {
	return Request{Method: "GET", Target: "/b/k?x=1", Host: "h", Header: http.Header{}}
}

var link = Link{Delay: 10 * time.Millisecond, Up: 1 << 20, Down: 1 << 20}

func TestEcho(t *testing.T) {
	w := newWorld(t, link)
	echo := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || r.Method != "PUT" || r.URL.Path != "/b/k" || r.ContentLength != int64(len(b)) {
			t.Errorf("%v %s %s %d", err, r.Method, r.URL, r.ContentLength)
		}
		rw.Header().Set("X-Seen", "yes")
		rw.Write(b)
	})
	for _, size := range []int{0, 1, 2000, 3000, 1 << 20} {
		body := strings.Repeat("x", size)
		w.must(func() {
			start := w.s.Now()
			resp, err := w.c.Do(w.server, echo, put(body), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Close()
			if err != nil || string(got) != body || resp.Header.Get("X-Seen") != "yes" || !resp.Whole() {
				t.Errorf("%d bytes: got %d, %v", size, len(got), err)
			}
			if size <= holdMax && resp.Length != int64(size) {
				t.Errorf("length %d, want %d", resp.Length, size)
			}
			took, least := w.s.Now()-start, 20*time.Millisecond+2*time.Duration(size)*time.Second>>20
			if took < least || took > least+5*time.Millisecond {
				t.Errorf("%d bytes took %v, arithmetic says %v", size, took, least)
			}
		})
	}
}

// TestMistakes wants every mistake of a handler to end the run.
func TestMistakes(t *testing.T) {
	tests := []struct {
		name string
		f    func(w *world, rw http.ResponseWriter, r *http.Request)
		want string
	}{
		{"write after return", func(w *world, rw http.ResponseWriter, _ *http.Request) {
			w.server.Go("late", func() {
				w.server.Sleep(rt.Forever, time.Second)
				rw.Write([]byte("x"))
			})
		}, "after ServeHTTP had returned"},
		{"header after return", func(w *world, rw http.ResponseWriter, _ *http.Request) {
			w.server.Go("late", func() { w.server.Sleep(rt.Forever, time.Second); rw.Header().Set("a", "b") })
		}, "after ServeHTTP had returned"},
		{"body after return", func(w *world, _ http.ResponseWriter, r *http.Request) {
			w.server.Go("late", func() {
				w.server.Sleep(rt.Forever,
					time.Second)
				r.Body.Read(make([]byte, 1))
			})
		}, "after ServeHTTP had returned"},
		{"two heads", func(_ *world, rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(200)
			rw.WriteHeader(500)
		}, "second WriteHeader"},
		{"bad status",
			func(_ *world, rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(7) }, "invalid status"},
		{"bad length", func(_ *world, rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "-1")
			rw.WriteHeader(200)
		}, "invalid Content-Length"},
		{"two writers", func(w *world, rw http.ResponseWriter, _ *http.Request) {
			w.server.Go("other", func() { rw.Write(make([]byte, 1<<20)) })
			rw.Write(make([]byte, 1<<20))
		}, "two tasks"},
		{"panic", func(*world, http.ResponseWriter, *http.Request) { panic("boom") }, "boom"},
	}
	for _, tt := range tests {
		w := newWorld(t, link)
		err := w.run(func() {
			h := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { tt.f(w, rw, r) })
			if resp, err := w.c.Do(w.server, h, put("body"), time.Minute); err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Close()
			}
			w.c.Env.Sleep(rt.Forever, 2*time.Second)
		})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestLengthIsKept(t *testing.T) {
	w := newWorld(t, link)
	w.must(func() {
		long := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "3")
			if _, err := rw.Write([]byte("four")); err != http.ErrContentLength {
				t.Errorf("a long write: %v", err)
			}
			rw.Write([]byte("fo"))
		})
		resp, err := w.c.Do(w.server, long, get(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("a short answer was read as %q", b)
		}
		resp.Close()
		none := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(http.StatusNoContent)
			if _, err := rw.Write([]byte("x")); err != http.ErrBodyNotAllowed {
				t.Errorf("a body of 204: %v", err)
			}
		})
		if resp, err = w.c.Do(w.server, none, get(), time.Minute); err != nil || resp.Status != 204 {
			t.Error(err)
		}
		resp.Close()
	})
}

func TestAbort(t *testing.T) {
	w := newWorld(t, link)
	w.must(func() {
		before := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		if _, err := w.c.Do(w.server, before, get(), time.Minute); !errors.Is(err, ErrReset) {
			t.Errorf("aborted at once: %v", err)
		}
		later := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Write(make([]byte, 5000))
			panic(http.ErrAbortHandler)
		})
		resp, err := w.c.Do(w.server, later, get(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, ErrReset) {
			t.Errorf("aborted in the middle: %v", err)
		}
		resp.Close()
	})
}

// TestEarlyAnswer answers before the body was read.
func TestEarlyAnswer(t *testing.T) {
	w := newWorld(t, link)
	for _, size := range []int{1000, 1 << 20} {
		w.must(func() {
			var late error
			h := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Content-Length", "0")
				rw.WriteHeader(http.StatusForbidden)
				rw.(http.Flusher).Flush()
				_, late = r.Body.Read(make([]byte, 1))
			})
			resp, err := w.c.Do(w.server, h, put(strings.Repeat("x", size)), time.Minute)
			if err != nil || resp.Status != http.StatusForbidden {
				t.Fatal(size, err)
			}
			w.c.Env.Sleep(rt.Forever, 5*time.Second)
			resp.Close()
			if late != http.ErrBodyReadAfterClose {
				t.Errorf("a read behind the answer: %v", late)
			}
			if resp.Whole() != (size == 1000) {
				t.Errorf("%d bytes: sent whole %v", size, resp.Whole())
			}
		})
	}
}

func TestExpectContinue(t *testing.T) {
	w := newWorld(t, link)
	w.must(func() {
		req := put("hello")
		req.Expect = true
		got := ""
		read := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			got = string(b)
		})
		start := w.s.Now()
		resp, err := w.c.Do(w.server, read, req, time.Minute)
		if err != nil || got != "hello" || w.s.Now()-start < 40*time.Millisecond {
			t.Errorf("%v %q after %v", err, got, w.s.Now()-start)
		}
		resp.Close()
		touched := false
		req.Body = io.MultiReader(readerFunc(func([]byte) (int, error) { touched = true; return 0, io.EOF }))
		deny := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(403) })
		resp, err = w.c.Do(w.server, deny, req, time.Minute)
		if err != nil || resp.Status != 403 || touched || resp.Whole() {
			t.Errorf("%v, body touched %v", err, touched)
		}
		resp.Close()
	})
}

// TestKill kills the server in the middle of a request.
func TestKill(t *testing.T) {
	for _, silent := range []bool{false, true} {
		l := link
		l.Silent = silent
		w := newWorld(t, l)
		w.must(func() {
			leaked := false
			h := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				defer func() { recover(); rw.WriteHeader(200); leaked = true }()
				io.ReadAll(r.Body)
			})
			w.s.After(300*time.Millisecond, w.server.Kill)
			start := w.s.Now()
			_, err := w.c.Do(w.server, h, put(strings.Repeat("x", 1<<20)), 10*time.Second)
			took := w.s.Now() - start
			var e *Error
			if !errors.As(err, &e) || e.Whole {
				t.Errorf("got %v", err)
			}
			if silent != errors.Is(err, context.DeadlineExceeded) || silent != (took == 10*time.Second) {
				t.Errorf("silent %v: %v after %v", silent, err, took)
			}
			w.c.Env.Sleep(rt.Forever, time.Second)
			if leaked {
				t.Log("the dead handler's deferred code ran on, without effect")
			}
			if _, err := w.c.Do(w.server, h, get(), time.Second); err == nil {
				t.Error("a dead server answers")
			}
		})
	}
}

// TestClientGoes wants the request's context to end only where net/http looks.
func TestClientGoes(t *testing.T) {
	w := newWorld(t, link)
	w.must(func() {
		var ctxErr, writeErr error
		h := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			io.ReadAll(r.Body)
			w.server.Sleep(r.Context(), 30*time.Second)
			ctxErr = r.Context().Err()
			_, writeErr = rw.Write(make([]byte, 4096))
		})
		if _, err := w.c.Do(w.server, h, put("x"), time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		w.c.Env.Sleep(rt.Forever, time.Minute)
		if ctxErr == nil || writeErr == nil {
			t.Errorf("body read: context %v, write %v; want both to fail", ctxErr, writeErr)
		}
		var early, readErr error
		h = func(rw http.ResponseWriter, r *http.Request) {
			w.server.Sleep(r.Context(), 30*time.Second)
			early = r.Context().Err()
			_, readErr = io.ReadAll(r.Body)
		}
		w.c.Do(w.server, h, put(strings.Repeat("x", 1<<20)), time.Second)
		w.c.Env.Sleep(rt.Forever, time.Minute)
		if early != nil || !errors.Is(readErr, io.ErrUnexpectedEOF) {
			t.Errorf("body not read: context %v (want none), read %v", early, readErr)
		}
	})
}

func TestAbandonedBody(t *testing.T) {
	w := newWorld(t, link)
	w.must(func() {
		var readErr error
		h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_,
				readErr = io.ReadAll(r.Body)
		})
		req := put("")
		giveUp := errors.New("gave up")
		req.Body = io.MultiReader(bytes.NewReader(make([]byte, 50_000)), readerFunc(func([]byte) (int,
			error) {
			return 0, giveUp
		}))
		req.Length = 100_000
		var e *Error
		if _, err := w.c.Do(w.server, h, req, time.Minute); !errors.As(err, &e) || e.Whole ||
			!errors.Is(err, giveUp) {
			t.Error(err)
		}
		w.c.Env.Sleep(rt.Forever, time.Second)
		if !errors.Is(readErr, io.ErrUnexpectedEOF) {
			t.Errorf("the server read %v", readErr)
		}
	})
}

func TestDeadlines(t *testing.T) {
	w := newWorld(t, link)
	w.must(func() {
		var readErr error
		h := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			http.NewResponseController(rw).SetReadDeadline(w.server.Wall().Add(time.Second))
			_, readErr = io.ReadAll(r.Body)
			var timeout interface{ Timeout() bool }
			if !errors.As(readErr, &timeout) || !timeout.Timeout() {
				t.Errorf("a slow body: %v", readErr)
			}
		})
		w.c.Do(w.server, h, put(strings.Repeat("x", 4<<20)), time.Minute)
		if readErr == nil {
			t.Error("the deadline did not pass")
		}
	})
}

// TestHeadRequest announces a length and sends nothing.
func TestHeadRequest(t *testing.T) {
	w := newWorld(t, link)
	w.must(func() {
		req := get()
		req.Method = "HEAD"
		h := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "1000000")
			rw.WriteHeader(200)
		})
		resp, err := w.c.Do(w.server, h, req, time.Minute)
		if err != nil || resp.Length != 1_000_000 {
			t.Fatal(err, resp)
		}
		if b, err := io.ReadAll(resp.Body); err != nil || len(b) > 0 {
			t.Error(len(b), err)
		}
		resp.Close()
	})
}

// TestKillWithoutBody: the server may have acted on a request with an empty body before the client has found
// out that there is nothing to send.
func TestKillWithoutBody(t *testing.T) {
	w := newWorld(t, link)
	w.must(func() {
		acted := false
		h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			acted = true
			w.s.After(0, w.server.Kill)
			w.server.Sleep(rt.Forever, time.Hour)
		})
		req := put("")
		req.Body, req.Expect = strings.NewReader(""), true
		_, err := w.c.Do(w.server, h, req, time.Minute)
		var e *Error
		if !errors.As(err, &e) || !e.Whole || !acted {
			t.Errorf("acted %v, %v", acted, err)
		}
	})
}
