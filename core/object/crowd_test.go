package object

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"granary/core/rt"
)

// TestCrowd: more requests than there is memory for, all of known content, so that every replica verifies
// what it has while it holds what arrived, with copies that pass through the nodes among them. All of them
// end well (invariants 1 to 4 of core/block), and one replica that has gone silent does not stop the others.
func TestCrowd(t *testing.T) {
	for _, silent := range []bool{false, true} {
		c := newTestCluster(t, 31, 0)
		data := content(3, 50*kib)
		c.nodes[0].must(func(ctx context.Context, s *Store) error {
			_,
				err := put(ctx, s, "src", data)
			return err
		})
		c.run(time.Second)
		nodes := c.nodes
		if silent {
			nodes = nodes[:2]
			if err := c.model.Isolate(c.nodes[2].name); err != nil {
				t.Fatal(err)
			}
		}
		start, left := c.s.Now(), 0
		for _, n := range nodes {
			g := rt.NewGroup(n.env, n.env.Background())
			for i := range 60 {
				left++
				g.Go("request", func(ctx context.Context) error {
					if err := request(ctx, n.store, i, fmt.Sprint(n.name, i), data); err != nil {
						t.Errorf("%s, request %d: %v", n.name, i, err)
					}
					left--
					return nil
				})
			}
		}
		if err := c.s.RunUntil(time.Hour, func() bool { return left == 0 }); err != nil {
			t.Fatal(err)
		}
		if took := c.s.Now() - start; took > time.Minute {
			t.Errorf("silent %v: it took %v", silent, took)
		}
		c.model.Clear()
		c.quiet()
	}
}

// request makes one of several kinds of requests.
func request(ctx context.Context, s *Store, i int, name string, data []byte) error {
	src := CopySource{Bucket: testBucket, Key: "src", Check: func(Info) error { return nil }}
	switch i % 4 {
	case 0, 1:
		_, err := put(ctx, s, Key(name), data)
		return err
	case 2:
		got, err := get(ctx, s, "src")
		if err == nil && !bytes.Equal(got, data) {
			err = fmt.Errorf("%d bytes that differ", len(got))
		}
		return err
	}
	src.Body = func(r io.Reader) Body { return &tagged{Reader: r} }
	_, err := s.Copy(ctx, testBucket, Key(name), src, nil)
	return err
}
