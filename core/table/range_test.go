package table

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"granary/core/cluster"
	"granary/core/layout"
)

// TestRangeRowsIsTheJoin: a walk in either direction, in parts of any size, shows every row that two of three
// replicas have, in order, and none that is not there; and who lacked something is sent it.
func TestRangeRowsIsTheJoin(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := newTestCluster(t, seed, false)
		c.warm()
		at, want := []marks{{}, {}, {}}, marks{}
		for range r.IntN(60) {
			k, v := randomKey(r), mark{Stamp: r.Uint64N(3)}
			want[k] = v.Join(want[k])
			lacks := r.IntN(4) // 3: none
			for i := range at {
				if i != lacks {
					at[i][k] = v.Join(at[i][k])
				}
			}
		}
		for i, n := range c.nodes {
			c.have(n, n.lists, markPK, at[i])
		}
		q := RangeRequest{PK: markPK, Reverse: r.IntN(2) == 0, Max: choose(r, 1, 2, 5, 1000)}
		if r.IntN(2) == 0 {
			q.Start, q.End = []byte("a"), []byte("b/")
		}
		expected := want.keys()
		if q.Start != nil {
			expected = slices.DeleteFunc(expected, func(k string) bool { return k < "a" || k >= "b/" })
		}
		if q.Reverse {
			slices.Reverse(expected)
		}
		n := c.nodes[r.IntN(3)]
		var got []string
		trips := c.do(n, func(ctx context.Context) {
			for part := (RangeResult[mark]{Rest: q}); !part.Whole; {
				var err error
				if part, err = RangeRows(ctx, n.tables, n.lists, part.Rest); err != nil {
					t.Error(err)
					return
				}
				for i, k := range part.Sorts {
					got = append(got, string(k))
					if part.Rows[i].Stamp != want[string(k)].Stamp {
						t.Errorf("seed %d: %q is %v, want %v", seed, k, part.Rows[i], want[string(k)])
					}
				}
			}
		})
		if !slices.Equal(got, expected) || q.Max == 1000 && trips != 1 {
			t.Errorf("seed %d: %+v in %d round trips:\n%q, want\n%q", seed, q, trips, got, expected)
		}
		if err := c.s.Run(20 * time.Second); err != nil {
			t.Fatal(err)
		}
		for _, k := range expected {
			lack := 0
			for _, n := range c.nodes {
				if c.local(n, n.lists, markPK)[k].Stamp != want[k].Stamp {
					lack++
				}
			}
			if lack > 1 {
				t.Errorf("seed %d: %d replicas still lack %q, which was read", seed, lack, k)
			}
		}
	}
}

// TestRanges: several ranges at a time, of several partition keys, show what each shows by itself, also where
// one answer cannot hold them all; what one answer holds takes one round.
func TestRanges(t *testing.T) {
	for _, long := range []bool{false, true} { // keys that fill answers
		c := newTestCluster(t, 7, false)
		c.warm()
		r := rand.New(rand.NewPCG(7, 1))
		var qs []RangeRequest
		var want [][]string
		for p := range 4 {
			pk := append([]byte(nil), markPK...)
			pk[len(pk)-1] += byte(p)
			all := marks{}
			for i := range 400 {
				k := fmt.Sprintf("%04d", i)
				if long {
					k += strings.Repeat("x", 4000)
				}
				all[k] = mark{Stamp: 1}
			}
			for _, n := range []int{p % 3, (p + 1) % 3} {
				c.have(c.nodes[n], c.nodes[n].lists, pk, all)
			}
			for range 3 {
				from, to := fmt.Sprintf("%04d", r.IntN(400)), fmt.Sprintf("%04d", r.IntN(400))
				q := RangeRequest{PK: pk, Start: []byte(min(from, to)), End: []byte(max(from, to)),
					Reverse: r.IntN(2) == 0, Max: choose(r, 0, 1000)}
				keys := slices.DeleteFunc(all.keys(),
					func(k string) bool { return k < string(q.Start) || k >= string(q.End) })
				if q.Reverse {
					slices.Reverse(keys)
				}
				qs, want = append(qs, q), append(want, keys)
			}
		}
		got, rounds := make([][]string, len(qs)), 0
		trips := c.do(c.nodes[0], func(ctx context.Context) {
			index, open := make([]int, len(qs)), qs
			for i := range index {
				index[i] = i
			}
			for len(open) > 0 {
				rounds++
				parts, err := Ranges(ctx, c.nodes[0].tables, c.nodes[0].lists, open)
				if err != nil {
					t.Error(err)
					return
				}
				var rest []RangeRequest
				var at []int
				for i, part := range parts {
					for _, k := range part.Sorts {
						got[index[i]] = append(got[index[i]], string(k))
					}
					if !part.Whole {
						rest, at = append(rest, part.Rest), append(at, index[i])
					}
				}
				open, index = rest, at
			}
		})
		for i := range qs {
			if !slices.Equal(got[i], want[i]) {
				t.Errorf("long keys %v: range %d shows %d keys, want %d", long, i, len(got[i]), len(want[i]))
			}
		}
		if long != (rounds > 1) || !long && trips != 1 {
			t.Errorf("long keys %v: %d rounds, %d round trips", long, rounds, trips)
		}
	}
}

// TestRangesLearn: ranges of several replica sets are asked anew with a newer layout, whichever set knows it;
// not for ever; and at once when too few can answer.
func TestRangesLearn(t *testing.T) {
	c := newTestCluster(t, 1, false)
	c.warm()
	n := c.nodes[0]
	qs := []RangeRequest{{PK: []byte("p")}, {PK: []byte("q")}}
	before, after := c.view, c.view
	before.Live = []layout.Set{layout.Majority(1, c.view.Live[0].Nodes)}
	after.Layout, after.Live = 2, []layout.Set{layout.Majority(2, c.view.Live[0].Nodes)}
	for _, other := range c.nodes {
		c.guards(other, cluster.Guard{Newest: 2, Closed: 2, Synced: 2})
	}
	learnt, enough := 0, 1
	c.learn = func() { learnt++ }
	c.views = func(p layout.Prefix) (cluster.View, error) {
		if p == layout.PrefixOf([]byte("p")) || learnt >= enough {
			return after, nil
		}
		return before, nil
	}
	ask := func() (err error) {
		c.do(n, func(ctx context.Context) { _, err = Ranges(ctx, n.tables, n.lists, qs) })
		return err
	}
	if err := ask(); err != nil || learnt != 1 {
		t.Errorf("one newer layout: learnt %d times, %v", learnt, err)
	}
	learnt, enough = 0, 1000
	if err := ask(); !errors.Is(err, cluster.ErrOldLayout) || learnt != rangesLearnMax {
		t.Errorf("newer layouts for ever: learnt %d times, %v", learnt, err)
	}
	learnt = 0
	if err := c.model.Isolate("c"); err != nil {
		t.Fatal(err)
	}
	start := c.s.Now()
	if err := ask(); !errors.Is(err, cluster.ErrOldLayout) || c.s.Now()-start > ReadTimeout/2 {
		t.Errorf("two of three refuse: %v after %v", err, c.s.Now()-start)
	}
	none := errors.New("no layout")
	c.views = func(layout.Prefix) (cluster.View, error) { return cluster.View{}, none }
	c.do(n, func(ctx context.Context) {
		if _, err := RangeRows(ctx, n.tables, n.lists, qs[0]); !errors.Is(err, none) {
			t.Errorf("without a layout: %v", err)
		}
	})
}

// TestChangeAfter: what waits for a transaction runs when it is durable, and not when it fails.
func TestChangeAfter(t *testing.T) {
	c := newTestCluster(t, 1, false)
	n := c.nodes[0]
	c.do(n, func(ctx context.Context) {
		ran := 0
		change := func(fail error) error {
			return n.tables.Change(ctx, func(rows func([]byte) *Tx) error {
				tx := rows(markPK)
				tx.After(func() { ran++ })
				tx.Records().Put([]byte("\x01own"), []byte("x"))
				if err := n.lists.Merge(tx, []byte("k"), mark{Stamp: 1}); err != nil {
					return err
				}
				return fail
			})
		}
		if err := change(fmt.Errorf("refused")); err == nil || ran != 0 {
			t.Errorf("%v, ran %d times", err, ran)
		}
		if err := change(nil); err != nil || ran != 1 {
			t.Errorf("%v, ran %d times", err, ran)
		}
	})
	if got := c.local(n, n.lists, markPK); got["k"].Stamp != 1 {
		t.Errorf("stored %v", got)
	}
}
