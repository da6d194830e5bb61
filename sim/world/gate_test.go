package world

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"granary/core/bucket"
	"granary/core/k2v"
	"granary/core/node"
	"granary/core/object"
	"granary/core/quorum"
	"granary/core/rt"
)

// plain is a body without checksums.
type plain struct{ io.Reader }

func (plain) Sums() (object.Sums, error) { return object.Sums{ETag: "etag"}, nil }

func putPlain(ctx context.Context, n *node.Node, b bucket.BucketID) error {
	data := []byte("content")
	_, err := n.Objects().Put(ctx, b, "key", nil, int64(len(data)), plain{bytes.NewReader(data)})
	return err
}

func insertPlain(ctx context.Context, n *node.Node, b bucket.BucketID) error {
	_, err := n.Items().Insert(ctx, k2v.Write{Key: k2v.Key{Bucket: b, PK: "pk", SK: "sk"},
		Value: k2v.Value{Bytes: []byte("content")}})
	return err
}

// gateWorld is a world of three zones at 100 ms.
func gateWorld(t *testing.T, mutants ...string) *World {
	t.Helper()
	w, err := formed(t, Default(7, preset(t, "3dc-100ms-flat")), mutants...)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *World) makeBucket(t *testing.T, name string) (b bucket.Bucket) {
	t.Helper()
	if _, err := w.MakeBucket(name); err != nil {
		t.Fatal(err)
	}
	return w.bucketOf(t, name)
}

// bucketOf is the bucket of a name.
func (w *World) bucketOf(t *testing.T, name string) (b bucket.Bucket) {
	t.Helper()
	err := w.Do(time.Minute, func(ctx context.Context) error {
		return w.On(ctx, w.Machines[0], func(ctx context.Context, n *node.Node) (err error) {
			b, err = n.Buckets().ByName(ctx, name)
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// gateRace deletes a bucket at one node and writes into it at another, so much later, and returns how both
// ended.
func gateRace(t *testing.T, w *World, b bucket.Bucket, later time.Duration,
	write func(context.Context, *node.Node, bucket.BucketID) error) (deleted, put error) {
	t.Helper()
	err := w.Do(time.Minute, func(ctx context.Context) error {
		g := rt.NewGroup(w.Env, ctx)
		g.Go("delete", func(ctx context.Context) error {
			deleted = w.On(ctx, w.Machines[1], func(ctx context.Context, n *node.Node) error {
				return n.Buckets().Delete(ctx, b)
			})
			return nil
		})
		g.Go("put", func(ctx context.Context) error {
			if err := w.Env.Sleep(ctx, later); err != nil {
				return err
			}
			put = w.On(ctx, w.Machines[0], func(ctx context.Context, n *node.Node) error {
				return write(ctx, n, b.ID)
			})
			return nil
		})
		return g.Wait()
	})
	if err != nil {
		t.Fatal(err)
	}
	return deleted, put
}

// gateWrites are the ways to write into a bucket.
var gateWrites = map[string]func(context.Context, *node.Node, bucket.BucketID) error{
	"object": putPlain, "item": insertPlain}

// gateRaces runs races at all moments of a deletion, and returns those in which both claim to have won.
func gateRaces(t *testing.T, w *World, what string, write func(context.Context, *node.Node,
	bucket.BucketID) error) (both []time.Duration, refused, full int) {
	t.Helper()
	for later := time.Duration(0); later < 700*time.Millisecond; later += 35 * time.Millisecond {
		b := w.makeBucket(t, fmt.Sprintf("race-%s-%d", what, later.Milliseconds()))
		deleted, put := gateRace(t, w, b, later, write)
		switch {
		case deleted == nil && put == nil:
			both = append(both, later)
		case errors.Is(put, bucket.ErrClosed) || deleted == nil && errors.Is(put, quorum.ErrUnknown):
			refused++
		case errors.Is(deleted, bucket.ErrBucketNotEmpty):
			full++
		default:
			t.Errorf("%v: deletion %v, put %v", later, deleted, put)
		}
	}
	return both, refused, full
}

// TestGate: whenever a PUT meets the deletion of its bucket, one of them fails; a bucket that
// was not deleted takes writes again, and the name of one that was is free.
func TestGate(t *testing.T) {
	w := gateWorld(t)
	for what, write := range gateWrites {
		both, refused, full := gateRaces(t, w, what, write)
		if len(both) > 0 {
			t.Errorf("an acknowledged %s went with its bucket, written %v after the deletion", what, both)
		}
		if refused == 0 || full == 0 {
			t.Errorf("%s: %d writes met a shut gate, %d deletions a full bucket: want some of each", what,
				refused, full)
		}
	}
	b := w.makeBucket(t, "kept")
	deleted, put := gateRace(t, w, b, 0, putPlain)
	if !errors.Is(deleted, bucket.ErrBucketNotEmpty) || put != nil {
		t.Fatalf("deletion %v, put %v", deleted, put)
	}
	err := w.Do(time.Minute, func(ctx context.Context) error {
		return w.On(ctx, w.Machines[2], func(ctx context.Context, n *node.Node) error {
			return putPlain(ctx, n, b.ID)
		})
	})
	if err != nil {
		t.Errorf("put after the gate was opened again: %v", err)
	}
	gone := w.makeBucket(t, "again")
	deleted, put = gateRace(t, w, gone, time.Second, putPlain)
	if deleted != nil || !errors.Is(put, bucket.ErrClosed) {
		t.Errorf("deletion %v, put into a deleted bucket: %v", deleted, put)
	}
	if again := w.makeBucket(t, "again"); again.ID == gone.ID {
		t.Error("a new bucket is the old one")
	}
}

// noGate breaks the gate: some write is acknowledged and lost.
func noGate(t *testing.T) {
	w := gateWorld(t, "bucket: no gate")
	for what, write := range gateWrites {
		both, _, _ := gateRaces(t, w, what, write)
		if len(both) == 0 {
			t.Errorf("%s: nobody notices", what)
			continue
		}
		t.Logf("found by its story: an acknowledged %s is gone with its bucket", what)
	}
}

// TestGateLeftShut: the gate of a bucket whose deletion was cut off by a crash opens again.
func TestGateLeftShut(t *testing.T) {
	w := gateWorld(t)
	b := w.makeBucket(t, "bucket")
	m := w.Machines[1]
	err := w.Do(time.Minute, func(ctx context.Context) error {
		m.Env.Go("delete", func() { _ = m.Node.Buckets().Delete(m.Env.Background(), b) })
		if err := w.Env.Sleep(ctx, 380*time.Millisecond); err != nil {
			return err
		}
		w.Crash(m)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	try := func() error {
		return w.Do(time.Minute, func(ctx context.Context) error {
			return w.On(ctx, w.Machines[0], func(ctx context.Context, n *node.Node) error {
				return putPlain(ctx, n, b.ID)
			})
		})
	}
	if err := try(); !errors.Is(err, bucket.ErrClosed) {
		t.Fatalf("put while the gate is shut: %v", err)
	}
	if err := w.Sched.Run(6 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := try(); err != nil {
		t.Errorf("put after some minutes: %v", err)
	}
}
