package overlay

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"granary/core/kv"
)

// sorted is a kv.Reader on a map: slow and obvious.
type sorted map[string]string

func (m sorted) Get(key []byte) []byte {
	if v, found := m[string(key)]; found {
		return []byte(v)
	}
	return nil
}

func (m sorted) Ascend(start, end []byte, f func(key, value []byte) bool) {
	m.scan(slices.Sorted(maps.Keys(m)), start, end, f)
}

func (m sorted) Descend(start, end []byte, f func(key, value []byte) bool) {
	keys := slices.Sorted(maps.Keys(m))
	slices.Reverse(keys)
	m.scan(keys, start, end, f)
}

func (m sorted) scan(keys []string, start, end []byte, f func(key, value []byte) bool) {
	for _, k := range keys {
		if k >= string(start) && (end == nil || k < string(end)) && !f([]byte(k), []byte(m[k])) {
			return
		}
	}
}

func dump(scan func(start, end []byte, f func(k, v []byte) bool), start, end []byte, limit int) string {
	var b strings.Builder
	scan(start, end, func(k, v []byte) bool {
		fmt.Fprintf(&b, "%x=%x ", k, v)
		limit--
		return limit > 0
	})
	return b.String()
}

// Whatever is written and rolled back, the overlay reads like its base with the writes applied, and Each
// leads from the one to the other.
func TestReadsLikeApplied(t *testing.T) {
	key := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0xff}), 1, 3)
	rapid.Check(t, func(t *rapid.T) {
		base := sorted{}
		for _, k := range rapid.SliceOfN(key, 0, 20).Draw(t, "base") {
			base[string(k)] = "base"
		}
		o, want := New(), maps.Clone(base)
		o.Reset(base)
		for range rapid.IntRange(0, 6).Draw(t, "updates") {
			o.Begin()
			before := maps.Clone(want)
			for range rapid.IntRange(0, 10).Draw(t, "writes") {
				k, v := key.Draw(t, "key"), rapid.SliceOfN(rapid.Byte(), 0, 2).Draw(t, "value")
				if rapid.Bool().Draw(t, "delete") {
					o.Delete(k)
					delete(want, string(k))
				} else {
					o.Put(k, v)
					want[string(k)] = string(v)
				}
			}
			if rapid.Bool().Draw(t, "rollback") {
				o.Rollback()
				want = before
			}
			start, end := key.Draw(t, "start"), []byte(nil)
			if rapid.Bool().Draw(t, "bounded") {
				end = key.Draw(t, "end")
			}
			limit := rapid.IntRange(1, 30).Draw(t, "limit")
			same(t, "up", dump(o.Ascend, start, end, limit), dump(want.Ascend, start, end, limit))
			same(t, "down", dump(o.Descend, start, end, limit), dump(want.Descend, start, end, limit))
			k := key.Draw(t, "get")
			if got, want := o.Get(k), want.Get(k); !bytes.Equal(got, want) || (got == nil) != (want == nil) {
				t.Fatalf("get %x: %x, want %x", k, got, want)
			}
		}
		applied, size := maps.Clone(base), int64(0)
		o.Each(func(w Write) {
			size += int64(len(w.Key)+len(w.Value)) + writeBytes
			if w.Value == nil {
				delete(applied, string(w.Key))
			} else {
				applied[string(w.Key)] = string(w.Value)
			}
		})
		if !maps.Equal(applied, want) || size != o.Bytes() {
			t.Fatalf("applied %v, want %v; %d bytes, counted %d", applied, want, size, o.Bytes())
		}
	})
}

func same(t *rapid.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %s, want %s", what, got, want)
	}
}

func TestResetForgets(t *testing.T) {
	o := New()
	o.Reset(sorted{"a": "1"})
	o.Put([]byte("b"), nil)
	o.Reset(sorted{"c": "1"})
	if got := dump(o.Ascend, nil, nil, 9); got != "63=31 " || o.Len() != 0 || o.Bytes() != 0 {
		t.Errorf("after Reset: %s, %d writes of %d bytes", got, o.Len(), o.Bytes())
	}
}

var _ kv.Writer = (*Overlay)(nil)
