package world

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"syscall"
	"testing"
	"time"

	"granary/core/auth"
	"granary/core/bucket"
	"granary/core/node"
	"granary/core/rt"
	"granary/netsim"
)

// cpuTime is what this process has used, which another program on the machine does not change.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchClient makes signed requests of any node of a world, from a task outside the cluster.
type benchClient struct {
	w   *World
	key bucket.Key
}

// do makes one request, which must be answered with a status below 300.
func (c *benchClient) do(ctx context.Context, at int, method, path string, body []byte) error {
	env, handler, up := c.w.Serve(at)
	if !up {
		return fmt.Errorf("node %d is down", at)
	}
	h := http.Header{}
	req := &http.Request{Method: method, URL: &url.URL{Path: path}, Host: "sim", Header: h, RequestURI: path,
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body))}
	signer := auth.Signer{Key: auth.KeyID(c.key.ID), Secret: auth.Secret(c.key.Secret), Region: "sim",
		Service: "s3"}
	_, err := signer.Sign(&auth.Request{Method: method, Path: path, Host: "sim", Header: h,
		ContentLength: req.ContentLength}, c.w.Env.Wall(), auth.PayloadHash(auth.Unsigned, [32]byte{}))
	if err != nil {
		return err
	}
	rec := httptest.NewRecorder()
	done := rt.NewFuture[struct{}](c.w.Env)
	env.Go("http", func() {
		handler.ServeHTTP(rec, req.WithContext(env.Background()))
		done.Set(struct{}{}, nil)
	})
	if _, err := done.Get(ctx); err != nil {
		return err
	}
	if rec.Code >= 300 {
		return fmt.Errorf("%s %s: %d: %s", method, path, rec.Code, rec.Body)
	}
	return nil
}

// benchWorld is a formed cluster with a bucket.
func benchWorld(b *testing.B, preset string) *benchClient {
	topology, err := netsim.Preset(preset)
	if err != nil {
		b.Fatal(err)
	}
	w, err := New(Default(1, topology))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(w.Close)
	if err := w.Form(); err != nil {
		b.Fatal(err)
	}
	c := &benchClient{w: w}
	err = w.Do(time.Minute, func(ctx context.Context) error {
		err := w.On(ctx, w.Machines[0], func(ctx context.Context, n *node.Node) (err error) {
			c.key, err = n.Buckets().CreateKey(ctx, "bench", true)
			return err
		})
		if err != nil {
			return err
		}
		return c.do(ctx, 0, http.MethodPut, "/bucket", nil)
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := w.Sched.Run(time.Second); err != nil {
		b.Fatal(err)
	}
	return c
}

// BenchmarkQuorum runs quorum operations, half of them writes and half reads of objects of 1 KiB, each one
// round over S3, signature included, by 16 clients in simulated clusters. It reports events and quorum
// operations per second of CPU.
func BenchmarkQuorum(b *testing.B) {
	for _, preset := range []string{"lan", "3dc-100ms"} {
		b.Run(preset, func(b *testing.B) {
			c := benchWorld(b, preset)
			content := bytes.Repeat([]byte("k"), 1<<10)
			events, used, virtual := c.w.Sched.EventCount(), cpuTime(b), c.w.Sched.Now()
			b.ResetTimer()
			if err := c.w.Do(24*time.Hour, func(ctx context.Context) error {
				return c.load(ctx, b.N,
					content)
			}); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			cpu := (cpuTime(b) - used).Seconds()
			b.ReportMetric(float64(c.w.Sched.EventCount()-events)/cpu, "events/cpu-s")
			b.ReportMetric(float64(b.N)/cpu, "quorum-ops/cpu-s")
			b.ReportMetric((c.w.Sched.Now()-virtual).Seconds()/cpu, "virtual-s/cpu-s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// load makes n requests by clients that each wait for their answers.
func (c *benchClient) load(ctx context.Context, n int, content []byte) error {
	const clients = 16
	results := make([]*rt.Future[struct{}], clients)
	for i := range results {
		result := rt.NewFuture[struct{}](c.w.Env)
		results[i] = result
		c.w.Env.Go("client", func() {
			var err error
			for op := i; op < n && err == nil; op += clients {
				at, path := op%len(c.w.Machines), fmt.Sprintf("/bucket/key %d", (op/clients/2)%100*clients+i)
				if op/clients%2 == 0 {
					err = c.do(ctx, at, http.MethodPut, path, content)
				} else {
					err = c.do(ctx, at, http.MethodGet, path, nil)
				}
			}
			result.Set(struct{}{}, err)
		})
	}
	for _, result := range results {
		if _, err := result.Get(ctx); err != nil {
			return err
		}
	}
	return nil
}
