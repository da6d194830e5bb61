package replica

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"granary/experiments/baseline/basetest"
	"granary/experiments/baseline/linear"
	"granary/experiments/baseline/site"
)

// writer puts with a counter of its own: it is the only one.
type writer struct{ *Node }

func (s *writer) Put(ctx context.Context, key string, value []byte) error {
	row := Row{Key: key, Version: s.Next(s.Held(key).Version.Counter), Live: true, Bytes: len(value)}
	return s.Store(ctx, Store{Row: row, Value: value, Commit: true})
}

func (s *writer) Remove(ctx context.Context, key string) error {
	return s.Store(ctx, Store{Row: Row{Key: key, Version: s.Next(s.Held(key).Version.Counter)}, Commit: true})
}

func open(n *site.Node) (site.Store, error) { return &writer{New(n)}, nil }

// A write that reached one replica is seen by a reader who asked that one. A later reader, who asks the two
// others, must see it too.
func TestWriteBack(t *testing.T) {
	for _, mutants := range [][]string{nil, {"replica/no write-back"}} {
		history := halfWritten(t, mutants)
		if bad := linear.Judge(history) != nil; bad != (mutants != nil) {
			t.Errorf("mutants %q: linearizable: %v:\n%+v", mutants, !bad, history)
		}
	}
}

func halfWritten(t *testing.T, mutants []string) []linear.Op {
	w := basetest.Start(t, open, mutants...)
	zone := func(i int) string { return w.Sites[i].Zone }
	var log linear.Log
	read := func(at int) linear.Op {
		return log.Request(w, at, site.Deadline, linear.Op{Client: at, Kind: linear.Get, Key: "k"})
	}
	err := w.Do(time.Hour, func(ctx context.Context) error {
		log.Request(w, 0, site.Deadline, linear.Op{Kind: linear.Put, Key: "k", Value: 1})
		m := w.Net.Model()
		w.Sched.Fail(m.Isolate(zone(0)))
		log.Request(w, 0, 5*time.Second, linear.Op{Client: 9, Kind: linear.Put, Key: "k", Value: 2})
		w.Crash(0) // what is on its way is lost
		w.Sched.Fail(m.Rejoin(zone(0)))
		w.Boot(0)
		if err := w.Env.Sleep(ctx, 5*time.Second); err != nil {
			return err
		}
		w.Sched.Fail(m.Cut(zone(0), zone(2)))
		if got := read(0); got.Value != 2 {
			t.Errorf("the reader at the writer's site got %d, want 2", got.Value)
		}
		w.Sched.Fail(m.Isolate(zone(0)))
		if err := w.Env.Sleep(ctx, time.Millisecond); err != nil { // beyond doubt later
			return err
		}
		read(1)
		return nil
	})
	if err != nil || log.Failed != 1 {
		t.Fatalf("%v, %d requests failed, want the second write", err, log.Failed)
	}
	return log.History
}

func TestVersions(t *testing.T) {
	for _, c := range []struct {
		a, b Version
		want int
	}{
		{Version{1, 9}, Version{2, 1}, -1},
		{Version{2, 1}, Version{2, 2}, -1},
		{Version{2, 2}, Version{2, 2}, 0},
		{Version{3, 1}, Version{2, 2}, 1},
	} {
		if got := c.a.Compare(c.b); got != c.want || c.b.Compare(c.a) != -c.want {
			t.Errorf("%v against %v: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// A shelf keeps the newest row whatever the order, and no value but that of a row and of those to come.
func TestShelf(t *testing.T) {
	row := func(counter uint64) Row { return Row{Key: "k", Version: Version{Counter: counter}, Live: true} }
	s := &shelf{rows: map[string]Row{}, values: map[valueOf][]byte{}, announced: map[valueOf]bool{}}
	for _, r := range []Store{
		{Row: row(2), Announce: true},
		{Row: row(2), Value: []byte("two")},
		{Row: row(2), Commit: true},
		{Row: row(1), Announce: true},
		{Row: row(1), Value: []byte("one"), Commit: true},
		{Row: row(4), Announce: true},
		{Row: row(4), Value: []byte("four")},
		{Row: row(3), Value: []byte("three"), Commit: true},
	} {
		s.store(&r)
	}
	want := &shelf{rows: map[string]Row{"k": row(3)},
		values: map[valueOf][]byte{
			{"k", Version{Counter: 3}}: []byte("three"), {"k", Version{Counter: 4}}: []byte("four")},
		announced: map[valueOf]bool{{"k", Version{Counter: 4}}: true}}
	if d := cmp.Diff(want, s, cmp.AllowUnexported(shelf{}, valueOf{})); d != "" {
		t.Errorf("shelf (-want +got):\n%s", d)
	}
}
