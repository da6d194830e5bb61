package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBenchLine(t *testing.T) {
	line := "BenchmarkQuorum/3dc-100ms-2  \t 3196\t 99163 events/cpu-s\t 4330 quorum-ops/cpu-s\n"
	name, metrics, ok := benchLine(line)
	if name != "Quorum/3dc-100ms" || metrics != "99163 events/cpu-s, 4330 quorum-ops/cpu-s" || !ok {
		t.Errorf("benchLine: %q, %q, %v", name, metrics, ok)
	}
	for _, line := range []string{"", "PASS", "ok  \tgranary\t5.1s", "goos: linux", "Benchmark 1 2"} {
		if name, _, ok := benchLine(line); ok {
			t.Errorf("benchLine(%q): %q", line, name)
		}
	}
}

// TestWrites shows what the files hold, and that a failed operation is not passed over.
func TestWrites(t *testing.T) {
	r := results{machine: "a machine"}
	r.addFact("memory", "%d MB", 17)
	r.addRow(row{store: "three", cell: cell{"GET", "1 MiB", 1 << 20, 16, 0}, ops: 100,
		failures: failures{mu: new(sync.Mutex), count: 1, first: errors.New("no")},
		cpu:      70 * time.Millisecond, elapsed: 2 * time.Second,
		p50: time.Millisecond, p99: 2 * time.Millisecond})
	if r.failed != 1 {
		t.Errorf("%d operations failed, want 1", r.failed)
	}
	dir := t.TempDir()
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"load.csv":  "three,GET,1 MiB,16,100,0.7,0.5,50.0,52.4,1.00,2.00,1\n",
		"facts.csv": "what,value\nmemory,17 MB\n",
		"load.md":   "| three | GET | 1 MiB | 16 | 100 | 0.7 | 0.5 | 50.0 | 52.4 | 1.00 | 2.00 | 1 |\n",
	} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(raw), want) {
			t.Errorf("%s: %v\n%s", name, err, cmp.Diff(want, string(raw)))
		}
	}
}
