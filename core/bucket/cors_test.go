package bucket_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"granary/core/bucket"
	"granary/core/cors"
	"granary/core/quorum"
)

// TestCORS: rules are seen by every node, replaced and taken away, whatever the clocks of those who change
// them say; a bucket that is made anew has none, and rules for the one of before are refused.
func TestCORS(t *testing.T) {
	w := newTown(t, 9)
	w.Machines[1].SetWall(10 * time.Minute)
	w.Machines[2].SetWall(-10 * time.Minute)
	old, err := w.create(0, "photos", "me")
	if err != nil {
		t.Fatal(err)
	}
	rule := func(origin string) cors.Rules {
		return cors.Rules{{Origins: []string{origin}, Methods: []string{"GET"}}}
	}
	set := func(i int, b bucket.Bucket, rules cors.Rules) error {
		t.Helper()
		return w.on(i, func(ctx context.Context, s *bucket.Store) error { return s.SetCORS(ctx, b, rules) })
	}
	see := func(i int) (rules cors.Rules) {
		t.Helper()
		err := w.on(i, func(ctx context.Context, s *bucket.Store) (err error) {
			rules, err = s.CORS(ctx, "photos")
			return err
		})
		if err != nil {
			t.Error(err)
		}
		return rules
	}
	for round, rules := range []cors.Rules{rule("a"), rule("b"), nil, rule("c"), rule("d")} {
		if err := set((round+1)%3, old, rules); err != nil {
			t.Fatal(err)
		}
		w.run(time.Second)
		for i := range 3 {
			got := see(i)
			if len(got) != len(rules) || len(got) > 0 && got[0].Origins[0] != rules[0].Origins[0] {
				t.Errorf("round %d, node %d: %+v", round, i, got)
			}
		}
	}
	if err := set(0, old, rule("http://*.*")); !errors.Is(err, cors.ErrInvalid) {
		t.Errorf("two wildcards: %v", err)
	}
	if err := w.drop(0, "photos"); err != nil {
		t.Fatal(err)
	}
	if err := set(0, old, rule("e")); !errors.Is(err, bucket.ErrNoSuchBucket) {
		t.Errorf("of a bucket that is gone: %v", err)
	}
	if b, err := w.create(2, "photos", "you"); err != nil || len(b.Grants) != 1 || b.Grants[0].Key != "you" {
		t.Errorf("made anew: %+v, %v", b, err)
	}
	w.run(time.Second)
	if err := set(0, old, rule("f")); !errors.Is(err, bucket.ErrNoSuchBucket) {
		t.Errorf("of the bucket before: %v", err)
	}
	for i := range 3 {
		if got := see(i); len(got) != 0 {
			t.Errorf("made anew, node %d: %+v", i, got)
		}
	}
}

// TestUnknownBucketsAreRationed: unsigned requests about buckets that are not there cost the cluster few
// rounds.
func TestUnknownBucketsAreRationed(t *testing.T) {
	w := newTown(t, 10)
	denied, refused := 0, 0
	for _, err := range w.both(make([]int, 100), func(ctx context.Context, s *bucket.Store) error {
		_, err := s.CORS(ctx, "nowhere")
		return err
	}) {
		switch {
		case errors.Is(err, bucket.ErrNoSuchBucket):
			denied++
		case errors.Is(err, quorum.ErrUnavailable):
			refused++
		default:
			t.Error(err)
		}
	}
	if denied < 20 || denied > 25 || denied+refused != 100 {
		t.Errorf("%d confirmed, %d refused", denied, refused)
	}
}
