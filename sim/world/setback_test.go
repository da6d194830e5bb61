package world

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"granary/core/node"
	"granary/core/quorum"
)

// setBack has two of three machines acknowledge objects while the third is away, sets one of the two back to
// before that, and then has it answer together with the third, of which neither knows them. It returns how
// many were denied, and how many are there when all are back.
func setBack(t *testing.T, seed uint64, mutants ...string) (denied, there int) {
	t.Helper()
	w, c := spareWorld(t, seed, mutants...)
	a, b, late := w.Machines[0], w.Machines[1], w.Machines[2]
	w.mustRun(t, 5*time.Second)
	before := b.Backup()
	w.Crash(late)
	w.mustRun(t, time.Second)
	for i := range 20 {
		c.expect(200, "PUT", fmt.Sprintf("/photos/%03d", i), []byte("known to two"))
	}
	w.mustRun(t, 3*time.Second)
	w.Crash(b)
	w.mustRun(t, 100*time.Millisecond)
	w.SetBack(b, before)
	w.Boot(b)
	w.mustRun(t, time.Second)
	w.Boot(late)
	w.Crash(a)
	w.mustRun(t, 2*time.Second)
	c.at = 3
	for i := range 20 {
		if c.do("GET", fmt.Sprintf("/photos/%03d", i), nil).Code == 404 {
			denied++
		}
	}
	w.Boot(a)
	w.mustRun(t, time.Second)
	if err := w.Sched.RunUntil(2*time.Minute, func() bool { return synced(b) && synced(late) }); err != nil {
		t.Fatalf("seed %d: %s", seed, w.Standings())
	}
	w.mustRun(t, 30*time.Second)
	w.Crash(a)
	w.mustRun(t, 10*time.Second)
	for i := range 20 {
		if c.do("GET", fmt.Sprintf("/photos/%03d", i), nil).Code == 200 {
			there++
		}
	}
	return denied, there
}

// A virtual machine that was set back, store id and all, is noticed by what its peers have heard of its
// store: it becomes another store, and answers for nothing until it holds what was acknowledged.
func TestSetBackStore(t *testing.T) {
	for seed := range uint64(3) {
		if denied, there := setBack(t, seed); denied > 0 || there != 20 {
			t.Errorf("seed %d: %d of 20 acknowledged objects were denied, %d are there at the end", seed,
				denied, there)
		}
	}
	if denied, _ := setBack(t, 0, "cluster: a store that was set back serves"); denied == 0 {
		t.Error("a store that was set back serves, and nobody notices")
	}
}

// A store that has just started, and may have been set back, gives no times to the values of items: it may
// have given them before.
func TestStartedStoreGivesNoTimes(t *testing.T) {
	w, c := newBucket(t, 1)
	b := w.Machines[1]
	items := w.makeBucket(t, "items")
	w.Crash(b)
	w.mustRun(t, time.Second)
	c.ok(w.Net.Model().Isolate(b.Name))
	w.Boot(b)
	w.mustRun(t, time.Second)
	err := w.Do(time.Minute, func(ctx context.Context) error {
		return w.On(ctx, b, func(ctx context.Context, n *node.Node) error {
			return insertPlain(ctx, n, items.ID)
		})
	})
	if !errors.Is(err, quorum.ErrUnavailable) || errors.Is(err, quorum.ErrUnknown) {
		t.Errorf("%v: want that nothing was written", err)
	}
}

// What was heard of a store is remembered by peers that were restarted since.
func TestSetBackIsRemembered(t *testing.T) {
	w, c := newBucket(t, 1)
	b := w.Machines[1]
	before := b.Backup()
	for i := range 5 {
		c.expect(200, "PUT", fmt.Sprintf("/photos/%d", i), []byte("meow"))
	}
	w.mustRun(t, 12*time.Second) // what was heard is stored every ten seconds
	for _, m := range w.Machines {
		w.Crash(m)
	}
	w.mustRun(t, time.Second)
	w.SetBack(b, before)
	for _, m := range w.Machines {
		w.Boot(m)
	}
	w.mustRun(t, 5*time.Second)
	for _, m := range w.Machines {
		if whole := synced(m); whole == (m == b) {
			t.Errorf("%s answers for everything: %v", m.Name, whole)
		}
	}
	if err := w.Sched.RunUntil(time.Minute, func() bool { return synced(b) }); err != nil {
		t.Error(w.Standings())
	}
}

// A node that has ended by itself, since its store was set back, is started again, unless somebody has
// stopped it meanwhile.
func TestStoppedIsNotStartedAnew(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		w, c := newBucket(t, 1)
		b := w.Machines[1]
		before := b.Backup()
		c.expect(200, "PUT", "/photos/1", []byte("meow"))
		w.mustRun(t, 2*time.Second)
		w.Kill(b)
		w.SetBack(b, before)
		w.Start(b)
		ended := func() bool { return b.Env.Dead() }
		if err := w.Sched.RunUntil(10*time.Second, ended); err != nil {
			t.Fatal(err)
		}
		if stopped {
			w.Kill(b)
		}
		w.mustRun(t, 10*time.Second)
		if b.Down() != stopped {
			t.Errorf("stopped: %v; the machine is down: %v", stopped, b.Down())
		}
	}
}
