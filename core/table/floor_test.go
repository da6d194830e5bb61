package table

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"granary/core/cluster"
	"granary/core/hlc"
	"granary/core/job"
	"granary/core/kv"
	"granary/core/layout"
	"granary/core/quorum"
)

// testKeep is how old deletion markers must be in these stories.
const testKeep = 10 * time.Minute

// newFloorCluster has three nodes that collect what is older than testKeep when they are told to.
func newFloorCluster(t *testing.T, mutants ...string) *testCluster {
	c := newTestCluster(t, 2, false, mutants...)
	for _, n := range c.nodes {
		n.tables.tombstones = Tombstones{Keep: testKeep, Every: time.Hour}
		n.tables.collector = newCollector(n.tables, job.NewBook(n.env))
	}
	c.warm()
	return c
}

// team are all nodes, with the prefix of the cells.
func (c *testCluster) team() []team {
	return []team{{set: c.view.Live[0], prefixes: []layout.Prefix{layout.PrefixOf(markPK)}}}
}

// collect has a node make an epoch up to a stamp, and drop what may go then.
func (c *testCluster) collect(n *testNode, at hlc.Stamp) (err error) {
	c.do(n, func(ctx context.Context) { err = n.tables.collector.epoch(ctx, c.team(), at) })
	for _, n := range c.nodes {
		c.do(n, func(ctx context.Context) {
			if err := n.tables.collector.dropBelow(ctx); err != nil {
				c.t.Error(err)
			}
		})
	}
	return err
}

// must is collect without an error.
func (c *testCluster) mustCollect(n *testNode, at hlc.Stamp) {
	c.t.Helper()
	if err := c.collect(n, at); err != nil {
		c.t.Fatal(err)
	}
}

// write is a write of the cell that succeeds.
func (c *testCluster) write(n *testNode, id byte) (stamp hlc.Stamp) {
	c.t.Helper()
	c.do(n, func(ctx context.Context) {
		var err error
		if stamp, err = n.set(ctx, id); err != nil {
			c.t.Error(err)
		}
	})
	c.run(time.Second)
	return stamp
}

func (c *testCluster) run(d time.Duration) {
	c.t.Helper()
	if err := c.s.Run(d); err != nil {
		c.t.Fatal(err)
	}
}

// holds is the write that a node has in the cell, 0 if there is no row.
func (c *testCluster) holds(n *testNode) (id byte) {
	c.do(n, func(context.Context) {
		err := n.tables.Local(markPK, func(r *Reader) error {
			v, _, err := n.cells.Get(r, []byte("k"))
			id = v.Write
			return err
		})
		if err != nil {
			c.t.Error(err)
		}
	})
	return id
}

// all is holds of all nodes.
func (c *testCluster) all() (ids []byte) {
	for _, n := range c.nodes {
		ids = append(ids, c.holds(n))
	}
	return ids
}

// floor is what a node has said under the prefix of the cells.
func (c *testCluster) floor(n *testNode) (f floor) {
	c.do(n, func(context.Context) {
		err := n.store.View(func(r kv.Reader) (err error) {
			f, err = readFloor(r, layout.PrefixOf(markPK))
			return err
		})
		if err != nil {
			c.t.Error(err)
		}
	})
	return f
}

// comes brings a row to a node as a message does that was long on its way, and returns the vote.
func (c *testCluster) comes(n *testNode, v cell, how writeRequest) (vote quorum.Vote) {
	c.do(n, func(ctx context.Context) {
		row, err := n.cells.Row([]byte("k"), v)
		if err != nil {
			c.t.Error(err)
			return
		}
		how.PK, how.Items = markPK, [][]Row{{row}}
		if how.Plan == (cluster.Plan{}) {
			how.Plan = c.view.Plan()
		}
		resp, err := n.tables.handleWrite(ctx, n.env.Self(), &how)
		if err != nil {
			c.t.Error(err)
			return
		}
		vote = resp.Answers[0].Vote.vote()
	})
	return vote
}

// compare compares two nodes, as anti-entropy does at from.
func (c *testCluster) compare(from, with *testNode) {
	c.do(from, func(ctx context.Context) {
		_, err := from.tables.exchangeSpans(ctx, with.env.Self(), []Span{SpanOf(0, 0xffff)},
			func(context.Context, int) error { return nil })
		if err != nil {
			c.t.Error(err)
		}
	})
}

// lose takes from a node what it knows, but for one cell, which is in its store as it was long ago.
func (c *testCluster) lose(n *testNode, old cell) {
	c.do(n, func(ctx context.Context) {
		err := n.store.Update(ctx, func(w kv.Writer) error {
			deleteRange(w, []byte{0}, []byte{0xff})
			cluster.Guard{Newest: 1, Closed: 1, Amnesiac: true}.Put(w)
			return n.cells.Merge(&Tx{Reader: *newReader(w, markPK), w: w}, []byte("k"), old)
		})
		if err != nil {
			c.t.Error(err)
		}
	})
}

// resync has a node take over from both others, and be in sync.
func (c *testCluster) resync(n *testNode) {
	for _, other := range c.nodes {
		if other == n {
			continue
		}
		c.do(n, func(ctx context.Context) {
			_, err := n.tables.TakeOver(ctx, other.env.Self(), []Span{SpanOf(0, 0xffff)},
				cluster.Source{Fenced: 1, Synced: 1}, func(context.Context, int) error { return nil })
			if err != nil {
				c.t.Error(err)
			}
		})
	}
	c.guards(n, inSync)
}

var inSync = cluster.Guard{Newest: 1, Closed: 1, Since: 1, Synced: 1}

// TestDeletionMarkersGo: a node that looks finds a marker that is old enough, and all replicas drop it; not
// one that is younger, nor what is there. A read finds nothing, in one round, while only some have dropped
// it. The next write is one round, and seen.
func TestDeletionMarkersGo(t *testing.T) {
	c := newFloorCluster(t)
	a := c.nodes[0]
	pass := func(n *testNode) {
		c.do(n, func(ctx context.Context) {
			if err := n.tables.collector.pass(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	c.write(a, 1)
	deleted := c.write(a, wiped)
	for _, n := range c.nodes {
		pass(n)
	}
	if got := c.all(); !slices.Equal(got, []byte{wiped, wiped, wiped}) {
		t.Fatalf("a young marker: %v", got)
	}
	c.run(2 * testKeep)
	for _, n := range c.nodes {
		pass(n)
	}
	if f := c.floor(a); f.Floor < deleted || f.Promise < f.Floor {
		t.Fatalf("floor %+v, deleted at %v", f, deleted)
	}
	c.put(a, cell{deleted, wiped}) // it has not come to it yet
	trips := c.do(c.nodes[1], func(ctx context.Context) {
		if id, err := c.nodes[1].get(WithConsistency(ctx, Monotonic)); err != nil || id != wiped && id != 0 {
			t.Errorf("read %d, %v", id, err)
		}
	})
	c.run(time.Minute)
	if trips != 1 || c.holds(c.nodes[1]) != 0 || c.holds(c.nodes[2]) != 0 {
		t.Errorf("read in %d rounds; now they hold %v", trips, c.all())
	}
	c.compare(a, c.nodes[1])
	if got := c.all(); !slices.Equal(got, []byte{0, 0, 0}) {
		t.Errorf("a replica that has dropped it was offered it: %v", got)
	}
	trips = c.do(c.nodes[2], func(ctx context.Context) {
		if _, err := c.nodes[2].set(ctx, 2); err != nil {
			t.Error(err)
		}
	})
	c.run(time.Minute)
	if got := c.all(); trips != 1 || !slices.Equal(got, []byte{2, 2, 2}) {
		t.Errorf("written in %d rounds: %v", trips, got)
	}
	if c.s.Sometimes()["deletion markers went"] == 0 {
		t.Error("nothing was dropped")
	}
}

// TestCollectedStaysAway: PUT @800, DELETE @900, the marker is collected; then come, late, the PUT by its
// coordinator, by a reader, a repair, a push of a replica that missed it all, and the marker itself, after
// the next PUT.
func TestCollectedStaysAway(t *testing.T) {
	for _, mutant := range []string{"", "floor: rows below it come back"} {
		t.Run(mutant, func(t *testing.T) {
			c := newFloorCluster(t, mutant)
			a, b := c.nodes[0], c.nodes[1]
			put := cell{c.write(a, 1), 1}
			deleted := cell{c.write(a, wiped), wiped}
			c.run(time.Minute)
			c.mustCollect(a, deleted.Stamp+1)
			if got := c.all(); !slices.Equal(got, []byte{0, 0, 0}) {
				t.Fatalf("after the collection: %v", got)
			}
			if v := c.comes(b, put, writeRequest{}); v != quorum.Late || c.holds(b) != 0 {
				t.Errorf("the PUT's coordinator: %v, now %v", v, c.all())
			}
			back := false
			for _, how := range []writeRequest{{Back: true}, {Merge: true}} {
				v := c.comes(b, put, how)
				if back = back || c.holds(b) != 0; mutant == "" && v != quorum.Late {
					t.Errorf("%+v: %v", how, v)
				}
			}
			c.lose(c.nodes[2], put)
			c.compare(c.nodes[2], b) // the push of who missed it, or of an owner of before, or a hint
			if back = back || c.holds(b) != 0; back != (mutant != "") {
				t.Errorf("came back: %v", back)
			}
			if v := c.comes(a, deleted, writeRequest{Back: true}); mutant == "" && v != quorum.Clean {
				t.Errorf("a reader brings the marker: %v", v)
			}
			if mutant != "" {
				return
			}
			c.resync(c.nodes[2])
			if got := c.all(); !slices.Equal(got, []byte{0, 0, 0}) {
				t.Errorf("a store that was set back brought it: %v", got)
			}
			c.write(a, 2)
			if v := c.comes(b, deleted, writeRequest{}); v != quorum.Behind {
				t.Errorf("the marker's coordinator: %v", v)
			}
			if got := c.all(); !slices.Equal(got, []byte{2, 2, 2}) {
				t.Errorf("the next PUT: %v", got)
			}
		})
	}
}

// TestAnswersOfTwoTimes: a read meets one replica before it learnt of a deletion, and another after that was
// collected. What is missing there, below the floor, is gone.
func TestAnswersOfTwoTimes(t *testing.T) {
	for _, mutant := range []string{"", "floor: a missing row says nothing"} {
		c := newFloorCluster(t, mutant)
		a := c.nodes[0]
		put := cell{c.write(a, 1), 1}
		c.write(a, wiped)
		c.run(time.Minute)
		c.mustCollect(a, c.stamp()-1)
		c.do(a, func(ctx context.Context) { // as its answer was, which is late
			err := a.store.Update(ctx, func(w kv.Writer) error { forgetFloors(w, 0, 0xffff); return nil })
			if err != nil {
				t.Error(err)
			}
		})
		c.put(a, put)
		for _, level := range []Consistency{ReadAfterWrite, Monotonic} {
			c.do(a, func(ctx context.Context) {
				ctx, cancel := a.env.WithTimeout(WithConsistency(ctx, level), 2*time.Second)
				defer cancel()
				if id, err := a.get(ctx); mutant == "" && (err != nil || id != 0) {
					t.Errorf("%v: read %d, %v", level, id, err)
				} else if mutant != "" && err == nil && id == 0 {
					t.Errorf("mutant %q is not noticed at level %v", mutant, level)
				}
			})
		}
		if mutant != "" {
			continue
		}
		c.do(a, func(ctx context.Context) {
			page, err := ListRows(ctx, a.tables, a.cells, ListRequest{PK: markPK})
			if err != nil || len(page.Items) > 0 || len(page.Diverged) > 0 {
				t.Errorf("listed %+v, %v", page, err)
			}
			key := appendLocal(nil, layout.PrefixOf(markPK), a.cells.ID(), Address{markPK, []byte("k")})
			value, err := c.nodes[2].tables.readOthers(ctx, a.cells, c.view, key)
			if err != nil || value != nil {
				t.Errorf("a row that cannot be read is repaired with %x, %v", value, err)
			}
		})
	}
}

// TestSlowClock: who stamps a write below a promise stamps it anew, and succeeds, in one more round; at every
// level, for nobody has stored it.
func TestSlowClock(t *testing.T) {
	for _, level := range []Consistency{ReadAfterWrite, Monotonic} {
		c := newFloorCluster(t)
		a := c.nodes[0]
		early := c.stamp()
		c.write(a, 1)
		c.write(a, wiped)
		c.run(time.Minute)
		c.mustCollect(a, c.stamp())
		first, promise := true, c.floor(a).Promise
		var stamps []hlc.Stamp
		trips := c.do(a, func(ctx context.Context) {
			item := Item{Voted: func(s hlc.Stamp) ([]Row, error) {
				if first {
					s = early
				}
				first = false
				stamps = append(stamps, s)
				row, err := a.cells.Row([]byte("k"), cell{s, 2})
				return []Row{row}, err
			}}
			_, err := a.tables.WriteOne(WithConsistency(ctx, level), Write{Subject: "cell", PK: markPK,
				Items: []Item{item}})
			if err != nil {
				t.Error(err)
			}
		})
		c.run(time.Second)
		if trips != 2 || len(stamps) != 2 || stamps[1] <= promise {
			t.Errorf("%v: %d rounds with stamps %v, promised %v", level, trips, stamps, promise)
		}
		if got := c.all(); !slices.Equal(got, []byte{2, 2, 2}) {
			t.Errorf("%v: %v", level, got)
		}
	}
}

// TestLevelled: a write reaches one replica before the promise; its coordinator pauses. After the epoch all
// have it, so that it may be acknowledged yet. Without levelling one has, and the others never will.
func TestLevelled(t *testing.T) {
	for _, mutant := range []string{"", "floor: without levelling"} {
		c := newFloorCluster(t, mutant)
		late := cell{c.stamp(), 1}
		if v := c.comes(c.nodes[2], late, writeRequest{}); v != quorum.Clean {
			t.Fatal(v)
		}
		c.run(time.Minute)
		c.mustCollect(c.nodes[0], late.Stamp+1)
		if all := slices.Equal(c.all(), []byte{1, 1, 1}); all != (mutant == "") {
			t.Errorf("mutant %q: %v", mutant, c.all())
		}
		want := quorum.Clean
		if mutant != "" {
			want = quorum.Late
		}
		if v := c.comes(c.nodes[1], late, writeRequest{}); v != want {
			t.Errorf("mutant %q: then its coordinator comes: %v", mutant, v)
		}
	}
}

// TestPromiseIsKept: the copies of a write come between the comparison of the replicas and the floor. They
// are refused; else a replica has what the others, from then on, do not let in.
func TestPromiseIsKept(t *testing.T) {
	for _, mutant := range []string{"", "floor: a promise is not kept"} {
		c := newFloorCluster(t, mutant)
		a, b := c.nodes[0], c.nodes[1]
		late := cell{c.stamp(), 1}
		c.run(time.Minute)
		team, at := c.team()[0], c.stamp()-1
		c.do(a, func(ctx context.Context) {
			k := a.tables.collector
			err := errors.Join(k.everyone(ctx, methodPromise, team, 7, at), k.level(ctx, team))
			if err != nil {
				t.Error(err)
			}
		})
		vote := c.comes(b, late, writeRequest{})
		if (vote == quorum.Late) != (mutant == "") || (c.holds(b) == 0) != (mutant == "") {
			t.Errorf("mutant %q: %v, %v", mutant, vote, c.all())
		}
		// What a reader found where it was in time is let in: the comparison covers it.
		if v := c.comes(c.nodes[2], late, writeRequest{Back: true}); mutant == "" && v != quorum.Clean {
			t.Errorf("a reader brings it: %v", v)
		}
	}
}

// TestLostInAnEpoch: a replica loses its store between promise and floor. The floor rises where it is still
// sound, and the new store, in sync again, keeps the promise that it never made. One that did not take it
// over would be clean for what the others refuse.
func TestLostInAnEpoch(t *testing.T) {
	for _, mutant := range []string{"", "floor: a lost store forgets"} {
		c := newFloorCluster(t, mutant)
		for _, n := range c.nodes {
			c.guards(n, inSync)
		}
		a, lost := c.nodes[0], c.nodes[2]
		old := cell{c.write(a, 1), 1}
		deleted := c.write(a, wiped)
		late := cell{deleted + 1, 2}
		c.run(time.Minute)
		team, at := c.team()[0], c.stamp()-1
		call := func(method func(context.Context, *collector) error) (err error) {
			c.do(a, func(ctx context.Context) { err = method(ctx, a.tables.collector) })
			return err
		}
		promise := func(ctx context.Context, k *collector) error {
			return errors.Join(k.everyone(ctx, methodPromise, team, 7, at), k.level(ctx, team))
		}
		rise := func(ctx context.Context, k *collector) error {
			return k.everyone(ctx, methodFloor, team, 7, at)
		}
		if err := call(promise); err != nil {
			t.Fatal(err)
		}
		c.lose(lost, old)
		if err := call(rise); !errors.Is(err, cluster.ErrSyncing) {
			t.Errorf("floor at a store that is not in sync: %v", err)
		}
		if err := call(promise); !errors.Is(err, cluster.ErrSyncing) ||
			!strings.Contains(err.Error(), lost.env.Self().Short()) {
			t.Errorf("promise of a store that is not in sync: %v", err)
		}
		c.resync(lost)
		if err := call(rise); !errors.Is(err, errOver) {
			t.Errorf("floor at another store: %v", err)
		}
		want := quorum.Late
		if mutant != "" {
			want = quorum.Clean
		}
		if v := c.comes(lost, late, writeRequest{}); v != want {
			t.Errorf("mutant %q: votes %v; floor %+v", mutant, v, c.floor(lost))
		}
		if c.holds(lost) == old.Write {
			t.Errorf("mutant %q: what was deleted is back", mutant)
		}
	}
}

// TestUnsyncedTakesNothingOld: a store that is not in sync may have promised, and takes nothing from a
// coordinator that is as old as what may be promised.
func TestUnsyncedTakesNothingOld(t *testing.T) {
	c := newFloorCluster(t)
	n := c.nodes[0]
	old := c.stamp()
	c.run(2 * testKeep)
	c.guards(n, cluster.Guard{Newest: 1})
	if v := c.comes(n, cell{old, 1}, writeRequest{}); v != quorum.Late || c.holds(n) != 0 {
		t.Errorf("an old row: %v, holds %d", v, c.holds(n))
	}
	if v := c.comes(n, cell{c.stamp(), 2}, writeRequest{}); v != quorum.Stored || c.holds(n) != 2 {
		t.Errorf("a new row: %v, holds %d", v, c.holds(n))
	}
}

// TestEpochWaitsForAll: while a replica is away no floor rises, and the error names it; a promise that was
// made meanwhile costs nothing.
func TestEpochWaitsForAll(t *testing.T) {
	c := newFloorCluster(t)
	a := c.nodes[0]
	deleted := c.write(a, wiped)
	c.run(time.Minute)
	if err := c.model.Isolate("c"); err != nil {
		t.Fatal(err)
	}
	if err := c.collect(a, deleted+1); err == nil ||
		!strings.Contains(err.Error(), c.nodes[2].env.Self().Short()) {
		t.Errorf("without a replica: %v", err)
	}
	if got := c.all(); !slices.Equal(got, []byte{wiped, wiped, wiped}) || c.floor(a).Floor != 0 {
		t.Errorf("a floor rose: %v, %v", c.floor(a), got)
	}
	c.write(a, 1)
	c.model.Clear()
	c.run(time.Minute)
	c.mustCollect(a, deleted+1)
	if got := c.all(); !slices.Equal(got, []byte{1, 1, 1}) {
		t.Errorf("afterwards: %v", got)
	}
}

// TestSurplusForgetsFloors: what a node drops because it belongs to others is no deletion.
func TestSurplusForgetsFloors(t *testing.T) {
	c := newFloorCluster(t)
	n := c.nodes[0]
	old := c.write(n, 1)
	c.run(time.Minute)
	c.mustCollect(n, old+1)
	c.guards(n, cluster.Guard{Newest: 2, Synced: 2})
	c.do(n, func(ctx context.Context) {
		if dropped, err := n.tables.DropSurplus(ctx, 0, 0xffff, 2, 100); err != nil || dropped == 0 {
			t.Errorf("dropped %d, %v", dropped, err)
		}
	})
	if f := c.floor(n); f != (floor{}) {
		t.Errorf("it still says %+v", f)
	}
	how := writeRequest{Merge: true, Plan: cluster.Plan{Newest: 2, Anchor: 2}}
	if v := c.comes(n, cell{old, 1}, how); v == quorum.Late || c.holds(n) != 1 {
		t.Errorf("brought again: %v, %v", v, c.all())
	}
}

// TestNewRowsDoNotLook: what is newer than every promise of a node is stored without a look at its floors; so
// is what is older, if it has no row to be held against, for one look more.
func TestNewRowsDoNotLook(t *testing.T) {
	c := newFloorCluster(t)
	n := c.nodes[0]
	promised := c.stamp()
	c.mustCollect(n, promised)
	looks := func(v cell, how writeRequest) (count int) {
		c.do(n, func(ctx context.Context) {
			if err := n.tables.floors.load(n.store); err != nil {
				t.Error(err)
			}
			err := n.store.Update(ctx, func(w kv.Writer) error {
				counted := &looking{Writer: w}
				tx := n.tables.txOn(counted, markPK, new([]func()))
				tx.stampMax, tx.back = hlc.StampMax, how.Back
				row, err := n.cells.Row([]byte("k"), v)
				if err == nil {
					_, err = tx.applyItem([]Row{row})
				}
				count = counted.floors
				return errors.Join(err, errUndo)
			})
			if err == nil {
				t.Error("not undone")
			}
		})
		return count
	}
	if got := looks(cell{promised + 1, 1}, writeRequest{}); got != 0 {
		t.Errorf("a new row: %d looks", got)
	}
	for _, how := range []writeRequest{{}, {Back: true}} {
		if got := looks(cell{promised - 1, 1}, how); got != 1 {
			t.Errorf("an old row, %+v: %d looks", how, got)
		}
	}
}

// looking counts looks at floors.
type looking struct {
	kv.Writer
	floors int
}

func (l *looking) Get(key []byte) []byte {
	if bytes.HasPrefix(key, keyFloor) {
		l.floors++
	}
	return l.Writer.Get(key)
}

// BenchmarkApply is a row that comes where there is none: newer than all promises, and older, brought by a
// replica.
func BenchmarkApply(b *testing.B) {
	t := new(testing.T)
	c := newFloorCluster(t)
	n := c.nodes[0]
	promised := c.stamp()
	c.do(n, func(ctx context.Context) {
		if err := n.tables.collector.everyone(ctx, methodPromise, c.team()[0], 1, promised); err != nil {
			b.Error(err)
		}
	})
	for _, name := range []string{"new", "old"} {
		stamp := map[string]hlc.Stamp{"new": promised + 1, "old": promised - 1}[name]
		b.Run(name, func(b *testing.B) {
			c.do(n, func(ctx context.Context) {
				if err := n.tables.floors.load(n.store); err != nil {
					b.Error(err)
				}
				row, err := n.cells.Row([]byte("k"), cell{stamp, 1})
				if err != nil {
					b.Error(err)
				}
				for b.Loop() {
					err := n.tables.Change(ctx, func(rows func([]byte) *Tx) error {
						if err := rows(markPK).try([]Row{row}); err != nil {
							return err
						}
						return errUndo
					})
					if err == nil {
						b.Error("not undone")
					}
				}
			})
		})
	}
}

var errUndo = errors.New("undo")
