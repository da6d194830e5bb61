package main

import (
	"bytes"
	"encoding/csv"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"granary/sim/check"
)

const ms = time.Millisecond

// reduced is a run that takes about a second.
func reduced() params {
	p := whole()
	p.reads, p.jitters = 300, []time.Duration{0, 20 * ms, 50 * ms}
	return p
}

func TestSameBytesEveryTime(t *testing.T) {
	p := reduced()
	p.reads = 100
	var tables [2][]byte
	for i := range tables {
		results, err := measure(p)
		if err != nil {
			t.Fatal(err)
		}
		tables[i] = table(p, results)
	}
	if !bytes.Equal(tables[0], tables[1]) {
		t.Errorf("two runs differ:\n%s\n%s", tables[0], tables[1])
	}
	p.seed++
	other, err := measure(p)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(tables[0], table(p, other)) {
		t.Error("another seed gives the same table: the seed is not used")
	}
}

// Quorums that meet never miss a write; those that do not miss some as soon as there is jitter.
func TestStaleWhereQuorumsMiss(t *testing.T) {
	p := reduced()
	results, err := measure(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range results {
		switch {
		case c.size.meet(p.sites) && c.stale != 0:
			t.Errorf("%+v, jitter %v: %d stale reads, want none", c.size, c.jitter, c.stale)
		case !c.size.meet(p.sites) && c.jitter == p.delay && c.stale == 0:
			t.Errorf("%+v, jitter %v: no stale read", c.size, c.jitter)
		}
		if model := modelStale(p, c.size, c.jitter); !near(c.stale, p.reads, model) {
			t.Errorf("%+v, jitter %v: %d stale reads of %d, the model says %.1f", c.size, c.jitter, c.stale,
				p.reads, model*float64(p.reads))
		}
	}
}

// The checker's verdict is the plain rule: here nothing overlaps, so a read must return the write before it.
func TestJudge(t *testing.T) {
	p := reduced()
	for _, q := range []size{{1, 2}, {2, 2}} {
		w, err := newWorld(p, q, 50*ms)
		if err != nil {
			t.Fatal(err)
		}
		c := result{size: q}
		if err := w.all(p.reads, &c); err != nil {
			t.Fatal(err)
		}
		w.sched.Stop()
		plain, latest := 0, check.ValueID(0)
		for _, op := range w.history.Ops {
			if op.Kind == check.Put {
				latest = op.Value
			} else if op.Value != latest {
				plain++
			}
		}
		got, err := judge(&w.history)
		if err != nil || got != plain {
			t.Errorf("%+v: judged %d (%v), by the plain rule %d", q, got, err, plain)
		}
	}
}

// The formulas against draws of what they describe.
func TestModel(t *testing.T) {
	p := whole()
	r := rand.New(rand.NewPCG(1, 2))
	const draws = 100_000
	for _, jitter := range []time.Duration{ms, 20 * ms, 35 * ms, 50 * ms} {
		leg := func() float64 { return float64(p.delay-jitter) + 2*float64(jitter)*r.Float64() }
		write2, read2 := 0, 0
		for range draws {
			toReader, toThird := leg(), leg()
			if toReader > toThird+leg() {
				write2++
			}
			asked := leg()
			third, writers := asked+leg(), max(leg()+leg(), toReader)
			if third < writers && toThird > asked {
				read2++
			}
		}
		for _, c := range []struct {
			size  size
			stale int
		}{{size{2, 1}, write2}, {size{1, 2}, read2}} {
			if model := modelStale(p, c.size, jitter); !near(c.stale, draws, model) {
				t.Errorf("%+v, jitter %v: %d of %d draws, the model says %.0f", c.size, jitter, c.stale,
					draws, model*draws)
			}
		}
	}
}

// The verdict of README.md, from the committed data.
func TestVerdict(t *testing.T) {
	data, err := os.ReadFile("data.csv")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	p := whole()
	if len(rows) != 1+len(p.sizes)*len(p.jitters) || !bytes.HasPrefix(data, []byte(header)) {
		t.Fatalf("%d lines, want one for each cell below %s", len(rows), header)
	}
	most := map[size]int{}
	for _, row := range rows[1:] {
		var n [5]int // write, read, jitter, reads, stale
		for i := range n {
			if n[i], err = strconv.Atoi(row[i]); err != nil {
				t.Fatal(err)
			}
		}
		q, jitter := size{n[0], n[1]}, time.Duration(n[2])*ms
		model := modelStale(p, q, jitter)
		if n[3] != p.reads || !near(n[4], n[3], model) {
			t.Errorf("%v: %d stale reads, the model says %.0f", row, n[4], model*float64(n[3]))
		}
		most[q] = max(most[q], n[4])
	}
	for q, stale := range most {
		if q.meet(p.sites) != (stale == 0) {
			t.Errorf("%+v: at most %d stale reads", q, stale)
		}
	}
}

// near reports whether a count of n is within four standard deviations of what a share predicts.
func near(count, n int, share float64) bool {
	deviation := math.Sqrt(share * (1 - share) * float64(n))
	return math.Abs(float64(count)-share*float64(n)) <= 4*deviation+0.5
}

func TestWilson(t *testing.T) {
	for _, c := range []struct {
		count, n  int
		low, high float64
	}{{0, 10_000, 0, 3.8}, {10_000, 10_000, 9996.2, 10_000}, {50, 100, 40.4, 59.6}} {
		low, high := wilson(c.count, c.n)
		if math.Abs(low-c.low) > 0.1 || math.Abs(high-c.high) > 0.1 {
			t.Errorf("wilson(%d, %d) = %.1f, %.1f; want %.1f, %.1f", c.count, c.n, low, high, c.low, c.high)
		}
	}
}
