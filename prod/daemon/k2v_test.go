package daemon

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"granary/core/api/k2v/client"
	"granary/core/api/k2v/k2vtest"
	"granary/core/auth"
	"granary/core/bucket"
)

// k2vClient returns a K2V client for a daemon.
func k2vClient(d *Daemon, name string, id, secret string) *client.Client {
	return &client.Client{HTTP: &http.Client{Timeout: 2 * patience}, Endpoint: d.K2VURL(), Bucket: name,
		Region: "us-east-1", Key: auth.KeyID(id), Secret: auth.Secret(secret), Now: time.Now}
}

// TestK2VStory tells the story of the endpoint over real HTTP. A client that polls is not cut as one that
// stalls.
func TestK2VStory(t *testing.T) {
	opts := options(t.TempDir())
	opts.Config.K2V.Listen = "127.0.0.1:0"
	opts.Config.S3.StallTimeout = 500 * time.Millisecond // shorter than the polls
	d := start(t, opts)
	ctx := context.Background()
	var keys [2]bucket.Key
	for i, name := range []string{"writer", "reader"} {
		var err error
		if keys[i], err = d.node.Buckets().CreateKey(ctx, name, false); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.node.Buckets().Create(ctx, "bucket", keys[0].ID); err != nil {
		t.Fatal(err)
	}
	_, err := d.node.Buckets().Change(ctx, "bucket", keys[1].ID, func(g *bucket.Grant) { g.Read = true })
	if err != nil {
		t.Fatal(err)
	}
	k2vtest.Run(t, k2vtest.World{Ctx: ctx,
		Client: k2vClient(d, "bucket", string(keys[0].ID), keys[0].Secret),
		Reader: k2vClient(d, "bucket", string(keys[1].ID), keys[1].Secret),
		Go: func(f func()) func() {
			var wg sync.WaitGroup
			wg.Go(f)
			return wg.Wait
		},
		Settle: func() {
			if err := d.node.Items().FlushIndex(ctx); err != nil {
				t.Error(err)
			}
		},
	})
	if n := d.node.Items().Waiting(); n != 0 {
		t.Errorf("%d polls still wait", n)
	}
}
