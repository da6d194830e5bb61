package main

import (
	"bytes"
	stdcsv "encoding/csv"
	"os"
	"strconv"
	"testing"
	"time"

	"granary/core/table"
)

// TestSameBytesEveryTime: a run is a function of its seed.
func TestSameBytesEveryTime(t *testing.T) {
	p := params{seed: 3, trials: 8, slow: []time.Duration{400 * time.Millisecond}}
	var runs [2][]byte
	for i := range runs {
		cells, err := measureAll(p)
		if err != nil {
			t.Fatal(err)
		}
		runs[i] = csv(cells)
	}
	if !bytes.Equal(runs[0], runs[1]) {
		t.Errorf("two runs of a seed differ:\n%s\n%s", runs[0], runs[1])
	}
}

// TestLevels: a slow writer makes reads go back at the default level, and at the monotonic one neither that
// nor anything stale is seen.
func TestLevels(t *testing.T) {
	for _, tc := range []struct {
		level table.Consistency
		back  bool
	}{{table.ReadAfterWrite, true}, {table.Monotonic, false}, {table.Eventual, true}} {
		c := cell{level: tc.level, slow: 400 * time.Millisecond, trials: 60}
		if err := c.measure(1); err != nil {
			t.Fatal(err)
		}
		if c.back > 0 != tc.back || tc.level != table.Eventual && c.stale > 0 {
			t.Errorf("%v: %d of %d went back, %d were stale", tc.level, c.back, c.trials, c.stale)
		}
	}
}

// TestVerdict holds the README's verdict against the data.
func TestVerdict(t *testing.T) {
	f, err := os.Open("data.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := stdcsv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 1+3*len(whole().slow) {
		t.Fatalf("%d rows", len(rows))
	}
	back := map[string]int{}
	for _, row := range rows[1:] {
		level, number := row[0], make([]float64, len(row))
		for i, s := range row[1:] {
			if number[i+1], err = strconv.ParseFloat(s, 64); err != nil {
				t.Fatal(err)
			}
		}
		back[level] += int(number[3])
		if stale, rest := number[4], number[5]; level == "eventual" {
			if rest > 1 {
				t.Errorf("an eventual read takes %v ms at rest", rest)
			}
		} else if stale > 0 || rest < 94 || rest > 102 {
			t.Errorf("%s, slow by %s ms: %v stale, %v ms at rest", level, row[1], stale, rest)
		}
	}
	if back["monotonic"] > 0 || back["read-after-write"] < 50 || back["eventual"] < 500 {
		t.Errorf("went back: %v", back)
	}
}
