package main

import (
	"bytes"
	"testing"
)

// Each study writes the same bytes every time.
func TestSameBytesEveryTime(t *testing.T) {
	small := []setting{randomSetting(8, 4)}
	fewNodes, fewChanges := []grain{{9, 3, true}}, []drift{{8, 4, 6}}
	for name, run := range map[string]func(seeds int) ([]byte, error){
		"events":     func(seeds int) ([]byte, error) { return measureEvents(small, methods(), seeds) },
		"frontier":   func(seeds int) ([]byte, error) { return measureFrontier(small, seeds) },
		"partitions": func(seeds int) ([]byte, error) { return measurePartitions(fewNodes, 8, seeds) },
		"drift":      func(seeds int) ([]byte, error) { return measureDrift(fewChanges, seeds) },
	} {
		var runs [2][]byte
		for i := range runs {
			var err error
			if runs[i], err = run(2); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if !bytes.Equal(runs[0], runs[1]) {
			t.Errorf("%s: two runs differ:\n%s\n%s", name, runs[0], runs[1])
		}
	}
}

func TestSummary(t *testing.T) {
	var s summary
	for _, x := range []float64{2, -1, 5} {
		s.add(x)
	}
	if got := s.csv(); got != "2.00,-1.00,5.00" {
		t.Errorf("summary %q", got)
	}
	for _, c := range []struct {
		moves, needed int
		want          string
	}{{0, 0, "1.00"}, {3, 0, ""}, {3, 2, "1.50"}} {
		if got := ratio(c.moves, c.needed); got != c.want {
			t.Errorf("ratio(%d, %d) = %q, want %q", c.moves, c.needed, got, c.want)
		}
	}
}

// Through many changes, a cluster keeps its size and enough zones.
func TestDriftStays(t *testing.T) {
	d := drift{20, 5, 30}
	for seed := range uint64(seedsWhole) {
		r := source(seed)
		c := random(r, seed, d.nodes, d.zones)
		for range 200 {
			c = d.next(r, c)
			if n := len(c.nodes); n < 15 || n > 25 {
				t.Fatalf("seed %d: %d nodes", seed, n)
			}
			if _, err := bound(c); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
	}
}
