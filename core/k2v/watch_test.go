package k2v

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"granary/core/cluster"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rt"
	"granary/core/table"
	"granary/sim/sched"
)

// TestWatchesBounded: a replica refuses to watch more than it may, until old leases are over.
func TestWatchesBounded(t *testing.T) {
	s := sched.New(sched.Options{Seed: 1})
	env := s.NewEnv(rt.NodeID{1}, "node")
	store := &Store{env: env, watched: newWatched(env)}
	store.watched.most = 3
	env.Go("watch", func() {
		ctx := env.Background()
		watch := func(pk string) error {
			_, err := store.handleWatch(ctx, rt.NodeID{2}, &watchRequest{PK: []byte(pk)})
			return err
		}
		for i := range 3 {
			if err := watch(fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		}
		if err := watch("more"); !errors.Is(err, errTooManyWatches) {
			t.Errorf("one too many: %v", err)
		}
		if err := watch("1"); err != nil {
			t.Errorf("a renewal: %v", err)
		}
		env.Sleep(ctx, watchLease+time.Second)
		if err := watch("more"); err != nil || len(store.watched.pks) != 1 {
			t.Errorf("after the leases: %v, %d watched", err, len(store.watched.pks))
		}
	})
	if err := s.Run(time.Hour); err != nil {
		t.Fatal(err)
	}
	s.Stop()
}

// TestOutboxBounded: a node that is told of more than notifyMax changes of a partition key is told "all".
func TestOutboxBounded(t *testing.T) {
	s := sched.New(sched.Options{Seed: 1})
	env := s.NewEnv(rt.NodeID{1}, "node")
	w := newWatched(env)
	env.Go("changes", func() {
		first := true
		for i := range notifyMax + 2 {
			for range 2 {
				idle := w.put(rt.NodeID{2}, table.Address{PK: []byte("pk"), Sort: []byte(fmt.Sprint(i))})
				if idle != first {
					t.Errorf("change %d: idle %v", i, idle)
				}
				first = false
			}
		}
		if n := w.out[rt.NodeID{2}].news["pk"]; !n.All || len(n.Sorts) > 0 {
			t.Errorf("all %v, %d named", n.All, len(n.Sorts))
		}
	})
	if err := s.Run(time.Hour); err != nil {
		t.Fatal(err)
	}
	s.Stop()
}

// TestPollsBounded: a node refuses more polls than it may hold, and counts those that leave.
func TestPollsBounded(t *testing.T) {
	s := sched.New(sched.Options{Seed: 1})
	env := s.NewEnv(rt.NodeID{1}, "node")
	w := newWatchers(env)
	env.Go("polls", func() {
		var polls []*poll
		for range PollsMax {
			p := &poll{}
			if _, err := w.join([]byte("pk"), p); err != nil {
				t.Error(err)
			}
			polls = append(polls, p)
		}
		if _, err := w.join([]byte("pk"), &poll{}); !errors.Is(err, ErrTooManyPolls) {
			t.Errorf("one too many: %v", err)
		}
		for _, p := range polls {
			w.leave([]byte("pk"), p)
		}
		if w.waiting() != 0 || len(w.pks) != 0 {
			t.Errorf("%d wait, %d partition keys", w.waiting(), len(w.pks))
		}
	})
	if err := s.Run(time.Hour); err != nil {
		t.Fatal(err)
	}
	s.Stop()
}

// distances is a Topology without a network.
type distances struct{ table.Topology }

func (distances) Nearest(ids []rt.NodeID) []rt.NodeID { return ids }
func (distances) Describe(id rt.NodeID) string        { return id.Short() }

// TestAskReplicasEndsEarly: a round ends when too few replicas are left to answer.
func TestAskReplicasEndsEarly(t *testing.T) {
	s := sched.New(sched.Options{Seed: 1})
	t.Cleanup(s.Stop)
	env := s.NewEnv(rt.NodeID{1}, "node")
	env.Go("ask", func() {
		store := &Store{env: env, topology: distances{},
			quorum: quorum.New(env, rt.NewGroup(env, env.Background()))}
		view := cluster.View{Live: []layout.Set{layout.Majority(1, []rt.NodeID{{1}, {2}, {3}})}}
		no := errors.New("no")
		err := askReplicas(env.Background(), store, view, 0, "a test",
			func(ctx context.Context, to rt.NodeID) (struct{}, error) {
				if to == (rt.NodeID{3}) {
					return struct{}{}, env.Sleep(ctx, time.Hour)
				}
				return struct{}{}, no
			}, func(rt.NodeID, struct{}) error { return nil })
		if !errors.Is(err, quorum.ErrUnavailable) || !errors.Is(err, no) || env.Now() >= table.ReadTimeout {
			t.Errorf("%v after %v", err, env.Now())
		}
	})
	if err := s.Run(time.Hour); err != nil {
		t.Fatal(err)
	}
}
