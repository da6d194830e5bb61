package world

import (
	"context"
	"slices"
	"testing"
	"time"

	k2v "granary/core/api/k2v/client"
	items "granary/core/k2v"
)

// within runs f as a client outside the cluster.
func (w *World) within(t *testing.T, f func(ctx context.Context) error) {
	t.Helper()
	if err := w.Do(10*time.Minute, f); err != nil {
		t.Fatal(err)
	}
}

// A write that stands beside another one's value returns no token: it would cover what its client never read,
// and the next write with it would discard that.
func TestStoryTokenOverSiblings(t *testing.T) {
	for _, mutant := range []string{"", "k2v token over siblings"} {
		w, c := newBucket(t, 1, mutant)
		ctx, values := w.Env.Background(), []k2v.Value(nil)
		w.within(t, func(context.Context) error {
			k := k2vClient(w, 0, c.key)
			k.Bucket = "photos"
			if _, err := k.Insert(ctx, "pk", "sk", "", k2v.Value("theirs")); err != nil {
				return err
			}
			token, err := k.Insert(ctx, "pk", "sk", "", k2v.Value("mine"))
			if err != nil {
				return err
			}
			if token != "" { // as a client goes on that has one
				if _, err := k.Insert(ctx, "pk", "sk", token, k2v.Value("mine again")); err != nil {
					return err
				}
			}
			item, err := k.Read(ctx, "pk", "sk")
			values = item.Values
			return err
		})
		theirs := slices.ContainsFunc(values, func(v k2v.Value) bool { return string(v) == "theirs" })
		if theirs != (mutant == "") {
			t.Errorf("mutant %q: %q are left", mutant, values)
		}
	}
}

// A node that lost its store numbers its writes as another writer: with the clock set back it would use
// numbers again, and two values would be taken for one.
func TestStoryNewStoreIsAnotherWriter(t *testing.T) {
	w, c := spareWorld(t, 2)
	lost := w.Machines[0]
	write := func(value string) (writers []uint64) {
		ctx := w.Env.Background()
		w.within(t, func(context.Context) error {
			k := k2vClient(w, 0, c.key)
			k.Bucket = "photos"
			token, err := k.Insert(ctx, "pk", value, "", k2v.Value(value))
			if err != nil {
				return err
			}
			seen, err := items.ParseToken(string(token))
			for _, d := range seen {
				writers = append(writers, d.Node)
			}
			return err
		})
		return writers
	}
	lost.SetWall(30 * time.Second)
	before := write("before")
	w.Crash(lost)
	lost.SetWall(0)
	w.lose(t, lost, w.Machines[1])
	if err := w.Sched.RunUntil(2*time.Minute, func() bool { return synced(lost) }); err != nil {
		t.Fatal(w.Standings())
	}
	after := write("after")
	if len(before) != 1 || len(after) != 1 || before[0] == after[0] {
		t.Errorf("writer %x before the store was lost, %x after", before, after)
	}
}
