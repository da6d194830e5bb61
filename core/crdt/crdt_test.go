package crdt_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"granary/core/codec"
	"granary/core/crdt"
	"granary/core/crdt/crdttest"
	"granary/core/goldentest"
	"granary/core/hlc"
	"granary/core/rt"
)

type counter = crdt.Max[uint64]
type register = crdt.LWW[string]
type item = crdt.Deletable[crdt.Map[crdt.Text, register]]

func genCounter() *rapid.Generator[counter] {
	return rapid.Map(rapid.Uint64Max(3), func(n uint64) counter { return counter{Value: n} })
}

func genRegister() *rapid.Generator[register] {
	return rapid.Custom(func(t *rapid.T) register {
		return register{
			Stamp: hlc.Stamp(rapid.Uint64Max(3).Draw(t, "stamp")),
			Value: rapid.SampledFrom([]string{"", "a", "b", "bb"}).Draw(t, "value"),
		}
	})
}

func genMap[V crdt.Lattice[V]](value *rapid.Generator[V]) *rapid.Generator[crdt.Map[crdt.Text, V]] {
	return rapid.Custom(func(t *rapid.T) (m crdt.Map[crdt.Text, V]) {
		for range rapid.IntRange(0, 5).Draw(t, "n") {
			key := rapid.SampledFrom([]crdt.Text{"", "a", "aa", "b", "c"}).Draw(t, "key")
			m = m.With(key, value.Draw(t, "value"))
		}
		return m
	})
}

func genItem() *rapid.Generator[item] {
	return rapid.Custom(func(t *rapid.T) item {
		if rapid.IntRange(0, 4).Draw(t, "deleted") == 0 {
			return crdt.Deleted[crdt.Map[crdt.Text, register]]()
		}
		return item{Value: genMap(genRegister()).Draw(t, "map")}
	})
}

func TestLaws(t *testing.T) {
	t.Run("Max", func(t *testing.T) { crdttest.Laws(t, genCounter()) })
	t.Run("LWW", func(t *testing.T) { crdttest.Laws(t, genRegister()) })
	t.Run("Map", func(t *testing.T) { crdttest.Laws(t, genMap(genRegister())) })
	t.Run("Map of Map", func(t *testing.T) { crdttest.Laws(t, genMap(genMap(genCounter()))) })
	t.Run("Deletable", func(t *testing.T) { crdttest.Laws(t, genItem()) })
}

// TestMapTwin compares Map with a plain Go map.
func TestMapTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genMap(genCounter()).Draw(t, "a"), genMap(genCounter()).Draw(t, "b")
		want := map[crdt.Text]uint64{}
		for _, m := range []crdt.Map[crdt.Text, counter]{a, b} {
			for k, v := range m.All() {
				want[k] = max(want[k], v.Value)
			}
		}
		joined, got := a.Join(b), map[crdt.Text]uint64{}
		last := crdt.Text("")
		for k, v := range joined.All() {
			if len(got) > 0 && k <= last {
				t.Fatalf("key %q after %q", k, last)
			}
			got[k], last = v.Value, k
		}
		if diff := cmp.Diff(want, got); diff != "" || joined.Len() != len(want) {
			t.Fatalf("-want +got:\n%s", diff)
		}
		for _, k := range []crdt.Text{"", "a", "zz"} {
			v, ok := joined.Get(k)
			if w, wok := want[k]; ok != wok || v.Value != w {
				t.Fatalf("Get(%q) = %v, %v; want %v, %v", k, v, ok, w, wok)
			}
		}
	})
}

func TestLWW(t *testing.T) {
	r := register{}.Set(5, "five")
	if got := r.Set(4, "late").Value; got != "five" {
		t.Errorf("an older write won: %q", got)
	}
	if got := r.Set(6, "").Value; got != "" {
		t.Errorf("a newer empty value lost to %q", got)
	}
	if x, y := r.Set(5, "six"), (register{5, "six"}).Join(r); x != y {
		t.Errorf("equal stamps: %v on one replica, %v on the other", x, y)
	}
	defer func() {
		if _, ok := recover().(rt.Broken); !ok {
			t.Error("a value without encoding: no rt.Broken")
		}
	}()
	crdt.LWW[func()]{Stamp: 1}.Join(crdt.LWW[func()]{Stamp: 1})
}

// TestMapCopies: a map that others hold does not change under them.
func TestMapCopies(t *testing.T) {
	old := crdt.Map[crdt.Text, counter]{}.With("a", counter{1}).With("c", counter{1})
	_, _ = old.With("a", counter{9}), old.With("b", counter{9})
	if a, _ := old.Get("a"); a.Value != 1 || old.Len() != 2 {
		t.Errorf("With changed its receiver: %v", old)
	}
	for key, value := range old.All() {
		if key != "a" || value.Value != 1 {
			t.Errorf("first entry is %q: %v", key, value)
		}
		break
	}
}

func TestDeletedStays(t *testing.T) {
	live := item{Value: crdt.Map[crdt.Text, register]{}.With("k", register{9, "v"})}
	gone := crdt.Deleted[crdt.Map[crdt.Text, register]]()
	if got := gone.Join(live); !got.Deleted || !got.Value.IsZero() {
		t.Errorf("resurrected: %+v", got)
	}
}

func TestGolden(t *testing.T) {
	ids := crdt.Map[rt.NodeID, counter]{}.With(rt.NodeID{2}, counter{2}).With(rt.NodeID{1}, counter{300})
	var out strings.Builder
	for _, v := range []any{
		counter{}, counter{7}, crdt.Max[string]{Value: "x"}, register{}, register{1 << 40, "é"}, ids,
		item{Value: crdt.Map[crdt.Text, register]{}.With("b", register{2, "y"}).With("a", register{1, ""})},
		crdt.Deleted[crdt.Map[crdt.Text, register]](), crdt.Map[crdt.Uint, counter]{}.With(3, counter{1}),
	} {
		b, err := codec.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%T\n  %s\n", v, hex.EncodeToString(b))
	}
	goldentest.Check(t, "testdata/encodings.txt", out.String())
}

func TestMapRefuses(t *testing.T) {
	for name, pairs := range map[string]string{
		"out of order": "82" + "826162a0" + "826161a0",
		"twice":        "82" + "826161a0" + "826161a0",
		"short pair":   "81" + "816161",
		"no array":     "a0",
	} {
		data, err := hex.DecodeString(pairs)
		if err != nil {
			t.Fatal(err)
		}
		var m crdt.Map[crdt.Text, counter]
		if err := codec.Unmarshal(data, &m); !errors.Is(err, codec.ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed; got %d keys", name, err, m.Len())
		}
	}
}

func FuzzItem(f *testing.F) {
	f.Add([]byte{0xa1, 2, 0x81, 0x82, 0x61, 'a', 0xa1, 1, 5})
	f.Add([]byte{0xa2, 1, 0xf5, 2, 0x80})
	f.Fuzz(func(t *testing.T, data []byte) {
		var a item
		if codec.Unmarshal(data, &a) != nil || a.Deleted && !a.Value.IsZero() {
			return
		}
		b := item{Value: crdt.Map[crdt.Text, register]{}.With("a", register{5, "x"})}
		crdttest.Check(t, a, b, a.Join(b))
	})
}
