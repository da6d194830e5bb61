// Package micro holds benchmarks of the production node inside the benchmark's own process, for profiles: the
// numbers hold client and server together.
package micro

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"granary/core/auth"
	"granary/prod/config"
	"granary/prod/daemon"
)

type devStore struct {
	d      *daemon.Daemon
	client *http.Client
	signer auth.Signer
	base   string
}

func startDev(b *testing.B) *devStore {
	b.Helper()
	c := config.Default()
	c.Data.Folder = b.TempDir()
	c.S3.Listen = "127.0.0.1:0"
	c.Log.Level = "error"
	d, err := daemon.Start(context.Background(), daemon.Options{Config: c, Dev: true, Log: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := d.Stop(ctx); err != nil {
			b.Error(err)
		}
	})
	key := d.Dev()
	return &devStore{d: d, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
		base: d.S3URL(), signer: auth.Signer{Key: auth.KeyID(key.KeyID), Secret: auth.Secret(key.Secret),
			Region: c.S3.Region, Service: "s3"}}
}

func (s *devStore) do(b *testing.B, method, path string, body []byte) {
	req, err := http.NewRequest(method, s.base+path, bytes.NewReader(body))
	if err != nil {
		b.Error(err)
		return
	}
	_, err = s.signer.Sign(&auth.Request{Method: method, Path: req.URL.EscapedPath(), Query: req.URL.RawQuery,
		Host: req.URL.Host, Header: req.Header, ContentLength: req.ContentLength}, time.Now(),
		auth.PayloadHash(auth.Unsigned, [32]byte{}))
	if err != nil {
		b.Error(err)
		return
	}
	resp, err := s.client.Do(req)
	if err != nil {
		b.Error(err)
		return
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		b.Errorf("%s %s: %s, %d bytes, %v", method, path, resp.Status, n, err)
	}
}

func BenchmarkDev(b *testing.B) {
	s := startDev(b)
	for _, size := range []int{4 << 10, 1 << 20} {
		body := bytes.Repeat([]byte("granary!"), size/8)
		for _, clients := range []int{1, 16} {
			b.Run(fmt.Sprintf("PUT/%d/clients=%d", size, clients), func(b *testing.B) {
				b.SetParallelism(max(clients/2, 1))
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for i := 0; pb.Next(); i++ {
						s.do(b, "PUT", fmt.Sprintf("/demo/object-%d-%d", size, i%100), body)
					}
				})
			})
			b.Run(fmt.Sprintf("GET/%d/clients=%d", size, clients), func(b *testing.B) {
				b.SetParallelism(max(clients/2, 1))
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						s.do(b, "GET", fmt.Sprintf("/demo/object-%d-0", size), nil)
					}
				})
			})
		}
	}
}
