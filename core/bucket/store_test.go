package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"granary/core/bucket"
	"granary/core/quorum"
	"granary/netsim"
	"granary/sim/world"
)

// town is a cluster of three nodes, each in a zone of its own, 20 ms apart.
type town struct {
	t *testing.T
	*world.World
}

func newTown(t *testing.T, seed uint64) *town {
	t.Helper()
	o := world.Default(seed, netsim.Regular("town", 3, 1, netsim.Path{Delay: 10 * time.Millisecond},
		netsim.Path{}))
	o.Sched.Shuffle, o.Sched.YieldPerMille = seed%2 == 1, int(seed%3)*50
	w, err := world.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	if err := w.Form(); err != nil {
		t.Fatal(err)
	}
	return &town{t, w}
}

// on runs f as a task of node i.
func (w *town) on(i int, f func(ctx context.Context, s *bucket.Store) error) (err error) {
	w.t.Helper()
	return w.both([]int{i}, f)[0]
}

// both runs f on several nodes at once.
func (w *town) both(nodes []int, f func(ctx context.Context, s *bucket.Store) error) []error {
	w.t.Helper()
	errs, left := make([]error, len(nodes)), len(nodes)
	for i, n := range nodes {
		m := w.Machines[n]
		m.Env.Go("test", func() { errs[i] = f(m.Env.Background(), m.Node.Buckets()); left-- })
	}
	if err := w.Sched.RunUntil(10*time.Minute, func() bool { return left == 0 }); err != nil {
		w.t.Fatal(err)
	}
	return errs
}

func (w *town) create(i int, name string, owner bucket.KeyID) (b bucket.Bucket, err error) {
	w.t.Helper()
	err = w.on(i, func(ctx context.Context, s *bucket.Store) (err error) {
		b, err = s.Create(ctx, name, owner)
		return err
	})
	return b, err
}

func (w *town) find(i int, name string) (b bucket.Bucket, err error) {
	w.t.Helper()
	err = w.on(i, func(ctx context.Context, s *bucket.Store) (err error) {
		b, err = s.ByName(ctx, name)
		return err
	})
	return b, err
}

func (w *town) drop(i int, name string) error {
	w.t.Helper()
	return w.on(i, func(ctx context.Context, s *bucket.Store) error {
		b, err := s.ByName(ctx, name)
		if err != nil {
			return err
		}
		return s.Delete(ctx, b)
	})
}

func (w *town) run(d time.Duration) {
	w.t.Helper()
	if err := w.Sched.Run(d); err != nil {
		w.t.Fatal(err)
	}
}

func (w *town) isolate(i int) {
	w.t.Helper()
	if err := w.Net.Model().Isolate(w.Machines[i].Name); err != nil {
		w.t.Fatal(err)
	}
}

func TestBuckets(t *testing.T) {
	for seed := range uint64(3) {
		w := newTown(t, seed)
		if _, err := w.find(0, "photos"); !errors.Is(err, bucket.ErrNoSuchBucket) {
			t.Errorf("before: %v", err)
		}
		made, err := w.create(0, "photos", "me")
		if err != nil || made.ID == (bucket.BucketID{}) {
			t.Fatal(made, err)
		}
		for i := range 3 {
			b, err := w.find(i, "photos")
			if g, ok := b.Grant("me"); err != nil || b.Owner != "me" || !ok || !g.Read || !g.Write ||
				!g.Owner {
				t.Errorf("node %d: %+v, %v", i, b, err)
			}
			if _, err := w.create(i, "photos", "me"); !errors.Is(err, bucket.ErrBucketOwned) {
				t.Errorf("mine again: %v", err)
			}
			if _, err := w.create(i, "photos", "you"); !errors.Is(err, bucket.ErrBucketExists) {
				t.Errorf("yours: %v", err)
			}
		}
		if _, err := w.create(0, "No", "me"); !errors.Is(err, bucket.ErrInvalidName) {
			t.Errorf("bad name: %v", err)
		}
		read := true
		allow := func(ctx context.Context, s *bucket.Store) error {
			b, err := s.Change(ctx, made.Name, "you", func(g *bucket.Grant) { g.Read = read })
			if g, ok := b.Grant("you"); err == nil && (ok != read || g.Read != read || g.Write) {
				t.Errorf("after the change: %+v", b.Grants)
			}
			return err
		}
		if err := w.on(1, allow); err != nil {
			t.Fatal(err)
		}
		w.run(time.Second)
		visible := func(i int, key bucket.KeyID) (n int) {
			err := w.on(i, func(ctx context.Context, s *bucket.Store) error {
				list, err := s.Visible(ctx, key)
				n = len(list)
				return err
			})
			if err != nil {
				t.Error(err)
			}
			return n
		}
		if visible(2, "you") != 1 || visible(2, "she") != 0 {
			t.Error("the grant is not seen")
		}
		read = false
		if err := w.on(2, allow); err != nil || visible(2, "you") != 0 {
			t.Errorf("the grant was not taken back: %v", err)
		}
		if err := w.drop(1, "photos"); err != nil {
			t.Fatal(err)
		}
		w.run(time.Second)
		if _, err := w.find(2, "photos"); !errors.Is(err, bucket.ErrNoSuchBucket) {
			t.Errorf("after the deletion: %v", err)
		}
		if err := w.on(0, allow); !errors.Is(err, bucket.ErrNoSuchBucket) {
			t.Errorf("a grant in what is gone: %v", err)
		}
		if b, err := w.create(2, "photos", "you"); err != nil || len(b.Grants) != 1 ||
			b.Grants[0].Key != "you" {
			t.Errorf("made anew by another: %+v, %v", b, err)
		}
	}
}

// TestSkewedClocks: changes made one after the other count in that order, whatever the clocks of those who
// make them say.
func TestSkewedClocks(t *testing.T) {
	w := newTown(t, 4)
	w.Machines[1].SetWall(10 * time.Minute)
	w.Machines[2].SetWall(-10 * time.Minute)
	for i := range 6 {
		maker, breaker := i%3, (i+1+i/3)%3
		if _, err := w.create(maker, "photos", "me"); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		if b, err := w.find(breaker, "photos"); err != nil || len(b.Grants) != 1 {
			t.Fatalf("round %d: %+v, %v", i, b, err)
		}
		if err := w.drop(breaker, "photos"); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		w.run(time.Second)
		if _, err := w.find(maker, "photos"); !errors.Is(err, bucket.ErrNoSuchBucket) {
			t.Fatalf("round %d: %v", i, err)
		}
	}
}

// TestNegativeAnswersAreConfirmed: a node that missed a write does not deny what the majority has; cut off,
// it gives no answer instead of a wrong one.
func TestNegativeAnswersAreConfirmed(t *testing.T) {
	w := newTown(t, 5)
	w.isolate(2)
	if _, err := w.create(0, "photos", "me"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.find(2, "photos"); !errors.Is(err, quorum.ErrUnavailable) ||
		errors.Is(err, bucket.ErrNoSuchBucket) {
		t.Errorf("cut off: %v", err)
	}
	w.Net.Model().Clear()
	w.run(1500 * time.Millisecond) // the back-off of dialling, less than any comparison takes
	if b, err := w.find(2, "photos"); err != nil || b.Owner != "me" {
		t.Errorf("healed: %+v, %v", b, err)
	}
	if _, err := w.find(2, "nothing"); !errors.Is(err, bucket.ErrNoSuchBucket) {
		t.Errorf("what is not there: %v", err)
	}
}

// TestCatchUp: a node that was down learns all it missed, without being asked for it.
func TestCatchUp(t *testing.T) {
	const n = 300
	w := newTown(t, 6)
	w.Crash(w.Machines[2])
	w.run(5 * time.Second)
	err := w.on(0, func(ctx context.Context, s *bucket.Store) error {
		for i := range n {
			if _, err := s.CreateKey(ctx, fmt.Sprint("key ", i), i%2 == 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Boot(w.Machines[2])
	w.run(time.Second)
	known := func(i int) (keys []bucket.Key) {
		keys, err := w.Machines[i].Node.Buckets().Keys()
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	w.run(30 * time.Second)
	var have, want []bucket.Key
	if err := w.on(2, func(context.Context,
		*bucket.Store) error {
		have = known(2)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.on(0, func(context.Context,
		*bucket.Store) error {
		want = known(0)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(want) != n || len(have) != n {
		t.Fatalf("%d keys at the node that was down, %d at the other", len(have), len(want))
	}
	for i := range want {
		if have[i] != want[i] {
			t.Errorf("key %v became %v", want[i], have[i])
		}
	}
}

func TestKeys(t *testing.T) {
	w := newTown(t, 7)
	var key bucket.Key
	err := w.on(0, func(ctx context.Context, s *bucket.Store) (err error) {
		key, err = s.CreateKey(ctx, "mine", true)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	get := func(ctx context.Context, s *bucket.Store) error {
		got, err := s.Key(ctx, key.ID)
		if err == nil && got != key {
			t.Errorf("got %#v", got)
		}
		return err
	}
	for i := range 3 {
		if err := w.on(i, get); err != nil {
			t.Error(err)
		}
	}
	revoke := func(ctx context.Context, s *bucket.Store) error { return s.DeleteKey(ctx, key.ID) }
	if err := w.on(1, revoke); err != nil {
		t.Fatal(err)
	}
	w.run(time.Second)
	for i := range 3 {
		if err := w.on(i, get); !errors.Is(err, bucket.ErrNoSuchKey) {
			t.Errorf("revoked, node %d: %v", i, err)
		}
	}
	if err := w.on(2, revoke); !errors.Is(err, bucket.ErrNoSuchKey) {
		t.Errorf("revoked twice: %v", err)
	}
	bad := func(ctx context.Context, s *bucket.Store) error {
		_, err := s.PutKey(ctx, bucket.Key{ID: "x"})
		return err
	}
	if err := w.on(2, bad); !errors.Is(err, bucket.ErrInvalidKey) {
		t.Errorf("a key without secret: %v", err)
	}
}

// TestUnknownKeysAreRationed: guessing keys costs the cluster few rounds, and known ones are served
// meanwhile.
func TestUnknownKeysAreRationed(t *testing.T) {
	w := newTown(t, 8)
	var key bucket.Key
	err := w.on(0, func(ctx context.Context, s *bucket.Store) (err error) {
		key, err = s.CreateKey(ctx, "mine", true)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	nodes := make([]int, 200)
	asked := 0
	denied, refused := 0, 0
	for _, err := range w.both(nodes, func(ctx context.Context, s *bucket.Store) error {
		asked++
		_, err := s.Key(ctx, bucket.KeyID(fmt.Sprint("guess", asked)))
		return err
	}) {
		switch {
		case errors.Is(err, bucket.ErrNoSuchKey):
			denied++
		case errors.Is(err, quorum.ErrUnavailable):
			refused++
		default:
			t.Error(err)
		}
	}
	if denied < 20 || denied > 25 || denied+refused != len(nodes) {
		t.Errorf("%d confirmed, %d refused", denied, refused)
	}
	err = w.on(0, func(ctx context.Context, s *bucket.Store) error {
		_,
			err := s.Key(ctx, key.ID)
		return err
	})
	if err != nil {
		t.Errorf("a known key meanwhile: %v", err)
	}
	w.run(5 * time.Second)
	err = w.on(0, func(ctx context.Context, s *bucket.Store) error {
		_,
			err := s.Key(ctx, "again")
		return err
	})
	if !errors.Is(err, bucket.ErrNoSuchKey) {
		t.Errorf("later: %v", err)
	}
}
