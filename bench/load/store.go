package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"

	"granary/bench/cluster"
	"granary/bench/content"
)

const bucket = "load"

// store is one store under measurement.
type store struct {
	*bench
	name    string
	cluster *cluster.Cluster
	clients []*minio.Core // one for each node
	values  atomic.Uint64
}

// sizes are the sizes of objects.
var sizes = []struct {
	name  string
	bytes int64
}{{"4 KiB", 4 << 10}, {"1 MiB", 1 << 20}, {"64 MiB", bigSize}}

const bigSize = 64 << 20

// counts are the numbers of clients at a time.
var counts = []int{1, 16}

// cell is one measurement.
type cell struct {
	op      string
	size    string
	bytes   int64 // that one operation moves
	clients int
	most    int // operations; 0 for as many as fit into the time
}

func (b *bench) wanted(text string) bool {
	return b.only == "" || strings.Contains(text, b.only) || strings.HasPrefix(b.only, text)
}

func (s *store) measureAll(ctx context.Context) error {
	for i := range s.cluster.Nodes {
		client, err := s.cluster.Client(i)
		if err != nil {
			return err
		}
		s.clients = append(s.clients, client)
	}
	if err := s.clients[0].MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err != nil {
		return err
	}
	if b := s.bench; b.only == "" {
		if err := errors.Join(s.idleMemory(ctx, "after start"), s.uploadMemory(ctx)); err != nil {
			return err
		}
	}
	for _, size := range sizes {
		if err := s.size(ctx, size.name, size.bytes); err != nil {
			return err
		}
	}
	if err := s.list(ctx); err != nil {
		return err
	}
	if s.only != "" {
		return nil
	}
	return s.idleMemory(ctx, "after all load")
}

// size measures PUT, GET and DELETE of one size.
func (s *store) size(ctx context.Context, name string, bytes int64) error {
	var keys []string
	most := 0
	if bytes == bigSize {
		most = s.bigOps
	}
	for _, n := range counts {
		var mu sync.Mutex
		err := s.measure(ctx, cell{"PUT", name, bytes, n, most}, func(i int, client *minio.Core) error {
			key := fmt.Sprintf("%s/%d/%07d", name, n, i)
			err := s.put(ctx, client, key, bytes)
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				keys = append(keys, key)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if len(keys) == 0 {
		if !s.wanted(s.name+" GET "+name) && !s.wanted(s.name+" DELETE "+name) {
			return nil
		}
		for i := range 20 {
			keys = append(keys, fmt.Sprintf("%s/%d", name, i))
			if err := s.put(ctx, s.clients[0], keys[i], bytes); err != nil {
				return err
			}
		}
	}
	for _, n := range counts {
		err := s.measure(ctx, cell{"GET", name, bytes, n, most}, func(i int, client *minio.Core) error {
			return s.get(ctx, client, keys[rand.IntN(len(keys))], bytes)
		})
		if err != nil {
			return err
		}
	}
	return s.deleteAll(ctx, name, keys)
}

func (s *store) put(ctx context.Context, client *minio.Core, key string, size int64) error {
	c := content.Content{ID: s.values.Add(1), Size: size}
	var body io.Reader = c.Reader()
	if size < bigSize {
		body = bytes.NewReader(c.Bytes())
	}
	_, err := client.PutObject(ctx, bucket, key, body, size, "", "",
		minio.PutObjectOptions{DisableContentSha256: s.unsigned})
	return err
}

func (s *store) get(ctx context.Context, client *minio.Core, key string, size int64) error {
	body, _, _, err := client.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, body)
	if err = errors.Join(err, body.Close()); err == nil && n != size {
		err = fmt.Errorf("GET %s: %d bytes, want %d", key, n, size)
	}
	return err
}

// deleteAll deletes the objects of one size, and copies of them if there are few.
func (s *store) deleteAll(ctx context.Context, name string, keys []string) error {
	if !s.wanted(s.name + " DELETE " + name) {
		return nil
	}
	for i := 0; len(keys) < len(counts)*s.deletes; i++ {
		to := fmt.Sprintf("%s/copy/%d", name, i)
		if _, err := s.clients[0].CopyObject(ctx, bucket, keys[0], bucket, to, nil, minio.CopySrcOptions{},
			minio.PutObjectOptions{}); err != nil {
			return fmt.Errorf("copy, to have more to delete: %w", err)
		}
		keys = append(keys, to)
	}
	for i, n := range counts {
		mine := keys[i*len(keys)/len(counts) : (i+1)*len(keys)/len(counts)]
		err := s.measure(ctx, cell{"DELETE", name, 0, n, len(mine)}, func(i int, client *minio.Core) error {
			return client.RemoveObject(ctx, bucket, mine[i], minio.RemoveObjectOptions{})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

const listPage = 1000

// list measures pages of a listing that begin anywhere.
func (s *store) list(ctx context.Context) error {
	if !s.wanted(s.name + " LIST") {
		return nil
	}
	var filled atomic.Int64
	err := s.parallel(16, func(_ int, client *minio.Core) error {
		for i := filled.Add(1) - 1; i < int64(s.listedKeys); i = filled.Add(1) - 1 {
			if err := s.put(ctx, client, listKey(int(i)), 4<<10); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, n := range counts {
		err := s.measure(ctx, cell{"LIST", "1,000 keys", 0, n, 0}, func(_ int, client *minio.Core) error {
			after := listKey(rand.IntN(s.listedKeys - listPage))
			page, err := client.ListObjectsV2(bucket, "list/", after, "", "", listPage)
			if err == nil && len(page.Contents) != listPage {
				err = fmt.Errorf("a page has %d keys, want %d", len(page.Contents), listPage)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func listKey(i int) string { return fmt.Sprintf("list/folder %02d/object %06d", i/500, i) }

// parallel runs f in n goroutines, each with the client of a node, in turn.
func (s *store) parallel(n int, f func(worker int, client *minio.Core) error) error {
	errs := make([]error, n)
	var wait sync.WaitGroup
	for w := range n {
		wait.Go(func() { errs[w] = f(w, s.clients[w%len(s.clients)]) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

// measure lets clients repeat f for the time of a cell; i counts from 0. It goes on after failures and
// reports them.
func (s *store) measure(ctx context.Context, c cell, f func(i int, client *minio.Core) error) error {
	if !s.wanted(s.name + " " + c.op + " " + c.size) {
		return nil
	}
	before, err := s.quiet(ctx)
	if err != nil {
		return err
	}
	var next atomic.Int64
	failed := failures{mu: new(sync.Mutex)}
	took := make([][]time.Duration, c.clients)
	began := time.Now()
	err = s.parallel(c.clients, func(w int, client *minio.Core) error {
		for ctx.Err() == nil && (c.op == "DELETE" || time.Since(began) < s.perCell) {
			i := int(next.Add(1)) - 1
			if c.most > 0 && i >= c.most {
				return nil
			}
			from := time.Now()
			if err := f(i, client); err != nil {
				failed.note(err)
				continue
			}
			took[w] = append(took[w], time.Since(from))
		}
		return ctx.Err()
	})
	elapsed := time.Since(began)
	if err != nil {
		return err
	}
	after, err := s.quiet(ctx)
	if err != nil {
		return err
	}
	all := slices.Sorted(slices.Values(slices.Concat(took...)))
	if len(all) == 0 {
		return fmt.Errorf("%s %s with %d clients: nothing succeeded: %w", c.op, c.size, c.clients,
			failed.first)
	}
	s.results.addRow(row{store: s.name, cell: c, ops: len(all), failures: failed, cpu: after.CPU - before.CPU,
		elapsed: elapsed, p50: all[len(all)/2], p99: all[len(all)*99/100]})
	return nil
}

// failures counts operations that failed, and keeps the first reason. It may be used by many goroutines.
type failures struct {
	mu    *sync.Mutex
	count int
	first error
}

func (f *failures) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count++; f.first == nil {
		f.first = err
	}
}

// quiet waits until the servers have finished what goes on behind answers, and returns what they have used.
func (s *store) quiet(ctx context.Context) (cluster.Usage, error) {
	select {
	case <-time.After(s.settle):
		return s.cluster.Usage()
	case <-ctx.Done():
		return cluster.Usage{}, context.Cause(ctx)
	}
}
