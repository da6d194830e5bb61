package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/minio/minio-go/v7"

	"granary/bench/cluster"
	"granary/bench/content"
)

// joinStory makes a cluster of three sites by three commands, and looks at what it says on the way.
func joinStory(ctx context.Context, s *scene) {
	s.chapter("Three machines: granary init, granary join, granary join")
	opts := cluster.Options{Binary: s.binary, Folder: filepath.Join(s.folder, "join")}
	var c *cluster.Cluster
	if !s.step("granary init prints join tokens and waits", func() (err error) {
		c, err = cluster.Found(ctx, opts, 3)
		return err
	}) {
		return
	}
	defer c.Close()
	ok := s.step("S3 answers 503 and says: 2 more nodes needed",
		func() error { return waits(ctx, c, "2 more nodes needed") }) &&
		s.step("one machine joins, and 1 more node is needed", func() error {
			if err := c.Grow(ctx, opts); err != nil {
				return err
			}
			return waits(ctx, c, "1 more node needed")
		}) &&
		s.step("another joins, and all three serve by themselves", func() error {
			if err := c.Grow(ctx, opts); err != nil {
				return err
			}
			return c.MakeKey(ctx)
		}) &&
		s.step("a token cannot be used twice", func() error { return usedToken(ctx, c, opts) })
	if ok {
		s.step("what is put through one is read through the others", func() error { return across(ctx, c) })
	}
	s.step("SIGTERM ends all three cleanly", func() error { return c.Stop(ctx) })
	if ok {
		s.step("and they come back, by granary server, with what they held",
			func() error { return comeBack(ctx, c) })
	}
}

// waits asks S3 of every node, which must say in a 503 what is missing.
func waits(ctx context.Context, c *cluster.Cluster, what string) error {
	for i, n := range c.Nodes {
		client, err := c.Client(i)
		if err != nil {
			return err
		}
		_, err = client.ListBuckets(ctx)
		e := minio.ToErrorResponse(err)
		if e.StatusCode != 503 || !strings.Contains(e.Message, what) {
			return fmt.Errorf("%s answers %d %s: %q, want 503 and %q (%w)", n.Name, e.StatusCode, e.Code,
				e.Message, what, err)
		}
	}
	return nil
}

// usedToken lets a fourth node try the first token again.
func usedToken(ctx context.Context, c *cluster.Cluster, o cluster.Options) error {
	token, err := c.Token(ctx, 0)
	if err != nil {
		return err
	}
	o.Folder = filepath.Join(o.Folder, "intruder")
	out, err := cluster.Outsider(ctx, o, "join", token, "--zone", "zone4")
	if err == nil || !strings.Contains(err.Error(), "token") {
		return fmt.Errorf("a used token was not refused: %q, %w", out, err)
	}
	return nil
}

const acrossBucket = "across"

// across puts through each node and reads through all.
func across(ctx context.Context, c *cluster.Cluster) error {
	clients, err := allClients(c)
	if err != nil {
		return err
	}
	if err := clients[0].MakeBucket(ctx, acrossBucket, minio.MakeBucketOptions{}); err != nil {
		return err
	}
	for i, client := range clients {
		for j, size := range []int64{100, 5000, 3 << 20} {
			v := content.Content{ID: uint64(10*i + j), Size: size}
			key := fmt.Sprint(v.ID)
			if _, err := client.PutObject(ctx, acrossBucket, key, v.Reader(), size, "", "",
				minio.PutObjectOptions{}); err != nil {
				return fmt.Errorf("PUT through %s: %w", c.Nodes[i].Name, err)
			}
			for k, reader := range clients {
				if err := expect(ctx, reader, acrossBucket, key, v); err != nil {
					return fmt.Errorf("through %s, after a PUT through %s: %w", c.Nodes[k].Name,
						c.Nodes[i].Name, err)
				}
			}
		}
	}
	return nil
}

func allClients(c *cluster.Cluster) ([]*minio.Core, error) {
	var clients []*minio.Core
	for i := range c.Nodes {
		client, err := c.Client(i)
		if err != nil {
			return nil, err
		}
		clients = append(clients, client)
	}
	return clients, nil
}

// comeBack starts all nodes again and reads.
func comeBack(ctx context.Context, c *cluster.Cluster) error {
	for _, n := range c.Nodes {
		if _, err := n.Restart(ctx); err != nil {
			return err
		}
	}
	clients, err := allClients(c)
	if err != nil {
		return err
	}
	return expect(ctx, clients[1], acrossBucket, "2", content.Content{ID: 2, Size: 3 << 20})
}
