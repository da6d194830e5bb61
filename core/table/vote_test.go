package table

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"granary/core/hlc"
	"granary/core/quorum"
)

// put is a write of one voted mark.
func put(sort string) Write {
	return Write{Subject: fmt.Sprintf("mark %q", sort), PK: markPK}
}

// voted adds the voted row of t to w, with what each stamp is given to.
func (n *testNode) voted(w Write, stamps *[]hlc.Stamp) Write {
	sort := strings.TrimSuffix(strings.TrimPrefix(w.Subject, "mark \""), "\"")
	w.Items = []Item{{Voted: func(s hlc.Stamp) ([]Row, error) {
		*stamps = append(*stamps, s)
		row, err := n.marks.Row([]byte(sort), mark{Stamp: uint64(s)})
		return []Row{row}, err
	}}}
	return w
}

func far(w *testCluster, d time.Duration) mark {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(w.s.Now() + d)
	return mark{Stamp: uint64(hlc.At(at))}
}

// TestRestamp: a write is stamped anew, once, when two of three replicas know something newer; not when one
// does.
func TestRestamp(t *testing.T) {
	for seed := range uint64(3) {
		c := newTestCluster(t, seed, false)
		c.warm()
		n := c.nodes[0]
		for behind, rounds := range []int{1, 1, 2, 2} {
			sort := fmt.Sprintf("behind%d", behind)
			newer := far(c, 24*time.Hour)
			for _, other := range c.nodes[3-behind:] {
				c.have(other, other.marks, markPK, marks{sort: newer})
			}
			var stamps []hlc.Stamp
			trips := c.do(n, func(ctx context.Context) {
				stamp, err := n.tables.WriteOne(ctx, n.voted(put(sort), &stamps))
				if err != nil || stamp != stamps[len(stamps)-1] {
					t.Errorf("%s: %v, %v", sort, stamp, err)
				}
				if rounds == 2 && uint64(stamp) <= newer.Stamp {
					t.Errorf("%s: stamp %v is below what it replaces", sort, stamp)
				}
			})
			if trips != rounds || len(stamps) != rounds {
				t.Errorf("seed %d: %s: %d round trips, stamps %v, want %d", seed, sort, trips, stamps, rounds)
			}
		}
		// The far stamps of those keys do not make this one unwritable.
		var stamps []hlc.Stamp
		c.do(n, func(ctx context.Context) {
			if _, err := n.tables.WriteOne(ctx, n.voted(put("other"), &stamps)); err != nil ||
				len(stamps) != 1 {
				t.Errorf("another key afterwards: %v, stamps %v", err, stamps)
			}
		})
	}
}

// TestLateBehindIsIgnored: an answer that comes after the acknowledgement, and says behind, makes no new
// stamp.
func TestLateBehindIsIgnored(t *testing.T) {
	c := newTestCluster(t, 4, false)
	c.warm()
	n, late := c.nodes[0], c.nodes[2]
	c.have(late, late.marks, markPK, marks{"k": far(c, time.Hour)})
	var stamps []hlc.Stamp
	c.do(n, func(ctx context.Context) {
		if _, err := n.tables.WriteOne(ctx, n.voted(put("k"), &stamps)); err != nil {
			t.Error(err)
		}
	})
	if err := c.s.Run(WriteTimeout + time.Second); err != nil {
		t.Fatal(err)
	}
	if len(stamps) != 1 {
		t.Errorf("stamps %v", stamps)
	}
	for _, other := range c.nodes[:2] {
		if got := c.local(other, other.marks, markPK)["k"]; got.Stamp != uint64(stamps[0]) {
			t.Errorf("%s has %v, want %v", other.name, got, stamps[0])
		}
	}
}

// TestWriteErrors: an error names the replicas that are missing, in time, and says whether anything may have
// happened.
func TestWriteErrors(t *testing.T) {
	c := newTestCluster(t, 5, false)
	c.warm()
	n := c.nodes[0]
	write := func(limit time.Duration, sort string) (err error) {
		var stamps []hlc.Stamp
		c.do(n, func(ctx context.Context) {
			ctx, cancel := n.env.WithTimeout(ctx, limit)
			defer cancel()
			_, err = n.tables.WriteOne(ctx, n.voted(put(sort), &stamps))
		})
		return err
	}
	if err := write(0, "k"); !errors.Is(err, quorum.ErrUnavailable) || errors.Is(err, quorum.ErrUnknown) {
		t.Errorf("without time: %v", err)
	}
	if err := write(time.Second, "refused"); !errors.Is(err, &Refusal{Code: "no"}) {
		t.Errorf("refused: %v", err)
	}
	for _, zone := range []string{"b", "c"} {
		if err := c.model.Isolate(zone); err != nil {
			t.Fatal(err)
		}
	}
	err := write(time.Second, "k")
	if !errors.Is(err, quorum.ErrUnknown) || strings.Count(err.Error(), "no answer") != 2 ||
		!strings.Contains(err.Error(), "2 of 3 replicas needed, 1 answered") {
		t.Errorf("two silent: %v", err)
	}
	c.do(n, func(ctx context.Context) {
		ctx, cancel := n.env.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err = n.tables.Fetch(ctx, "row", markPK, []byte("k"), "mark k"); err == nil {
			t.Error("read by one of three")
		}
	})
	if !errors.Is(err, quorum.ErrUnavailable) || errors.Is(err, quorum.ErrUnknown) {
		t.Errorf("read: %v", err)
	}
}

// TestLateAnswers: an error of a write that enough answered, too late, says so.
func TestLateAnswers(t *testing.T) {
	c := newTestCluster(t, 5, false)
	n := c.nodes[0]
	c.do(n, func(context.Context) {
		tally := quorum.NewTally(c.view, true)
		for _, other := range c.nodes {
			tally.Add(other.env.Self(), quorum.Answer{Vote: quorum.Clean})
		}
		err := n.tables.writeError(attempt{Write: put("k")}, tally)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, quorum.ErrUnknown) {
			t.Errorf("got %v", err)
		}
	})
}

// TestPanicInAWrite: a write whose rows cannot be made ends, with an unknown outcome, and does not hang.
func TestPanicInAWrite(t *testing.T) {
	c := newTestCluster(t, 6, false)
	n := c.nodes[0]
	c.do(n, func(ctx context.Context) {
		w := put("k")
		w.Items = []Item{{Voted: func(hlc.Stamp) ([]Row, error) { panic("oops") }}}
		if _, err := n.tables.WriteOne(ctx, w); !errors.Is(err, quorum.ErrUnknown) {
			t.Errorf("got %v", err)
		}
	})
}
