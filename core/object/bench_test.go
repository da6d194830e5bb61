package object

import (
	"bytes"
	"context"
	"fmt"
	"testing"
)

// BenchmarkPut and BenchmarkGet measure the work of all three nodes of a simulated cluster, and of the
// simulator, for one operation at the store's interface.
func BenchmarkPut(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(sizeName(size), func(b *testing.B) {
			c := newTestCluster(b, 2, 0)
			data := content(1, size)
			loop(b, c.nodes[0], size, func(ctx context.Context, s *Store, i int) error {
				data[0], data[1], data[2] = byte(i), byte(i>>8), byte(i>>16)
				_, err := s.Put(ctx, testBucket, Key(fmt.Sprint("object", i%1000)), nil, int64(size),
					newBody(data))
				return err
			})
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(sizeName(size), func(b *testing.B) {
			c := newTestCluster(b, 2, 0)
			data := content(1, size)
			n := c.nodes[0]
			n.must(func(ctx context.Context, s *Store) error { _, err := put(ctx, s, "k", data); return err })
			loop(b, n, size, func(ctx context.Context, s *Store, _ int) error {
				o, err := s.Get(ctx, testBucket, "k", GetOptions{})
				if err != nil {
					return err
				}
				defer o.Close()
				r, err := o.Open(ctx, 0, int64(size))
				if err != nil {
					return err
				}
				defer r.Close()
				_, err = bytes.NewBuffer(make([]byte, 0, 2*size+512)).ReadFrom(r)
				return err
			})
		})
	}
}

var benchSizes = []int{4 << 10, 1 << 20, 16 << 20}

func sizeName(n int) string {
	if n < 1<<20 {
		return fmt.Sprintf("%dKiB", n>>10)
	}
	return fmt.Sprintf("%dMiB", n>>20)
}

func loop(b *testing.B, n *testNode, size int, f func(ctx context.Context, s *Store, i int) error) {
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	n.must(func(ctx context.Context, s *Store) error {
		for i := range b.N {
			if err := f(ctx, s, i); err != nil {
				return err
			}
		}
		return nil
	})
}
