package diskfs

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"granary/core/block"
)

// BenchmarkDisk writes and reads with syncs, as shipped.
func BenchmarkDisk(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		for _, tasks := range []int{1, 16} {
			name := fmt.Sprintf("%dKiB/%d", size>>10, tasks)
			b.Run("Write/"+name, func(b *testing.B) { benchmark(b, size, tasks, true) })
			b.Run("Read/"+name, func(b *testing.B) { benchmark(b, size, tasks, false) })
		}
	}
}

// stored is how many different files a benchmark goes through, spread over all folders.
const stored = 512

func benchHash(n int) (h block.Hash) {
	binary.LittleEndian.PutUint64(h[:], uint64(n%stored))
	return h
}

func benchmark(b *testing.B, size, tasks int, write bool) {
	m := newMachine(b)
	m.opts.NoSync = !write
	_, d, stop := m.open()
	defer stop()
	ctx := context.Background()
	data := make([]byte, size)
	if !write {
		for n := range stored {
			if err := d.Write(ctx, benchHash(n), data); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for task := range tasks {
		wg.Go(func() {
			buf := make([]byte, 0, size)
			for n := task; n < b.N; n += tasks {
				var err error
				if write {
					err = d.Write(ctx, benchHash(n), data)
				} else {
					_, err = d.Read(ctx, benchHash(n), buf)
				}
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
