package world

import (
	"context"
	"flag"
	"os"
	"testing"
	"time"

	k2v "granary/core/api/k2v/client"
	"granary/core/api/k2v/k2vtest"
	"granary/core/auth"
	"granary/core/bucket"
	"granary/core/node"
	"granary/core/rt"
)

var update = flag.Bool("update", false, "rewrite the story of the K2V endpoint")

// k2vClient returns a client of machine i.
func k2vClient(w *World, i int, key bucket.Key) *k2v.Client {
	return &k2v.Client{HTTP: w.K2VDoer(i), Endpoint: "http://sim", Bucket: "bucket", Region: Region,
		Key: auth.KeyID(key.ID), Secret: auth.Secret(key.Secret), Now: w.Env.Wall}
}

func TestK2VStory(t *testing.T) {
	w, c := flatWorld(t, 7)
	key, err := w.MakeBucket("bucket")
	if err != nil {
		t.Fatal(err)
	}
	var reader bucket.Key
	err = w.Do(time.Minute, func(ctx context.Context) error {
		return w.On(ctx, w.Machines[0], func(ctx context.Context, n *node.Node) (err error) {
			if reader, err = n.Buckets().CreateKey(ctx, "reader", false); err != nil {
				return err
			}
			_, err = n.Buckets().Change(ctx, "bucket", reader.ID, func(g *bucket.Grant) { g.Read = true })
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	story := ""
	err = w.Do(time.Hour, func(ctx context.Context) error {
		story = k2vtest.Run(t, k2vtest.World{
			Client: k2vClient(w, 0, key), Reader: k2vClient(w, 0, reader),
			Go: func(f func()) func() {
				done := rt.NewFuture[struct{}](w.Env)
				w.Env.Go("beside", func() { f(); done.Set(struct{}{}, nil) })
				return func() { done.Get(w.Env.Background()) }
			},
			Settle: func() { w.Env.Sleep(w.Env.Background(), 5*time.Second) },
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = c
	if *update {
		if err := os.WriteFile("../../core/api/k2v/k2vtest/testdata/answers.txt", []byte(story), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
