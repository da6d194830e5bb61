package bolt

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"granary/core/kv"
)

// usage is what the process has used so far.
type usage struct{ cpuMicros, written float64 }

func used(b *testing.B) usage {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	micros := float64(r.Utime.Sec+r.Stime.Sec)*1e6 + float64(r.Utime.Usec+r.Stime.Usec)
	io, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return usage{micros, 0} // not Linux
	}
	var written float64
	for line := range strings.Lines(string(io)) {
		fmt.Sscanf(line, "wchar: %f", &written)
	}
	return usage{micros, written}
}

// bucketKey is a key as rows of a few buckets have it: a prefix of 20 bytes for each bucket, then a sequence.
func bucketKey(n int) []byte {
	key := make([]byte, 28)
	copy(key, fmt.Sprintf("%020d", n%16))
	binary.BigEndian.PutUint64(key[20:], uint64(n))
	return key
}

// randomKey is a key as block references have it.
func randomKey(n int) []byte {
	key := make([]byte, 28)
	r := rand.New(rand.NewPCG(uint64(n), 7))
	for i := range key {
		key[i] = byte(r.Uint32())
	}
	return key
}

// fill loads rows keys of 200 bytes.
func fill(b *testing.B, s *Store, rows int, key func(int) []byte) {
	for at := 0; at < rows; {
		err := s.Update(context.Background(), func(w kv.Writer) error {
			for range 4096 {
				w.Put(key(at), make([]byte, 200))
				at++
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

const rows = 200_000

func benchmarkUpdate(b *testing.B, writers int, key func(int) []byte) {
	s, _ := open(b, filepath.Join(b.TempDir(), "kv"), DefaultOptions())
	fill(b, s, rows, key)
	var next atomic.Int64
	next.Store(rows)
	before := used(b)
	start := s.Stats()
	b.ResetTimer()
	var done sync.WaitGroup
	for range writers {
		done.Go(func() {
			for {
				n := int(next.Add(1))
				if n > rows+b.N {
					return
				}
				err := s.Update(context.Background(), func(w kv.Writer) error {
					w.Put(key(n), make([]byte, 200))
					return nil
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	done.Wait()
	b.StopTimer()
	after, end := used(b), s.Stats()
	n := float64(b.N)
	b.ReportMetric((after.cpuMicros-before.cpuMicros)/n, "cpu-µs/put")
	b.ReportMetric((after.written-before.written)/n, "B-written/put")
	b.ReportMetric(float64(end.Updates-start.Updates)/float64(end.Commits-start.Commits), "puts/commit")
}

func BenchmarkUpdate1writers(b *testing.B)   { benchmarkUpdate(b, 1, bucketKey) }
func BenchmarkUpdate16writers(b *testing.B)  { benchmarkUpdate(b, 16, bucketKey) }
func BenchmarkUpdate256writers(b *testing.B) { benchmarkUpdate(b, 256, bucketKey) }

func BenchmarkUpdate256writersRandom(b *testing.B) { benchmarkUpdate(b, 256, randomKey) }

func BenchmarkGet(b *testing.B) {
	s, _ := open(b, filepath.Join(b.TempDir(), "kv"), fast())
	fill(b, s, rows, randomKey)
	keys := make([][]byte, 4096)
	for i := range keys {
		keys[i] = randomKey(i * 17 % rows)
	}
	for b.Loop() {
		for _, key := range keys[:64] {
			err := s.View(func(r kv.Reader) error {
				if r.Get(key) == nil {
					b.Errorf("%x is missing", key)
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/get")
}

func BenchmarkScan(b *testing.B) {
	s, _ := open(b, filepath.Join(b.TempDir(), "kv"), fast())
	fill(b, s, rows, bucketKey)
	const page = 1000
	for b.Loop() {
		n := 0
		s.View(func(r kv.Reader) error {
			r.Ascend(bucketKey(3), nil, func(_, _ []byte) bool {
				n++
				return n < page
			})
			return nil
		})
		if n != page {
			b.Fatalf("%d keys", n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/page, "ns/key")
}

// BenchmarkOpen opens a store of 1,000,000 rows after a clean close, and after a crash.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "kv")
	s, _ := open(b, path, fast())
	fill(b, s, 5*rows, bucketKey)
	crashed, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	s.Close()
	b.Run("closed", func(b *testing.B) {
		for b.Loop() {
			s, _ := open(b, path, DefaultOptions())
			s.Close()
		}
	})
	b.Run("crashed", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			os.WriteFile(path+"2", crashed, 0o600)
			b.StartTimer()
			s, _ := open(b, path+"2", DefaultOptions())
			b.StopTimer()
			s.Close()
			b.StartTimer()
		}
	})
}
