package k2v

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"granary/core/crdt"
	"granary/core/crdt/crdttest"
	"granary/core/rt"
	"granary/core/table"
)

func drawContext(t *rapid.T, name string) (c crdt.Context) {
	for range rapid.IntRange(0, 4).Draw(t, name) {
		c = c.With(crdt.Dot{Node: rapid.Uint64Max(5).Draw(t, "node"),
			Time: rapid.Uint64Max(9).Draw(t, "time")})
	}
	return c
}

func TestToken(t *testing.T) {
	if got := Token(nil); got != "AAAAAAAAAAA" {
		t.Errorf("the empty token is %q", got)
	}
	if got := Token(crdt.Context{{Node: 1, Time: 2}}); got != "AAAAAAAAAAMAAAAAAAAAAQAAAAAAAAAC" {
		t.Errorf("token %q; a released form must not change", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		c := drawContext(t, "dots")
		back, err := ParseToken(Token(c))
		if err != nil || cmp.Diff(c, back) != "" {
			t.Fatalf("%v: %v, %v", c, back, err)
		}
	})
	for _, bad := range []string{"AAAA", "=", "AAAAAAAAAAB", "AAAAAAAAAAMAAAAAAAAAAQAAAAAAAAAD",
		Token(crdt.Context{{Node: 2, Time: 1}, {Node: 1, Time: 1}}), Token(crdt.Context{{Node: 1, Time: 0}}),
		strings.Repeat("A", 100_000)} {
		if _, err := ParseToken(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("token %.60q: %v", bad, err)
		}
	}
}

func drawMarker(t *rapid.T) marker {
	var items []told
	for _, sk := range []string{"a", "b", "c"} {
		if rapid.Bool().Draw(t, "named") {
			items = append(items, told{sk, drawContext(t, sk)})
		}
	}
	return marker{}.join(marker{Clock: drawContext(t, "clock"), Items: items})
}

// TestMarkerForm: markers have one form, which survives the wire, and name no item that the clock covers.
func TestMarkerForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawMarker(t), drawMarker(t)
		joined := a.join(b)
		if diff := cmp.Diff(joined, b.join(a)) + cmp.Diff(joined, joined.join(a)); diff != "" {
			t.Fatalf("no single form: %s", diff)
		}
		for _, m := range []marker{a, joined} {
			text, err := m.encode()
			if err != nil {
				t.Fatal(err)
			}
			back, err := parseMarker(text)
			if err != nil || cmp.Diff(m, back) != "" {
				t.Fatalf("%+v came back as %+v, %v", m, back, err)
			}
			for _, item := range m.Items {
				if !item.Seen.Newer(m.Clock) {
					t.Fatalf("names %+v, which the clock covers: %+v", item, m)
				}
			}
		}
		for _, sk := range []string{"a", "b", "c"} {
			if c := drawContext(t, "of an item"); joined.isNew(sk, c) && (!a.isNew(sk, c) ||
				!b.isNew(sk, c)) {
				t.Fatalf("%q in %v is new to the join alone", sk, c)
			}
		}
	})
}

// TestMarkerMisses: whoever follows markers, of answers whole and cut, is told the last state of every item.
func TestMarkerMisses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var nodes [3]map[string]crdt.DVVS
		var clocks [3]uint64
		for i := range nodes {
			nodes[i] = map[string]crdt.DVVS{}
		}
		seen, m := map[string]crdt.Context{}, marker{}
		look := func(asked []int, limit int) {
			var next marker
			for _, n := range asked {
				var news []told
				for _, sk := range sortedKeys(nodes[n]) {
					if c := nodes[n][sk].Context(); m.isNew(sk, c) && len(news) < limit {
						news = append(news, toldOf(sk, c))
						seen[sk] = seen[sk].Join(c)
					}
				}
				next = next.join(m.mark(uint64(n), news, len(news) < limit))
			}
			m = next
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			n := rapid.IntRange(0, 2).Draw(t, "node")
			sk := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "sk")
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				nodes[n][sk], clocks[n] = nodes[n][sk].Write(uint64(n), clocks[n], nodes[n][sk].Context(),
					crdt.DVVSValue{ID: crdt.WriteID{byte(n), byte(clocks[n])}})
			case 1:
				from := rapid.IntRange(0, 2).Draw(t, "from")
				nodes[n][sk] = nodes[n][sk].Join(nodes[from][sk])
			default:
				look([]int{n, (n + 1) % 3}, rapid.IntRange(1, 3).Draw(t, "limit"))
			}
		}
		for range 12 { // at most 4 items are new at each node
			look([]int{0, 1, 2}, 2)
		}
		for n := range nodes {
			for sk, d := range nodes[n] {
				if d.Context().Newer(seen[sk]) {
					t.Fatalf("%q is in %v at node %d, told was %v", sk, d.Context(), n, seen[sk])
				}
			}
		}
	})
}

func TestMarkerBounded(t *testing.T) {
	var m marker
	for i := range 3000 {
		m.Items = append(m.Items, told{fmt.Sprintf("%04d%s", i, strings.Repeat("x", 1000)),
			crdt.Context{{Time: 1}}})
	}
	if _, err := m.encode(); !errors.Is(err, ErrInvalid) {
		t.Errorf("a marker of 3 MB: %v", err)
	}
}

func TestRangeBounds(t *testing.T) {
	keys := []string{"a", "ab", "abc", "b", "b0", "c"}
	rapid.Check(t, func(t *rapid.T) {
		some := func(name string) string { return rapid.SampledFrom(append(keys, "")).Draw(t, name) }
		r := Range{Prefix: some("prefix"), Start: some("start"), End: some("end"),
			Reverse: rapid.Bool().Draw(t, "reverse")}
		if r.Start != "" && !strings.HasPrefix(r.Start, r.Prefix) {
			if r.Check() == nil {
				t.Fatalf("%+v passes", r)
			}
			return
		}
		for _, k := range keys {
			want := strings.HasPrefix(k, r.Prefix)
			if r.Reverse {
				want = want && (r.Start == "" || k <= r.Start) && (r.End == "" || k > r.End)
			} else {
				want = want && k >= r.Start && (r.End == "" || k < r.End)
			}
			if got := r.holds(k); got != want {
				t.Fatalf("%+v holds %q: %v", r, k, got)
			}
		}
	})
}

func TestIndexLaws(t *testing.T) {
	crdttest.Laws(t, rapid.Custom(func(t *rapid.T) indexRow {
		var r indexRow
		for n := range 3 {
			if rapid.Bool().Draw(t, "there") {
				c := count{At: rapid.Uint64Max(2).Draw(t, "at"),
					Known:  knowledge{Low: rapid.Uint64Max(2).Draw(t, "known")},
					Counts: Counts{Entries: int64(rapid.IntRange(0, 2).Draw(t, "entries"))}}
				r.Replicas = r.Replicas.With(rt.NodeID{byte(n)}, c)
			}
		}
		return r
	}))
}

// TestKnowledge: the sum carries and borrows beyond 64 bits.
func TestKnowledge(t *testing.T) {
	d := crdt.DVVS{}
	d, _ = d.Write(1, 1<<63, nil, crdt.DVVSValue{})
	k := knowledge{}.plus(d).plus(d).plus(d)
	if k.High != 1 || !(knowledge{}).plus(d).less(k) || k.minus(d).minus(d).minus(d) != (knowledge{}) {
		t.Errorf("three times %v is %+v", d.Context(), k)
	}
}

func TestSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var parts []mergePart
		var want []string
		for p := range rapid.IntRange(1, 4).Draw(t, "parts") {
			part := mergePart{PK: []byte{byte(p)}}
			for r := range rapid.IntRange(1, 4).Draw(t, "rows") {
				size := rapid.SampledFrom([]int{1, chunkMax / 2, chunkMax}).Draw(t, "size")
				part.Rows = append(part.Rows, table.Row{Sort: []byte{byte(r)}, Value: make([]byte, size)})
				want = append(want, fmt.Sprint(p, r))
			}
			parts = append(parts, part)
		}
		var got []string
		for _, c := range split(parts) {
			n := 0
			for _, p := range c.Parts {
				for _, row := range p.Rows {
					got = append(got, fmt.Sprint(p.PK[0], row.Sort[0]))
					n++
				}
			}
			if c.size() > chunkMax+1 && n > 1 {
				t.Fatalf("a message of %d bytes, %d rows", c.size(), n)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("rows %v, want %v", got, want)
		}
	})
}

func FuzzToken(f *testing.F) {
	f.Add(Token(crdt.Context{{Node: 1, Time: 2}, {Node: 3, Time: 4}}))
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := ParseToken(text); err == nil && Token(c) != text {
			t.Errorf("%q is also %q", text, Token(c))
		}
	})
}

func FuzzMarker(f *testing.F) {
	text, _ := marker{Clock: crdt.Context{{Node: 1, Time: 2}},
		Items: []told{{"a", crdt.Context{{Node: 2, Time: 1}}}}}.encode()
	f.Add(text)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseMarker(text)
		if err != nil {
			return
		}
		m.isNew("a", crdt.Context{{Node: 1, Time: 1}})
		if _, err := m.join(marker{}).encode(); err != nil {
			t.Error(err)
		}
	})
}
