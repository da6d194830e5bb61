// Package kvtest is the suite that every kv.Store passes, simulated or real.
package kvtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"granary/core/kv"
	"granary/core/rt"
)

// T is what the suite needs of a *testing.T, and of a *rapid.T.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Harness is one place that a store's data lives in, empty at first.
type Harness interface {
	// Do opens the store on a fresh node, runs f as a task of it, closes the store and returns.
	Do(t T, f func(env rt.Env, s kv.Store))
}

// Crasher is a Harness that can also cut the power.
type Crasher interface {
	Harness
	// Crash is Do in which f, or any other task of its, ends the node by calling crash, which does not
	// return.
	Crash(t T, f func(env rt.Env, s kv.Store, crash func()))
}

// Run runs the suite. open returns a new, empty place; the harness reports its troubles to t.
func Run(t *testing.T, open func(t T) Harness) {
	simple := []struct {
		name string
		f    func(t *testing.T, env rt.Env, s kv.Store)
	}{
		{"an empty value is not an absent one", emptyValue},
		{"writer keeps no reference to its arguments", argumentsReused},
		{"bounds of scans", bounds},
		{"an update reads its own writes", readsOwnWrites},
		{"limits panic and spoil only their own update", limits},
		{"errors and panics spoil only their own update", isolation},
		{"a view does not move", snapshot},
		{"updates group into fewer commits", grouping},
		{"an update whose caller has gone never runs", cancelled},
		{"stats count", stats},
	}
	for _, tt := range simple {
		t.Run(tt.name, func(t *testing.T) {
			open(t).Do(t, func(env rt.Env, s kv.Store) { tt.f(t, env, s) })
		})
	}
	t.Run("close", func(t *testing.T) { closed(t, open(t)) })
	t.Run("close commits what is queued", func(t *testing.T) { closeDrains(t, open(t)) })
	t.Run("a model agrees", func(t *testing.T) { model(t, open) })
	t.Run("a crash keeps what was answered", func(t *testing.T) { crashes(t, open) })
}

var errRefused = errors.New("refused")

func update(t T, env rt.Env, s kv.Store, f func(w kv.Writer)) {
	t.Helper()
	err := s.Update(env.Background(), func(w kv.Writer) error {
		f(w)
		return nil
	})
	if err != nil {
		t.Errorf("update: %v", err)
	}
}

func view(t T, s kv.Store, f func(r kv.Reader)) {
	t.Helper()
	err := s.View(func(r kv.Reader) error {
		f(r)
		return nil
	})
	if err != nil {
		t.Errorf("view: %v", err)
	}
}

// dump renders the content in [start, end), ascending.
func dump(r kv.Reader, start, end []byte) string {
	var b strings.Builder
	r.Ascend(start, end, func(k, v []byte) bool {
		fmt.Fprintf(&b, "%s=%s ", k, v)
		return true
	})
	return strings.TrimSpace(b.String())
}

// dumpDown is dump, descending.
func dumpDown(r kv.Reader, start, end []byte) string {
	var b strings.Builder
	r.Descend(start, end, func(k, v []byte) bool {
		fmt.Fprintf(&b, "%s=%s ", k, v)
		return true
	})
	return strings.TrimSpace(b.String())
}

func want(t T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func emptyValue(t *testing.T, env rt.Env, s kv.Store) {
	check := func(when string, r kv.Reader) {
		if v := r.Get([]byte("empty")); v == nil || len(v) != 0 {
			t.Errorf("%s: empty value reads %v", when, v)
		}
		if v := r.Get([]byte("nil")); v == nil || len(v) != 0 {
			t.Errorf("%s: nil value reads %v", when, v)
		}
		for _, key := range []string{"absent", "", strings.Repeat("k", kv.KeyMax+1)} {
			if v := r.Get([]byte(key)); v != nil {
				t.Errorf("%s: absent key of %d bytes reads %v", when, len(key), v)
			}
		}
		r.Ascend(nil, nil, func(k, v []byte) bool {
			if v == nil {
				t.Errorf("%s: scan gives nil for %q", when, k)
			}
			return true
		})
	}
	update(t, env, s, func(w kv.Writer) {
		w.Put([]byte("empty"), []byte{})
		w.Put([]byte("nil"), nil)
		check("own write", w)
	})
	view(t, s, func(r kv.Reader) { check("view", r) })
	update(t, env, s, func(w kv.Writer) { check("committed, in an update", w) })
}

func argumentsReused(t *testing.T, env rt.Env, s kv.Store) {
	update(t, env, s, func(w kv.Writer) {
		k, v := []byte("key"), []byte("value")
		w.Put(k, v)
		copy(k, "xxx")
		copy(v, "yyyyy")
		want(t, "own write", dump(w, nil, nil), "key=value")
	})
	update(t, env, s, func(w kv.Writer) {
		w.Put([]byte("other"), []byte("1"))
		k := []byte("key")
		w.Delete(k)
		copy(k, "xxx")
	})
	view(t, s, func(r kv.Reader) { want(t, "view", dump(r, nil, nil), "other=1") })
}

func bounds(t *testing.T, env rt.Env, s kv.Store) {
	update(t, env, s, func(w kv.Writer) {
		for _, k := range []string{"a", "b", "c", "d"} {
			w.Put([]byte(k), []byte(strings.ToUpper(k)))
		}
	})
	tests := []struct{ start, end, up, down string }{
		{"", "-", "a=A b=B c=C d=D", "d=D c=C b=B a=A"},
		{"b", "-", "b=B c=C d=D", "d=D c=C b=B"},
		{"b", "d", "b=B c=C", "c=C b=B"},
		{"aa", "cc", "b=B c=C", "c=C b=B"},
		{"", "a", "", ""},
		{"e", "-", "", ""},
		{"c", "c", "", ""},
		{"d", "b", "", ""},
		{"", "zz", "a=A b=B c=C d=D", "d=D c=C b=B a=A"},
		{"", "", "", ""},
	}
	check := func(r kv.Reader) {
		for _, tt := range tests {
			end := []byte(tt.end)
			if tt.end == "-" {
				end = nil
			}
			in := fmt.Sprintf(" in [%q %q)", tt.start, tt.end)
			want(t, "up"+in, dump(r, []byte(tt.start), end), tt.up)
			want(t, "down"+in, dumpDown(r, []byte(tt.start), end), tt.down)
		}
		n := 0
		r.Ascend(nil, nil, func(_, _ []byte) bool { n++; return n < 2 })
		r.Descend(nil, nil, func(_, _ []byte) bool { n++; return n < 4 })
		if n != 4 {
			t.Errorf("scans told to stop after 2 keys each visited %d", n)
		}
	}
	view(t, s, check)
	update(t, env, s, func(w kv.Writer) { check(w) })
	update(t, env, s, func(w kv.Writer) { // the same content, half of it in the overlay
		w.Put([]byte("aa"), nil)
		w.Delete([]byte("aa"))
		w.Delete([]byte("c"))
		w.Put([]byte("c"), []byte("C"))
		w.Put([]byte("d"), []byte("D"))
		check(w)
	})
}

func readsOwnWrites(t *testing.T, env rt.Env, s kv.Store) {
	update(t, env, s, func(w kv.Writer) {
		w.Put([]byte("a"), []byte("1"))
		w.Put([]byte("c"), []byte("3"))
	})
	update(t, env, s, func(w kv.Writer) {
		w.Put([]byte("b"), []byte("2"))
		w.Put([]byte("c"), []byte("three"))
		w.Delete([]byte("a"))
		w.Delete([]byte("nothing"))
		want(t, "up", dump(w, nil, nil), "b=2 c=three")
		want(t, "down", dumpDown(w, nil, nil), "c=three b=2")
		if w.Get([]byte("a")) != nil {
			t.Errorf("a deleted key is still there")
		}
		want(t, "get", string(w.Get([]byte("c"))), "three")
	})
	view(t, s, func(r kv.Reader) { want(t, "view", dump(r, nil, nil), "b=2 c=three") })
}

func limits(t *testing.T, env rt.Env, s kv.Store) {
	longest := bytes.Repeat([]byte("k"), kv.KeyMax)
	update(t, env, s, func(w kv.Writer) { w.Put(longest, make([]byte, 1<<20)) })
	bad := []struct {
		name string
		f    func(w kv.Writer)
	}{
		{"empty key", func(w kv.Writer) { w.Put(nil, []byte("v")) }},
		{"key too long", func(w kv.Writer) { w.Put(append(longest, 'k'), nil) }},
		{"value too long", func(w kv.Writer) { w.Put([]byte("k"), make([]byte, kv.ValueMax+1)) }},
		{"delete in a scan up", func(w kv.Writer) {
			w.Ascend(nil, nil, func(k, _ []byte) bool { w.Delete(k); return true })
		}},
		{"put in a scan down", func(w kv.Writer) {
			w.Descend(nil, nil, func(k, _ []byte) bool { w.Put(k, k); return true })
		}},
	}
	for _, tt := range bad {
		err := s.Update(env.Background(), func(w kv.Writer) error {
			w.Put([]byte("spoiled"), []byte(tt.name))
			tt.f(w)
			return nil
		})
		var p *rt.PanicError
		if !errors.As(err, &p) {
			t.Errorf("%s: %v, want a PanicError", tt.name, err)
		}
	}
	view(t, s, func(r kv.Reader) {
		if n := len(r.Get(longest)); n != 1<<20 {
			t.Errorf("longest key has a value of %d bytes", n)
		}
		if v := r.Get([]byte("spoiled")); v != nil {
			t.Errorf("a panicking update left %q", v)
		}
	})
}

func isolation(t *testing.T, env rt.Env, s kv.Store) {
	g := rt.NewGroup(env, env.Background())
	for i := range 30 {
		g.Go("update", func(ctx context.Context) error {
			err := s.Update(ctx, func(w kv.Writer) error {
				w.Put([]byte("last"), fmt.Appendf(nil, "%d", i))
				w.Put(fmt.Appendf(nil, "u%02d", i), nil)
				w.Delete([]byte("u00"))
				switch i % 3 {
				case 1:
					return errRefused
				case 2:
					panic("on purpose")
				}
				return nil
			})
			var p *rt.PanicError
			if ok := [3]bool{err == nil, errors.Is(err, errRefused), errors.As(err, &p)}; !ok[i%3] {
				t.Errorf("update %d: %v", i, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	view(t, s, func(r kv.Reader) {
		for i := 1; i < 30; i++ {
			if got := r.Get(fmt.Appendf(nil, "u%02d", i)) != nil; got != (i%3 == 0) {
				t.Errorf("update %d applied: %v", i, got)
			}
		}
		var last int
		if fmt.Sscan(string(r.Get([]byte("last"))), &last); last%3 != 0 {
			t.Errorf("last is %d, from an update that failed", last)
		}
	})
}

func snapshot(t *testing.T, env rt.Env, s kv.Store) {
	g := rt.NewGroup(env, env.Background())
	for range 4 {
		g.Go("write", func(ctx context.Context) error {
			for range 25 {
				update(t, env, s, func(w kv.Writer) {
					next := fmt.Appendf(nil, "%d", number(w.Get([]byte("a")))+1)
					w.Put([]byte("a"), next)
					w.Put([]byte("z"), next)
				})
			}
			return nil
		})
	}
	for range 4 {
		g.Go("read", func(ctx context.Context) error {
			seen := 0
			for range 100 {
				view(t, s, func(r kv.Reader) {
					a := number(r.Get([]byte("a")))
					for range 3 {
						runtime.Gosched() //det:ok the real runtime has other goroutines
						if z := number(r.Get([]byte("z"))); z != a {
							t.Errorf("one view shows a=%d z=%d", a, z)
						}
					}
					if a < seen {
						t.Errorf("views went back from %d to %d", seen, a)
					}
					seen = a
				})
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	view(t, s, func(r kv.Reader) { want(t, "sum", string(r.Get([]byte("a"))), "100") })
}

func number(b []byte) int {
	n := 0
	fmt.Sscan(string(b), &n)
	return n
}
