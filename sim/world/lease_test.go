package world

import (
	"context"
	"testing"
	"time"

	"granary/core/bucket"
	"granary/core/table"
)

// cutOffThief revokes a key while A is cut off from the others, and returns what A answers to the key at
// once, when its lease is over, and when it is back. The lists of buckets cost no round trip: nothing else
// stands between the key and its answer.
func cutOffThief(t *testing.T, mutants ...string) (soon, later, back int) {
	t.Helper()
	w, c := newBucket(t, 1, mutants...)
	a, b := w.Machines[0], w.Machines[1]
	thief := &client{t: t, w: w}
	c.ok(w.manage(b, func(ctx context.Context, s *bucket.Store) (err error) {
		if thief.key, err = s.CreateKey(ctx, "thief", false); err == nil {
			_, err = s.Change(ctx, "photos", thief.key.ID, func(g *bucket.Grant) { g.Read = true })
		}
		return err
	}))
	w.mustRun(t, 5*time.Second)
	c.ok(w.Net.Model().Isolate(a.Name))
	c.ok(w.manage(b, func(ctx context.Context, s *bucket.Store) error {
		return s.DeleteKey(ctx, thief.key.ID)
	}))
	deleted := w.Sched.Now()
	if got := thief.from(1).do("GET", "/", nil).Code; got != 403 {
		t.Errorf("where it was deleted: %d, want 403", got)
	}
	soon = thief.from(0).do("GET", "/", nil).Code
	w.mustRun(t, deleted+table.LeaseFor-w.Sched.Now())
	later = thief.from(0).do("GET", "/", nil).Code
	c.ok(w.Net.Model().Rejoin(a.Name))
	w.mustRun(t, 30*time.Second)
	return soon, later, thief.from(0).do("GET", "/", nil).Code
}

// A revoked key is honoured nowhere for longer than a lease lasts: a node that is cut off refuses to answer
// for keys and buckets after that, until it hears from the others.
func TestRevocationReachesTheCutOff(t *testing.T) {
	soon, later, back := cutOffThief(t)
	if soon != 200 || later != 503 || back != 403 {
		t.Errorf("at once %d, want 200; after the lease %d, want 503; back again %d, want 403", soon, later,
			back)
	}
	if _, later, _ = cutOffThief(t, "full-copy lease: for ever"); later != 200 {
		t.Errorf("with a lease for ever: %d after the lease; nobody would notice", later)
	}
}
