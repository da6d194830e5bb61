package table

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"granary/core/kv"
	"granary/core/kv/memkv"
	"granary/sim/sched"
)

// TestWalk: pages of any length, between changes of the table's neighbours, show every row of it once, in
// order.
func TestWalk(t *testing.T) {
	s := sched.New(sched.Options{Seed: 1})
	t.Cleanup(s.Stop)
	env, r, d := s.NewEnv([32]byte{1}, "a"), rand.New(rand.NewPCG(1, 23)), newDigested()
	store := memkv.Open(env, memkv.NewImage(), memkv.Options{})
	tables := &Tables{env: env, store: store, registry: d.registry}
	var want []string
	done := false
	env.Go("walk", func() {
		for i := range 300 {
			pk, sort := []byte{byte(r.IntN(60))}, fmt.Appendf(nil, "%d", i)
			err := store.Update(context.Background(), func(w kv.Writer) error {
				for _, tab := range []*Table[mark]{d.first, d.last} {
					d.merge(t, w, tab, pk, sort, mark{Stamp: uint64(i + 1)}, i%2 == 0)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			want = append(want, string(appendLocal(nil, newReader(nil, pk).prefix, 0, Address{pk, sort})))
		}
		slices.Sort(want)
		for _, tab := range []*Table[mark]{d.first, d.last} {
			for _, max := range []int{1, 7, 1000} {
				var got []string
				for from, more := []byte(nil), true; more; {
					n := 0
					next, err := Walk(tables, tab, from, max, func(at Address, m mark) {
						n++
						if string(at.Sort) != fmt.Sprint(m.Stamp-1) {
							t.Errorf("row %q has stamp %d", at.Sort, m.Stamp)
						}
						got = append(got, string(appendLocal(nil, newReader(nil, at.PK).prefix, 0, at)))
					})
					if err != nil || n > max {
						t.Fatalf("page of %d rows, at most %d: %v", n, max, err)
					}
					from, more = next, next != nil
				}
				if !slices.Equal(got, want) {
					t.Errorf("pages of %d: %d rows, want %d", max, len(got), len(want))
				}
			}
		}
		for pk := range byte(60) {
			n := 0
			for from, more := []byte(nil), true; more; more = from != nil {
				var err error
				from, err = WalkUnder(tables, d.last, []byte{pk}, from, 3, anybody, func(at Address, _ mark) {
					if n++; at.PK[0] != pk {
						t.Errorf("row of partition key %d under %d", at.PK[0], pk)
					}
				})
				if err != nil {
					t.Error(err)
				}
			}
			under := 0
			for _, k := range want {
				if k[localHeadLen] == pk {
					under++
				}
			}
			if n != under {
				t.Errorf("%d rows under %d, want %d", n, pk, under)
			}
		}
		done = true
	})
	if err := s.RunUntil(1<<62, func() bool { return done }); err != nil {
		t.Fatal(err)
	}
}

// TestSift: what another row says is dead is not merged, in part or at all, by whatever path, and may be
// removed.
func TestSift(t *testing.T) {
	reg, w := &Registry{}, newWriter()
	def := markDef()
	def.ID = 203
	graves := Register(reg, def)
	def.ID = 200
	def.Sift = func(tx *Tx, at Address, in *mark) (Sifted, error) {
		_, dead, err := graves.GetRow(&tx.Reader, at.Sort)
		switch {
		case !dead || err != nil:
			return SiftedAll, err
		case len(in.Pad) == 0:
			return SiftedNone, nil
		}
		in.Stamp = 0
		return SiftedSome, nil
	}
	rows := Register(reg, def)
	tx := &Tx{Reader: *newReader(w, markPK), w: w, registry: reg}
	merge := func(tab *Table[mark], sort string, m mark) {
		if err := tab.Merge(tx, []byte(sort), m); err != nil {
			t.Fatal(err)
		}
	}
	merge(rows, "live", mark{Stamp: 5})
	merge(rows, "dies", mark{Stamp: 5})
	for _, k := range []string{"dies", "dead", "some"} {
		merge(graves, k, mark{Stamp: 1})
	}
	rows.Remove(tx, []byte("dies"))
	rows.Remove(tx, []byte("never there"))
	merge(rows, "dies", mark{Stamp: 5})
	merge(rows, "dead", mark{Stamp: 5})
	merge(rows, "some", mark{Stamp: 5, Pad: []byte("x")})
	for k, want := range map[string]*mark{"live": {Stamp: 5}, "dies": nil, "dead": nil,
		"some": {Pad: []byte("x")}} {
		got, ok, err := rows.Get(&tx.Reader, []byte(k))
		same := ok == (want != nil) && (!ok || got.Stamp == want.Stamp && bytes.Equal(got.Pad, want.Pad))
		if err != nil || !same {
			t.Errorf("%s: %+v, there %v, %v", k, got, ok, err)
		}
	}
	if err := checkDigests(w, reg); err != nil {
		t.Error(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a row that nothing keeps out was removed")
		}
	}()
	graves.Remove(tx, []byte("dead"))
}
