package table

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
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
