package bucket_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"granary/core/bucket"
	"granary/core/quorum"
)

// TestOneCreatorWins: of two who create a bucket at once, one has it and the other is told.
func TestOneCreatorWins(t *testing.T) {
	contended := 0
	for seed := range uint64(20) {
		w := newTown(t, seed)
		owners := []bucket.KeyID{"ann", "bob", "eve"}
		var won []bucket.KeyID
		next := 0
		errs := w.both([]int{0, 1, 2}, func(ctx context.Context, s *bucket.Store) error {
			owner := owners[next]
			next++
			_, err := s.Create(ctx, "photos", owner)
			if err == nil {
				won = append(won, owner)
			}
			return err
		})
		for _, err := range errs {
			switch {
			case errors.Is(err, bucket.ErrBucketExists):
				contended++
			case errors.Is(err, quorum.ErrUnknown): // overtaken; who asks again is told
			case err != nil:
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		if len(won) > 1 {
			t.Fatalf("seed %d: %v have the same name", seed, won)
		}
		w.run(time.Second)
		for i := range 3 {
			b, err := w.find(i, "photos")
			if err != nil || len(won) == 1 && b.Owner != won[0] {
				t.Errorf("seed %d, node %d: %+v, %v; want one of %v", seed, i, b, err, won)
			}
		}
	}
	if contended < 10 {
		t.Errorf("%d creators of 60 found the name taken: they hardly met", contended)
	}
}

// TestNewBucketIsEmpty: a bucket that is made anew has another id, so that what is written late into the
// old one does not appear in it; and the old one cannot be deleted any more.
func TestNewBucketIsEmpty(t *testing.T) {
	w := newTown(t, 9)
	old, err := w.create(0, "photos", "me")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.drop(1, "photos"); err != nil {
		t.Fatal(err)
	}
	fresh, err := w.create(2, "photos", "me")
	if err != nil || fresh.ID == old.ID {
		t.Errorf("made anew: %+v, %v; the old one was %v", fresh, err, old.ID)
	}
	err = w.on(0, func(ctx context.Context, s *bucket.Store) error { return s.Delete(ctx, old) })
	if !errors.Is(err, bucket.ErrNoSuchBucket) {
		t.Errorf("the old bucket is deleted: %v", err)
	}
	if b, err := w.find(0, "photos"); err != nil || b.ID != fresh.ID {
		t.Errorf("afterwards: %+v, %v", b, err)
	}
}

// TestCreateTakesTwoRounds counts them by virtual time, on connections that are open.
func TestCreateTakesTwoRounds(t *testing.T) {
	const roundTrip = 20 * time.Millisecond
	w := newTown(t, 10)
	for i := range 3 {
		_, _ = w.find(i, "nothing")
	}
	start := w.Sched.Now()
	if _, err := w.create(0, "photos", "me"); err != nil {
		t.Fatal(err)
	}
	if took := w.Sched.Now() - start; took > 5*roundTrip/2 {
		t.Errorf("creating a bucket took %v, want two round trips of %v", took, roundTrip)
	}
	start = w.Sched.Now()
	if _, err := w.find(0, "photos"); err != nil || w.Sched.Now()-start > roundTrip/2 {
		t.Errorf("finding it here took %v, %v", w.Sched.Now()-start, err)
	}
}

// TestSweep: a name whose creator stopped before it could tell anybody is published by those who accepted it.
func TestSweep(t *testing.T) {
	w := newTown(t, 11)
	made := false
	m := w.Machines[0]
	m.Env.Go("test", func() {
		_, err := m.Node.Buckets().Create(m.Env.Background(), "photos", "me")
		made = err == nil
		m.Env.Kill() // before a message that publishes it can leave
	})
	if err := w.Sched.RunUntil(time.Minute, m.Env.Dead); err != nil {
		t.Fatal(err)
	}
	if !made {
		t.Fatal("the bucket was not made")
	}
	visible := func(i int) (n int) {
		err := w.on(i, func(ctx context.Context, s *bucket.Store) error {
			list, err := s.Visible(ctx, "me")
			n = len(list)
			return err
		})
		if err != nil {
			t.Error(err)
		}
		return n
	}
	if visible(1) != 0 || visible(2) != 0 {
		t.Fatal("the name was published before its creator stopped")
	}
	w.run(3 * time.Minute)
	if visible(1) != 1 || visible(2) != 1 {
		t.Errorf("%d and %d buckets are visible after the sweep, want 1", visible(1), visible(2))
	}
}
