package crdt_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"granary/core/codec"
	"granary/core/crdt"
	"granary/core/crdt/crdttest"
)

// history is a few replicas of one item that write and merge as storage nodes do.
type history struct {
	replicas [3]crdt.DVVS
	clocks   [3]uint64
	tokens   []crdt.Context
	writes   []crdt.DVVSValue
}

func drawHistory(t *rapid.T) *history {
	h := &history{tokens: []crdt.Context{nil}}
	for step := range rapid.IntRange(0, 14).Draw(t, "steps") {
		n := rapid.IntRange(0, 2).Draw(t, "node")
		if rapid.IntRange(0, 2).Draw(t, "merge") == 0 {
			h.replicas[n] = h.replicas[n].Join(h.replicas[rapid.IntRange(0, 2).Draw(t, "from")])
			h.tokens = append(h.tokens, h.replicas[n].Context())
			continue
		}
		v := crdt.DVVSValue{ID: crdt.WriteID{byte(step + 1)}, Bytes: []byte{byte(step)}}
		if len(h.writes) > 0 && rapid.IntRange(0, 3).Draw(t, "retry") == 0 {
			v = rapid.SampledFrom(h.writes).Draw(t, "again")
			if h.replicas[n].Has(v.ID) {
				continue
			}
		}
		h.writes = append(h.writes, v)
		token := rapid.SampledFrom(h.tokens).Draw(t, "token")
		h.replicas[n], h.clocks[n] = h.replicas[n].Write(uint64(n+1), h.clocks[n], token, v)
	}
	return h
}

func TestDVVSLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		crdttest.Check(t, h.replicas[0], h.replicas[1], h.replicas[2])
	})
}

// TestDVVSKeeps compares with the meaning: in the join of all replicas a write is there exactly if no write,
// made with a context that covers its dot, superseded it.
func TestDVVSKeeps(t *testing.T) {
	type write struct {
		dot  crdt.Dot
		seen crdt.Context
	}
	rapid.Check(t, func(t *rapid.T) {
		var replicas [3]crdt.DVVS
		var clocks [3]uint64
		var writes []write
		for range rapid.IntRange(0, 12).Draw(t, "steps") {
			n, from := rapid.IntRange(0, 2).Draw(t, "node"), rapid.IntRange(0, 2).Draw(t, "from")
			if rapid.Bool().Draw(t, "merge") {
				replicas[n] = replicas[n].Join(replicas[from])
				continue
			}
			seen := replicas[from].Context()
			if rapid.IntRange(0, 2).Draw(t, "blind") == 0 {
				seen = nil
			}
			v := crdt.DVVSValue{ID: crdt.WriteID{byte(len(writes) + 1)}, Bytes: []byte{byte(len(writes))}}
			replicas[n], clocks[n] = replicas[n].Write(uint64(n), clocks[n], seen, v)
			writes = append(writes, write{crdt.Dot{Node: uint64(n), Time: clocks[n]}, seen})
		}
		var want []byte
		for i, w := range writes {
			if !slices.ContainsFunc(writes,
				func(o write) bool { return o.seen.At(w.dot.Node) >= w.dot.Time }) {
				want = append(want, byte(i))
			}
		}
		var got []byte
		for _, v := range replicas[0].Join(replicas[1]).Join(replicas[2]).Values() {
			got = append(got, v.Bytes...)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("values %v, want %v of %+v", got, want, writes)
		}
	})
}

// TestRetryLeavesNoZombie: a write that a second node carried out too disappears with its copy, although the
// token of who replaced it never covered the first dot.
func TestRetryLeavesNoZombie(t *testing.T) {
	w := crdt.DVVSValue{ID: crdt.WriteID{7}, Bytes: []byte("w")}
	cutOff, _ := crdt.DVVS{}.Write(1, 10, nil, w)
	retried, _ := crdt.DVVS{}.Write(2, 20, nil, w)
	replaced, _ := retried.Write(2, 30, retried.Context(),
		crdt.DVVSValue{ID: crdt.WriteID{8}, Bytes: []byte("x")})
	for _, all := range []crdt.DVVS{replaced.Join(cutOff), cutOff.Join(replaced)} {
		if v := all.Values(); len(v) != 1 || string(v[0].Bytes) != "x" {
			t.Errorf("values %+v, want x alone", v)
		}
		if !all.Has(w.ID) || all.Context().At(1) != 11 {
			t.Errorf("the copy is forgotten: %+v", all)
		}
	}
}

func TestSpentBounded(t *testing.T) {
	var d crdt.DVVS
	now := uint64(0)
	for i := range 3 * crdt.SpentMax {
		v := crdt.DVVSValue{ID: crdt.WriteID{byte(i), byte(i >> 8), 1}, Bytes: []byte(fmt.Sprint(i))}
		d, now = d.Write(1, now, d.Context(), v)
	}
	if len(d.Spent) != crdt.SpentMax || len(d.Values()) != 1 {
		t.Errorf("%d ids, %d values", len(d.Spent), len(d.Values()))
	}
	newest := 3*crdt.SpentMax - 2
	if !d.Has(crdt.WriteID{byte(newest), byte(newest >> 8), 1}) {
		t.Error("the newest id was dropped")
	}
}

func FuzzDVVS(f *testing.F) {
	d, _ := crdt.DVVS{}.Write(1, 5, crdt.Context{{Node: 2, Time: 9}}, crdt.DVVSValue{Bytes: []byte("x")})
	raw, _ := codec.Marshal(d)
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var x crdt.DVVS
		if codec.Unmarshal(raw, &x) != nil {
			return
		}
		x.Join(d)
		x.Values()
		_ = x.Context()
	})
}
