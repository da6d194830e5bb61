package main

import (
	"bytes"
	"encoding/csv"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// reduced is a run of a few seconds of which all is over soon.
func reduced() params {
	p := whole()
	p.fails, p.returns, p.end, p.seeds = 2*time.Second, 6*time.Second, 8*time.Second, 2
	return p
}

func run(t *testing.T, p params) [][]sample {
	t.Helper()
	runs, err := measureAll(p)
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

func TestSameBytesEveryTime(t *testing.T) {
	a, b := run(t, reduced()), run(t, reduced())
	for i := range a {
		if d := cmp.Diff(string(table(a[i])), string(table(b[i]))); d != "" {
			t.Errorf("two runs of a seed differ:\n%s", d)
		}
	}
	if d := cmp.Diff(string(outages(a)), string(outages(b))); d != "" {
		t.Errorf("two summaries differ:\n%s", d)
	}
	if bytes.Equal(table(a[0]), table(a[1])) {
		t.Error("another seed gives the same table: the seed is not used")
	}
}

// The log does not answer while there is no leader; without the failure it always does.
func TestFailureIsWhatDelays(t *testing.T) {
	p := reduced()
	p.seeds = 1
	longest := func(p params) map[string]time.Duration {
		all := map[string]time.Duration{}
		for _, s := range run(t, p)[0] {
			all[s.system] = max(all[s.system], s.took)
		}
		return all
	}
	failing := longest(p)
	p.fails, p.returns = time.Hour, time.Hour
	calm := longest(p)
	if log := "raft log"; failing[log] < time.Second || calm[log] > 300*time.Millisecond {
		t.Errorf("the log took %v with the failure, %v without", failing[log], calm[log])
	}
	for name, d := range map[string]time.Duration{"with": failing["granary"], "without": calm["granary"]} {
		if d > 150*time.Millisecond {
			t.Errorf("granary took %v %s the failure, want no more than a round", d, name)
		}
	}
}

func TestOutages(t *testing.T) {
	of := func(system string, took time.Duration, answered bool) sample {
		return sample{system: system, took: took, answered: answered}
	}
	got := outages([][]sample{
		{of("a", 2*time.Second, true), of("a", time.Millisecond, true), of("b", 10*time.Second, false)},
		{of("a", time.Second, true), of("b", 3*time.Millisecond, true)},
	})
	want := outagesHeader + "a,2,1500.000,1000.000,2000.000,1,0\nb,2,5001.500,3.000,10000.000,1,1\n"
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("outages (-want +got):\n%s", d)
	}
}

// The verdict of README.md, from the committed data.
func TestVerdict(t *testing.T) {
	p := whole()
	rows := read(t, "data.csv", header)
	if want := 2 * 2 * int(p.end/p.every); len(rows) != want {
		t.Fatalf("data.csv has %d requests, want %d", len(rows), want)
	}
	for _, row := range rows {
		start, took := number(t, row[2]), number(t, row[3])
		// An election may take a few attempts.
		calm := start < p.fails.Seconds()-0.3 || start > p.fails.Seconds()+4
		switch {
		case row[4] != "true":
			t.Errorf("%v: not answered", row)
		case row[0] == "granary" && took > 150, calm && took > 300:
			t.Errorf("%v: too slow", row)
		}
	}
	rows = read(t, "outages.csv", outagesHeader)
	for i, want := range []string{"granary", "raft log"} {
		row := rows[i]
		if row[0] != want || row[1] != strconv.Itoa(p.seeds) || row[6] != "0" {
			t.Errorf("%v: want %d runs of %s without a failure", row, p.seeds, want)
		}
	}
	if granary, log := rows[0], rows[1]; number(t, granary[4]) > 150 || number(t, log[3]) < 1000 {
		t.Errorf("longest latencies %v and %v: want one round, and an election", granary, log)
	}
}

func read(t *testing.T, name, header string) [][]string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(data, []byte(header)) {
		t.Fatalf("%s: want the columns %s", name, header)
	}
	return rows[1:]
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
