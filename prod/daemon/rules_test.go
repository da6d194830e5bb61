package daemon

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"granary/core/rt"
	"granary/prod/config"
)

// Tests of the rules that keep data, design §6, as far as the daemon keeps them. Each is a function that
// says how the rule is broken, and is run once more where it must say so.

// readOnly says why a store is not one that takes no data and does all else.
func readOnly(t *testing.T, d *Daemon, keys []string) error {
	ctx, c := context.Background(), s3Client(t, d)
	for _, size := range []int{100, 1 << 20} {
		content := make([]byte, size)
		rand.Read(content) // a block that is there already takes no space
		_, err := c.PutObject(ctx, DevBucket, "new", bytes.NewReader(content), int64(size),
			minio.PutObjectOptions{})
		var refused minio.ErrorResponse
		if !errors.As(err, &refused) || refused.Code != "InsufficientStorage" ||
			!strings.Contains(refused.Message, "disk full") {
			return fmt.Errorf("an object of %d bytes: %w", size, err)
		}
	}
	code, text := get(t, overSocket(d), "http://x/v1/status")
	if code != 200 || !strings.Contains(text, "the disk is full") ||
		!strings.Contains(text, "small objects and items are refused") {
		return fmt.Errorf("status does not tell the cause: %s", text)
	}
	for _, key := range keys {
		if _, err := c.StatObject(ctx, DevBucket, key, minio.StatObjectOptions{}); err != nil {
			return fmt.Errorf("reads: %w", err)
		}
		if err := c.RemoveObject(ctx, DevBucket, key, minio.RemoveObjectOptions{}); err != nil {
			return fmt.Errorf("deletions: %w", err)
		}
	}
	for o := range c.ListObjects(ctx, DevBucket, minio.ListObjectsOptions{}) {
		if o.Err != nil || slices.Contains(keys, o.Key) {
			return fmt.Errorf("still listed: %s, %w", o.Key, o.Err)
		}
	}
	return c.MakeBucket(ctx, "other", minio.MakeBucketOptions{})
}

// TestRule09: a full disk turns the node read-only for data with a clear cause; deletes and metadata still
// work from a reserve.
func TestRule09(t *testing.T) {
	opts := options(filepath.Join(t.TempDir(), "data"))
	keys := []string{"small", "large"}
	for round, reserve := range []config.Size{0, 1 << 60} {
		opts.Config.Data.Reserve = reserve
		d := start(t, opts)
		if round == 0 {
			for i, key := range keys {
				size := 100 + i<<20
				if _, err := s3Client(t, d).PutObject(context.Background(), DevBucket, key,
					strings.NewReader(strings.Repeat(key[:1], size)), int64(size),
					minio.PutObjectOptions{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		switch err := readOnly(t, d, keys); {
		case round == 0 && err == nil:
			t.Error("with room on the disk the test finds nothing wrong: it cannot fail")
		case round == 1 && err != nil:
			t.Error(err)
		}
		if err := d.StopNow(); err != nil {
			t.Fatal(err)
		}
	}
}

// survives says why panics are not kept to what panicked: of a request to the request, of a worker to one run
// of it. work starts a worker of a group.
func survives(t *testing.T, d *Daemon,
	work func(g *rt.Group, name string, f func(context.Context) error)) error {
	t.Helper()
	panics := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("in a request") })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := server(d.env, d.log, "S3", panics, d.opts.Config.S3, &d.conns)
	go s.Serve(l)
	defer s.Close()
	for range 2 { // the second finds the server alive
		if resp, err := http.Get("http://" + l.Addr().String()); err == nil {
			resp.Body.Close()
			return fmt.Errorf("a request that panicked was answered %s", resp.Status)
		} else if !errors.Is(err, io.EOF) {
			return fmt.Errorf("a request that panicked: %w", err)
		}
	}
	runs := 0
	g := rt.NewGroup(d.env, d.env.Background())
	work(g, "worker", func(context.Context) error {
		if runs++; runs < 3 {
			panic("in a worker")
		}
		return nil
	})
	if err := g.Wait(); err != nil || runs != 3 {
		return fmt.Errorf("the worker ran %d times and ended with %w", runs, err)
	}
	_, text := get(t, overSocket(d), "http://x/metrics")
	for _, want := range []string{`granary_panics_total{task="worker"} 2`,
		`granary_worker_restarts_total{task="worker"} 2`} {
		if !strings.Contains(text, want) {
			return fmt.Errorf("the metrics lack %s", want)
		}
	}
	return nil
}

// TestRule12: a panic in a request kills the request, in a worker restarts the worker with back-off and is
// counted; a broken invariant stops the node.
func TestRule12(t *testing.T) {
	codes := make(chan int, 9)
	opts := options(filepath.Join(t.TempDir(), "data"))
	opts.Exit = func(code int) {
		codes <- code
		runtime.Goexit() // the process would be gone
	}
	d := start(t, opts)
	if err := survives(t, d, (*rt.Group).Go); err == nil {
		t.Error("a worker that is not kept passes: the test cannot fail")
	}
	d.StopNow()
	d = start(t, opts)
	if err := survives(t, d, (*rt.Group).Keep); err != nil {
		t.Error(err)
	}
	g := rt.NewGroup(d.env, d.env.Background())
	g.Go("task", func(context.Context) error { panic("a mere panic") })
	if err := g.Wait(); err == nil || len(codes) > 0 {
		t.Errorf("a mere panic: %v, and %d ends of the process", err, len(codes))
	}
	g.Go("task", func(context.Context) error { rt.Break("numbers: %d", 42); return nil })
	select {
	case code := <-codes:
		if code != ExitBroken {
			t.Errorf("exit %d", code)
		}
	case <-time.After(patience):
		t.Error("the node lives on with a broken invariant")
	}
}
