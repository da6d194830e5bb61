package world

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zeebo/blake3"

	k2v "granary/core/api/k2v/client"
	"granary/core/bucket"
	"granary/core/cluster"
	"granary/core/layout"
	"granary/core/node"
	"granary/core/rt"
	"granary/core/table"
	"granary/netsim"
)

// slowly makes what a machine sends to others late.
func slowly(t *testing.T, w *World, m *Machine, late time.Duration, to ...*Machine) {
	t.Helper()
	for _, o := range to {
		if err := w.Net.Model().Degrade(m.Name, o.Name, netsim.Extra{Delay: late}); err != nil {
			t.Fatal(err)
		}
	}
}

// lacking returns of each item, by its prefix, how many nodes lack it of each live set that m knows; key is
// part of the items' sort keys.
func (w *World) lacking(t *testing.T, m *Machine, key string) (lacking map[layout.Prefix][]int) {
	t.Helper()
	has := map[rt.NodeID]map[layout.Prefix]bool{}
	all := map[layout.Prefix]bool{}
	for _, o := range w.Machines {
		has[o.ID] = map[layout.Prefix]bool{}
		if err := o.Node.Tables().Inventory(func(s table.Stock) {
			if strings.Contains(s.Key, key) {
				has[o.ID][s.Prefix], all[s.Prefix] = true, true
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	lacking = map[layout.Prefix][]int{}
	for x := range all {
		view, err := m.Node.Cluster().View(x)
		if err != nil {
			t.Fatal(err)
		}
		for _, set := range view.Live {
			n := 0
			for _, id := range set.Nodes {
				if !has[id][x] {
					n++
				}
			}
			lacking[x] = append(lacking[x], n)
		}
	}
	return lacking
}

// TestK2VBatchAcrossAChange: a node writes a batch at home, and what it brings to the others comes too late
// to be let in: there is a new layout, in which the items of the batch part. Each is acknowledged when it is
// where it belongs. The first one stays where it is, which would not do for others.
func TestK2VBatchAcrossAChange(t *testing.T) {
	for _, mutant := range []string{"", "k2v: a batch goes where its first item goes"} {
		for seed := range uint64(4) {
			if short := batchAcrossAChange(t, seed, mutant); (short > 0) != (mutant != "") {
				t.Errorf("seed %d, mutant %q: %d items were acknowledged before they were where they belong",
					seed, mutant, short)
			}
		}
	}
}

// stayingFirst moves an item to the front of a batch that stays on the first three machines in the layout
// that is staged.
func stayingFirst(t *testing.T, w *World, b bucket.BucketID, batch []k2v.Insertion) {
	t.Helper()
	st := w.Machines[1].Node.Cluster().Status()
	next, err := layout.Assign(st.Roles, st.Params, st.Layout)
	if err != nil {
		t.Fatal(err)
	}
	old := st.Layout.StorageNodes()
	i := slices.IndexFunc(batch, func(item k2v.Insertion) bool {
		hash := blake3.Sum256([]byte(item.PK))
		set := next.Set(layout.PrefixOf(slices.Concat(b[:], hash[:])))
		return !slices.ContainsFunc(set.Nodes, func(id rt.NodeID) bool { return !slices.Contains(old, id) })
	})
	if i < 0 {
		t.Fatal("every item moves")
	}
	batch[0], batch[i] = batch[i], batch[0]
}

// batchAcrossAChange tells the story and returns how many items were acknowledged too early.
func batchAcrossAChange(t *testing.T, seed uint64, mutant string) (short int) {
	t.Helper()
	w, c := spareWorld(t, seed, mutant)
	writer, operator := w.Machines[0], w.Machines[1]
	for _, m := range w.Machines[3:] {
		if err := w.stage(operator, m, 1<<40); err != nil {
			t.Fatal(err)
		}
	}
	w.mustRun(t, 10*time.Second)
	slowly(t, w, writer, time.Second, w.Machines[1:]...)
	batch := make([]k2v.Insertion, 64)
	for i := range batch {
		batch[i] = k2v.Insertion{PK: fmt.Sprint("pk", i), SK: "of the batch", Value: k2v.Value("x")}
	}
	stayingFirst(t, w, w.bucketOf(t, "photos").ID, batch)
	k := k2vClient(w, 0, c.key)
	k.Bucket = "photos"
	done := rt.NewFuture[struct{}](w.Env)
	w.Env.Go("write", func() { done.Set(struct{}{}, k.InsertBatch(w.Env.Background(), batch)) })
	w.mustRun(t, 100*time.Millisecond)
	before := operator.Node.Cluster().LayoutNumber()
	if err := w.apply(operator); err != nil {
		t.Fatal(err)
	}
	err := w.Do(time.Minute, func(ctx context.Context) error { _, err := done.Get(ctx); return err })
	if err != nil {
		t.Fatalf("mutant %q: %v", mutant, err)
	}
	if n := writer.Node.Cluster().LayoutNumber(); n == before {
		t.Fatal("nothing changed")
	}
	lacking := w.lacking(t, writer, "of the batch")
	for _, sets := range lacking {
		if slices.Max(sets) > 1 { // of three
			short++
		}
	}
	if len(lacking) < len(batch) {
		t.Errorf("seed %d, mutant %q: %d of %d items are anywhere", seed, mutant, len(lacking), len(batch))
	}
	return short
}

// TestK2VWritesWhereItIsKnown: a node that is given back what it once had, and dropped, has not taken it over
// yet when a client writes there, and goes on with what it is told to have seen. A value that the node wrote
// before, and that the client never read, stays.
func TestK2VWritesWhereItIsKnown(t *testing.T) {
	for _, mutant := range []string{"", "k2v: written where it is not known"} {
		w, c := spareWorld(t, 1, mutant)
		m, operator, deputy := w.Machines[0], w.Machines[1], w.Machines[3]
		k := k2vClient(w, 0, c.key)
		k.Bucket = "photos"
		insert := func(token k2v.Token, v string) (next k2v.Token) {
			err := w.Do(time.Minute, func(ctx context.Context) (err error) {
				next, err = k.Insert(ctx, "pk", "sk", token, k2v.Value(v))
				return err
			})
			if err != nil {
				t.Fatalf("mutant %q: write %q: %v", mutant, v, err)
			}
			return next
		}
		insert("", "acknowledged")
		swap := func(in, out *Machine) (before uint64) {
			if err := errors.Join(w.stage(operator, in, 1<<40), w.stage(operator, out, -1)); err != nil {
				t.Fatal(err)
			}
			before = m.Node.Cluster().LayoutNumber()
			w.Env.Go("apply", func() {
				if err := w.Operate(w.Env.Background(), operator, func(ctx context.Context,
					c *cluster.Cluster) error {
					_, err := c.Apply(ctx)
					return err
				}); err != nil {
					t.Error(err)
				}
			})
			return before
		}
		w.mustSettle(t, swap(deputy, m))
		w.mustRun(t, time.Minute)
		before := swap(m, deputy)
		if err := w.Sched.RunUntil(time.Minute, func() bool {
			return m.Node.Cluster().LayoutNumber() > before
		}); err != nil {
			t.Fatal(err)
		}
		insert(insert("", "written blindly"), "written after it")
		var item k2v.Item
		err := w.Do(time.Minute, func(ctx context.Context) (err error) {
			item, err = k.Read(ctx, "pk", "sk")
			return err
		})
		kept := slices.ContainsFunc(item.Values,
			func(v k2v.Value) bool { return string(v) == "acknowledged" })
		if err != nil || kept != (mutant == "") {
			t.Errorf("mutant %q: %q, %v", mutant, item.Values, err)
		}
	}
}

// TestDeletionAsksWhoKnows: an item is known to a node that is away and to one that has lost its store. Those
// that are left do not say that the bucket is empty.
func TestDeletionAsksWhoKnows(t *testing.T) {
	for _, mutant := range []string{"", "layout: a syncing store votes"} {
		w, c := spareWorld(t, 1, mutant)
		knows, lost, late := w.Machines[0], w.Machines[1], w.Machines[2]
		k := k2vClient(w, 0, c.key)
		k.Bucket = "photos"
		w.Crash(late)
		w.mustRun(t, time.Second)
		if err := w.Do(time.Minute, func(ctx context.Context) error {
			_, err := k.Insert(ctx, "pk", "sk", "", k2v.Value("x"))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		empty := func() (empty bool, err error) {
			err = w.Do(time.Minute, func(ctx context.Context) error {
				return w.On(ctx, w.Machines[3], func(ctx context.Context, n *node.Node) error {
					b, err := n.Buckets().ByName(ctx, "photos")
					if err == nil {
						empty, err = n.Items().Empty(ctx, b.ID)
					}
					return err
				})
			})
			return empty, err
		}
		w.lose(t, lost, knows)
		if is, err := empty(); is || err != nil {
			t.Fatalf("mutant %q: while the one that knows is there: empty %v, %v", mutant, is, err)
		}
		w.Boot(late)
		w.Crash(knows)
		w.mustRun(t, 2*time.Second)
		if is, err := empty(); is != (mutant != "") || errors.Is(err, cluster.ErrSyncing) != (mutant == "") {
			t.Errorf("mutant %q: empty %v, %v", mutant, is, err)
		}
	}
}

// TestK2VSyncingDoesNotCount: a store that took the place of a lost one keeps what it is sent. It has
// forgotten which buckets it had shut and whom it had refused, so that what it lets in is not acknowledged by
// that.
func TestK2VSyncingDoesNotCount(t *testing.T) {
	for _, mutant := range []string{"", "k2v: a syncing store counts"} {
		w, c := spareWorld(t, 1, mutant)
		k := k2vClient(w, 0, c.key)
		k.Bucket = "photos"
		insert := func() error {
			return w.Do(time.Minute, func(ctx context.Context) error {
				_, err := k.Insert(ctx, "pk", "sk", "", k2v.Value("x"))
				return err
			})
		}
		lost, away := w.Machines[1], w.Machines[2]
		w.lose(t, lost, w.Machines[0])
		if err := insert(); err != nil {
			t.Errorf("mutant %q: with two that know: %v", mutant, err)
		}
		w.Crash(away)
		var refused *k2v.Error
		err := insert()
		if (err == nil) != (mutant != "") || err != nil &&
			(!errors.As(err, &refused) || refused.Code != "OutcomeUnknown") {
			t.Errorf("mutant %q: with one that knows, and one that does not: %v", mutant, err)
		}
	}
}
