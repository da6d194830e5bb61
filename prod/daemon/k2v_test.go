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
	"granary/core/cors"
	"granary/core/layout"
)

// trio starts a cluster of three daemons that serve K2V and store everything three times. S3.StallTimeout is
// shorter than the polls of the story.
func trio(t *testing.T) (ds [3]*Daemon) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for i := range ds {
		opts := options(t.TempDir())
		opts.Dev, opts.Config.Peers.Listen, opts.Config.K2V.Listen = false, "127.0.0.1:0", "127.0.0.1:0"
		opts.Config.S3.StallTimeout = 500 * time.Millisecond
		ds[i] = start(t, opts)
		role := layout.Role{Node: ds[i].env.Self(), Zone: layout.ZoneName("abc"[i : i+1]), Capacity: 1 << 40}
		c := ds[i].node.Cluster()
		if i == 0 {
			if err := c.Found(ctx, layout.DefaultParams(), role); err != nil {
				t.Fatal(err)
			}
			continue
		}
		token, err := ds[0].node.Cluster().NewToken(ctx)
		if err == nil {
			err = c.JoinWith(ctx, token, role)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range ds {
		for d.node.Ready() != nil {
			if d.env.Sleep(ctx, 10*time.Millisecond) != nil {
				t.Fatal(d.node.Ready())
			}
		}
	}
	return ds
}

// TestK2VStory tells the story of the endpoint over real HTTP. A client that polls is not cut as one that
// stalls.
func TestK2VStory(t *testing.T) {
	ds := trio(t)
	d, ctx := ds[0], context.Background()
	buckets := d.node.Buckets()
	owner, err := buckets.CreateKey(ctx, "owner", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := buckets.Create(ctx, "bucket", owner.ID); err != nil {
		t.Fatal(err)
	}
	reader, writer, err := k2vtest.Keys(ctx, buckets)
	if err != nil {
		t.Fatal(err)
	}
	as := func(k bucket.Key) *client.Client {
		return &client.Client{HTTP: &http.Client{Timeout: 2 * patience}, Endpoint: d.K2VURL(),
			Bucket: "bucket", Region: "us-east-1", Key: auth.KeyID(k.ID), Secret: auth.Secret(k.Secret),
			Now: time.Now}
	}
	k2vtest.Run(t, k2vtest.World{Ctx: ctx, Client: as(owner), Reader: as(reader), Writer: as(writer),
		Go: func(f func()) func() {
			var wg sync.WaitGroup
			wg.Go(f)
			return wg.Wait
		},
		Settle: func() {
			for _, d := range ds {
				if err := d.node.Items().FlushIndex(ctx); err != nil {
					t.Error(err)
				}
			}
		},
		SetCORS: func(rules cors.Rules) error { return k2vtest.SetCORS(ctx, buckets, rules) },
		CutOff: func() {
			for _, d := range ds[1:] {
				d.StopNow()
			}
		},
	})
	if n := d.node.Items().Waiting(); n != 0 {
		t.Errorf("%d polls still wait", n)
	}
}
