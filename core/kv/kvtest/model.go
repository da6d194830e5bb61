package kvtest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"granary/core/kv"
	"granary/core/rt"
)

// twin is the slow and obvious store: a map, sorted for every scan.
type twin map[string]string

func (m twin) keys(start, end []byte) []string {
	var keys []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if k >= string(start) && (end == nil || k < string(end)) {
			keys = append(keys, k)
		}
	}
	return keys
}

// op is one call inside a transaction.
type op struct {
	kind       string // put, delete, get, up, down
	key, value []byte
	end        []byte
	limit      int
}

// step is one transaction, or the closing and opening of the store.
type step struct {
	kind string // update, refuse, panic, view, reopen
	ops  []op
}

// model runs random scripts against the store and its twin.
func model(t *testing.T, open func(T) Harness) {
	rapid.Check(t, func(t *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(drawStep), 1, 25).Draw(t, "steps")
		h, m := open(t), twin{}
		for len(steps) > 0 {
			var diff string
			h.Do(t, func(env rt.Env, s kv.Store) {
				for len(steps) > 0 && diff == "" {
					st := steps[0]
					steps = steps[1:]
					if st.kind == "reopen" {
						return
					}
					diff = m.run(env, s, st)
				}
			})
			if diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func drawStep(t *rapid.T) step {
	kinds := []string{"update", "update", "update", "refuse", "panic", "view", "view", "reopen"}
	return step{
		kind: rapid.SampledFrom(kinds).Draw(t, "step"),
		ops:  rapid.SliceOfN(rapid.Custom(drawOp), 0, 12).Draw(t, "ops"),
	}
}

func drawOp(t *rapid.T) op {
	key := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'a', 'b', 0xff}), 1, 3)
	kinds := []string{"put", "put", "put", "delete", "delete", "get", "up", "down"}
	o := op{
		kind:  rapid.SampledFrom(kinds).Draw(t, "op"),
		key:   key.Draw(t, "key"),
		value: rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "value"),
		limit: rapid.IntRange(1, 8).Draw(t, "limit"),
	}
	if rapid.IntRange(0, 3).Draw(t, "size") == 0 {
		o.value = bytes.Repeat(o.value, 1000)
	}
	if rapid.Bool().Draw(t, "bounded") {
		o.end = key.Draw(t, "end")
	}
	return o
}

// run executes a step on both and returns the first difference.
func (m twin) run(env rt.Env, s kv.Store, st step) (diff string) {
	work := maps.Clone(m)
	f := func(r kv.Reader, w kv.Writer) {
		for _, o := range st.ops {
			if d := work.op(r, w, o); d != "" && diff == "" {
				diff = fmt.Sprintf("%s in %s: %s", o.kind, st.kind, d)
			}
		}
	}
	var err error
	if st.kind == "view" {
		err = s.View(func(r kv.Reader) error { f(r, nil); return nil })
	} else {
		err = s.Update(env.Background(), func(w kv.Writer) error {
			f(w, w)
			switch st.kind {
			case "refuse":
				return errRefused
			case "panic":
				panic("on purpose")
			}
			return nil
		})
	}
	var p *rt.PanicError
	switch {
	case st.kind == "refuse" && errors.Is(err, errRefused), st.kind == "panic" && errors.As(err, &p):
	case err != nil || st.kind == "refuse" || st.kind == "panic":
		return fmt.Sprintf("%s answered %v", st.kind, err)
	default:
		clear(m)
		maps.Copy(m, work)
	}
	return diff
}

// op executes one call on both. In a view, w is nil, and writes are left out.
func (m twin) op(r kv.Reader, w kv.Writer, o op) string {
	switch {
	case o.kind == "put" && w != nil:
		w.Put(o.key, o.value)
		m[string(o.key)] = string(o.value)
	case o.kind == "delete" && w != nil:
		w.Delete(o.key)
		delete(m, string(o.key))
	case o.kind == "get":
		got, want := r.Get(o.key), m[string(o.key)]
		if _, found := m[string(o.key)]; found != (got != nil) || string(got) != want {
			return fmt.Sprintf("%x is %x (nil %v), want %x (found %v)", o.key, got, got == nil, want, found)
		}
	case o.kind == "up", o.kind == "down":
		return m.scan(r, o)
	}
	return ""
}

func (m twin) scan(r kv.Reader, o op) string {
	keys := m.keys(o.key, o.end)
	var got, want strings.Builder
	visit := func(k, v []byte) bool {
		o.limit--
		fmt.Fprintf(&got, "%x=%x ", k, v)
		return o.limit > 0
	}
	n := min(o.limit, len(keys))
	if o.kind == "up" {
		r.Ascend(o.key, o.end, visit)
	} else {
		slices.Reverse(keys)
		r.Descend(o.key, o.end, visit)
	}
	for _, k := range keys[:n] {
		fmt.Fprintf(&want, "%x=%x ", k, m[k])
	}
	if got.String() != want.String() {
		return fmt.Sprintf("[%x %x) gives %s, want %s", o.key, o.end, got.String(), want.String())
	}
	return ""
}
