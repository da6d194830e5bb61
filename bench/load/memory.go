package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"

	"granary/bench/cluster"
	"granary/bench/report"
)

// idleMemory leaves the store alone for a while and reads each process's memory.
func (s *store) idleMemory(ctx context.Context, when string) error {
	fmt.Printf("%s: idle for %v\n", s.name, s.idle)
	select {
	case <-time.After(s.idle):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for _, n := range s.cluster.Nodes {
		u, err := n.Usage()
		if err != nil {
			return err
		}
		s.results.addFact(fmt.Sprintf("memory of %s (%s), %s and %v idle", n.Name, s.name, when, s.idle),
			"%s resident (%s without mapped files), %s at most", megabytes(u.RSS), megabytes(u.Anon),
			megabytes(u.Peak))
	}
	return nil
}

func megabytes(n int64) string { return fmt.Sprintf("%.0f MB", float64(n)/1e6) }

// uploadMemory lets 16 clients upload 64 MiB each at the same time, to processes that did nothing else
// before.
func (s *store) uploadMemory(ctx context.Context) error {
	err := s.parallel(16, func(w int, client *minio.Core) error {
		return s.put(ctx, client, fmt.Sprintf("uploads/%d", w), bigSize)
	})
	if err != nil {
		return err
	}
	for _, n := range s.cluster.Nodes {
		u, err := n.Usage()
		if err != nil {
			return err
		}
		s.results.addFact(fmt.Sprintf("memory of %s (%s), 16 uploads of 64 MiB at a time", n.Name, s.name),
			"%s at most (aim: less than 256 MB)", megabytes(u.Peak))
	}
	return nil
}

// startUp measures how long a start takes on an empty store, and on many rows after SIGKILL.
func (b *bench) startUp(ctx context.Context) (err error) {
	if !b.wanted("start-up") {
		return nil
	}
	o := cluster.Options{Binary: b.binary, Folder: filepath.Join(b.folder, "start")}
	c, _, err := cluster.Dev(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(), b.remove(o.Folder)) }()
	if err := c.Stop(ctx); err != nil {
		return err
	}
	took, err := c.Nodes[0].Restart(ctx)
	if err != nil {
		return err
	}
	b.results.addFact("start-up on an empty store", "%.0f ms", report.Millis(took))
	s := &store{bench: b, name: "start-up", cluster: c}
	if err := s.fill(ctx); err != nil {
		return err
	}
	if err := c.Nodes[0].Kill(ctx); err != nil {
		return err
	}
	if took, err = c.Nodes[0].Restart(ctx); err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(c.Nodes[0].Data, "metadata.db"))
	if err != nil {
		return err
	}
	b.results.addFact(fmt.Sprintf("start-up on %d rows after SIGKILL", b.batches*listPage),
		"%.0f ms (%s of metadata)",
		report.Millis(took), megabytes(info.Size()))
	u, err := c.Nodes[0].Usage()
	b.results.addFact("memory after that start", "%s resident (%s without mapped files)", megabytes(u.RSS),
		megabytes(u.Anon))
	return err
}

// fill makes rows quickly: each deletion of an absent key leaves a marker, and one request deletes 1,000.
func (s *store) fill(ctx context.Context) error {
	client, err := s.cluster.Client(0)
	if err != nil {
		return err
	}
	if err := client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err != nil {
		return err
	}
	s.clients = append(s.clients, client)
	var next atomic.Int64
	began := time.Now()
	err = s.parallel(4, func(_ int, client *minio.Core) error {
		for i := next.Add(1) - 1; i < int64(s.batches) && ctx.Err() == nil; i = next.Add(1) - 1 {
			if err := deleteBatch(ctx, client, i); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	rows := float64(s.batches * listPage)
	s.results.addFact("markers written by DeleteObjects", "%.0f a second", rows/time.Since(began).Seconds())
	return err
}

func deleteBatch(ctx context.Context, client *minio.Core, batch int64) error {
	objects := make(chan minio.ObjectInfo, listPage)
	for i := range listPage {
		objects <- minio.ObjectInfo{Key: fmt.Sprintf("row/%03d/%06d", i, batch)}
	}
	close(objects)
	for e := range client.RemoveObjects(ctx, bucket, objects, minio.RemoveObjectsOptions{}) {
		return fmt.Errorf("delete %s: %w", e.ObjectName, e.Err)
	}
	return nil
}
