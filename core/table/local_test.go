package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"granary/core/codec"
	"granary/core/hlc"
	"granary/core/kv"
	"granary/core/kv/overlay"
	"granary/core/quorum"
)

func TestLocalKeyIsGolden(t *testing.T) {
	got := appendLocal(nil, 0x1234, Object, Address{PK: []byte("pk"), Sort: []byte("sort")})
	if want := []byte("\x80\x12\x34\x01pksort"); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	r := &Reader{pk: []byte("pk"), prefix: 0x1234}
	lo, hi := r.bounds(Object, nil, nil)
	if string(lo) != "\x80\x12\x34\x01pk" || string(hi) != "\x80\x12\x34\x01pl" {
		t.Errorf("bounds %x, %x", lo, hi)
	}
	if s := successor([]byte("a\xff\xff")); string(s) != "b" || successor([]byte("\xff")) != nil {
		t.Errorf("successor %x", s)
	}
}

func TestRecordIsGolden(t *testing.T) {
	rec := record{Row: []byte("row"), Votes: []headVote{{Stamp: 5, ID: [16]byte{1}}}, Forgot: 3}
	got, err := codec.Seal(kindMark, 1, rec)
	want := "f101a30143726f770281a20105025001000000000000000000000000000000" + "0303"
	if err != nil || fmt.Sprintf("%x", got[:len(got)-4]) != want {
		t.Errorf("%x, %v\nwant %s", got[:len(got)-4], err, want)
	}
}

// voter applies writes of one voted row to one replica.
type voter struct {
	t   *testing.T
	tab *Table[mark]
	w   kv.Writer
}

func newVoter(t *testing.T) *voter {
	def := markDef()
	def.Head = func(m mark) Head { return Head{Stamp: hlc.Stamp(m.Stamp)} }
	return &voter{t: t, tab: &Table[mark]{def: def}, w: newWriter()}
}

func newWriter() *overlay.Overlay {
	w := overlay.New()
	w.Reset(emptyReader{})
	return w
}

// emptyReader is a store without rows.
type emptyReader struct{ kv.Reader }

func (emptyReader) Get([]byte) []byte                                   { return nil }
func (emptyReader) Ascend(_, _ []byte, _ func(key, value []byte) bool)  {}
func (emptyReader) Descend(_, _ []byte, _ func(key, value []byte) bool) {}

func (v *voter) apply(m mark, byMerge bool) ballot {
	v.t.Helper()
	tx := &Tx{Reader: *newReader(v.w, markPK), w: v.w, stampMax: hlc.StampMax}
	if byMerge {
		tx.stampMax = 0
	}
	row, err := codec.Marshal(m)
	if err != nil {
		v.t.Fatal(err)
	}
	b, err := v.tab.apply(tx, Address{markPK, []byte("k")}, row)
	if err != nil {
		v.t.Fatal(err)
	}
	return b
}

// A replica answers for a stamp once and for ever: clean if it was the newest when it first came, by whatever
// path, else behind; and only when it has forgotten, neither.
func TestVoteIsOnceAndForEver(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 6))
		v := newVoter(t)
		first := map[uint64]quorum.Vote{}
		var newest uint64
		for range 60 {
			stamp := 1 + r.Uint64N(40)
			got := v.apply(mark{Stamp: stamp}, r.IntN(3) == 0)
			want, known := first[stamp]
			if !known {
				want = quorum.Behind
				if stamp > newest {
					want, newest = quorum.Clean, stamp
				}
				first[stamp] = want
			}
			if got.vote != want || got.vote == quorum.Behind && got.head != hlc.Stamp(newest) {
				t.Fatalf("seed %d: stamp %d: %+v; want vote %d, newest %d", seed, stamp, got, want, newest)
			}
		}
	}
}

// What is forgotten, by number or by age, is neither clean nor behind any more.
func TestForgottenVotesAreNoVotes(t *testing.T) {
	v := newVoter(t)
	for stamp := range uint64(votesMax + 3) {
		v.apply(mark{Stamp: 10 + stamp}, false)
	}
	votes := map[uint64]quorum.Vote{10: quorum.Stored, 11: quorum.Stored, 5: quorum.Stored, 12: quorum.Clean}
	for stamp, want := range votes {
		if got := v.apply(mark{Stamp: stamp}, false).vote; got != want {
			t.Errorf("stamp %d: vote %d, want %d", stamp, got, want)
		}
	}
	v = newVoter(t)
	old := hlc.Stamp(1 << 40)
	v.apply(mark{Stamp: uint64(old)}, false)
	v.apply(mark{Stamp: uint64(old.Add(voteAge) + 1)}, false)
	if got := v.apply(mark{Stamp: uint64(old)}, false).vote; got != quorum.Stored {
		t.Errorf("an old vote: %d, want Stored", got)
	}
}

// Replicas that got the same rows in other orders, some twice, hold the same value.
func TestApplyIsAJoin(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7))
		var rows []mark
		for range 8 {
			rows = append(rows, mark{Stamp: r.Uint64N(6), Dead: r.IntN(2) == 0})
		}
		var have []mark
		for range 2 {
			v := newVoter(t)
			for _, i := range append(r.Perm(8), r.Perm(8)...) {
				v.apply(rows[i], false)
			}
			m, ok, err := v.tab.Get(newReader(v.w, markPK), []byte("k"))
			if !ok || err != nil {
				t.Fatal(err)
			}
			have = append(have, m)
		}
		if have[0].Stamp != have[1].Stamp || have[0].Dead != have[1].Dead {
			t.Fatalf("seed %d: %+v and %+v", seed, have[0], have[1])
		}
	}
}

func TestUndoTakesBackEverything(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 8))
		w := newWriter()
		dump := func() (all []string) {
			for _, k := range []string{"a", "b", "c"} {
				all = append(all, fmt.Sprintf("%v", w.Get([]byte(k))))
			}
			return all
		}
		change := func(w kv.Writer) {
			for range r.IntN(6) {
				if k := []byte(choose(r, "a", "b", "c")); r.IntN(3) == 0 {
					w.Delete(k)
				} else {
					w.Put(k, []byte(choose(r, "", "x", "y")))
				}
			}
		}
		change(w)
		before := dump()
		u := &undoWriter{Writer: w}
		change(u)
		u.rollback()
		if after := dump(); !slices.Equal(before, after) {
			t.Fatalf("seed %d: %q, then %q", seed, before, after)
		}
	}
}

// An item that is refused changes nothing, and the others of its batch go on.
func TestRefusedItems(t *testing.T) {
	c := newTestCluster(t, 1, false)
	n := c.nodes[0]
	item := func(sort string) Item {
		with, err := n.lists.Row([]byte("with "+sort), mark{Stamp: 1})
		if err != nil {
			t.Fatal(err)
		}
		return Item{With: []Row{with}, Voted: func(s hlc.Stamp) ([]Row, error) {
			row, err := n.marks.Row([]byte(sort), mark{Stamp: uint64(s)})
			return []Row{row}, err
		}}
	}
	// The refused row comes behind one that was stored already.
	late := item("x")
	row, err := n.marks.Row([]byte("refused"), mark{Stamp: 1})
	if err != nil {
		t.Fatal(err)
	}
	late.With = append(late.With, row)
	c.do(n, func(ctx context.Context) {
		items := []Item{item("a"), late, item("b")}
		res := n.tables.Write(ctx, Write{Subject: "three", PK: markPK, Items: items})
		if res[0].Err != nil || res[2].Err != nil || !errors.Is(res[1].Err, &Refusal{Code: "no"}) {
			t.Errorf("%v", res)
		}
		_, err := n.tables.WriteOne(ctx, Write{PK: markPK, Items: []Item{late}})
		if !errors.Is(err, &Refusal{Code: "no"}) {
			t.Error(err)
		}
	})
	for _, n := range c.nodes {
		if got := c.local(n, n.marks, markPK).keys(); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("%s has %q", n.name, got)
		}
		if got := c.local(n, n.lists, markPK).keys(); !slices.Equal(got, []string{"with a", "with b"}) {
			t.Errorf("%s has %q", n.name, got)
		}
	}
}

// A write whose stamp is behind at a quorum is stamped anew, above what is there, and read back.
func TestWriteIsStampedAnew(t *testing.T) {
	c := newTestCluster(t, 2, false)
	c.warm()
	ahead := uint64(0)
	c.do(c.nodes[0], func(context.Context) {
		ahead = uint64(hlc.At(c.nodes[0].env.Wall()).Add(hlc.SkewMax / 2))
	})
	for _, n := range c.nodes[:2] {
		c.have(n, n.marks, markPK, marks{"k": {Stamp: ahead}})
	}
	n := c.nodes[2]
	var stamp hlc.Stamp
	trips := c.do(n, func(ctx context.Context) {
		voted := func(s hlc.Stamp) ([]Row, error) {
			row, err := n.marks.Row([]byte("k"), mark{Stamp: uint64(s), Dead: true})
			return []Row{row}, err
		}
		var err error
		stamp, err = n.tables.WriteOne(ctx, Write{PK: markPK, Items: []Item{{Voted: voted}}})
		if err != nil || uint64(stamp) <= ahead {
			t.Errorf("stamp %v, %v; the head was %v", stamp, err, hlc.Stamp(ahead))
		}
	})
	if trips != 2 {
		t.Errorf("%d round trips", trips)
	}
}

// A Fetch joins what a read quorum has, and those that lack it get it.
func TestFetchRepairs(t *testing.T) {
	c := newTestCluster(t, 3, false)
	c.warm()
	c.have(c.nodes[1], c.nodes[1].marks, markPK, marks{"k": {Stamp: 5}})
	c.have(c.nodes[2], c.nodes[2].marks, markPK, marks{"k": {Stamp: 7, Dead: true}})
	n := c.nodes[0]
	trips := c.do(n, func(ctx context.Context) {
		f, err := n.tables.Fetch(ctx, "row", markPK, []byte("k"), "k")
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		for f.More(ctx) {
		}
		if m, ok, err := Joined(f, n.marks, []byte("k")); !ok || err != nil || m.Stamp != 7 {
			t.Errorf("%+v, %v, %v", m, ok, err)
		}
	})
	if trips != 1 {
		t.Errorf("%d round trips", trips)
	}
	if err := c.s.Run(stragglerTime); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.nodes {
		if m := c.local(n, n.marks, markPK)["k"]; m.Stamp != 7 || !m.Dead {
			t.Errorf("%s has %+v", n.name, m)
		}
	}
}
