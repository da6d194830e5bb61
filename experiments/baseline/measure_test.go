package baseline

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"granary/bench/s3lat"
	"granary/netsim"
)

func measure(t *testing.T, seed uint64, preset string) []s3lat.Row {
	t.Helper()
	topology, err := netsim.Preset(preset)
	if err != nil {
		t.Fatal(err)
	}
	plan := s3lat.Plan{Count: 10, Warm: 2, Size: 256, Operations: s3lat.Whole}
	rows, err := Measure(seed, topology, []s3lat.Plan{plan})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// Without jitter every request takes the rounds of its design.
func TestMeasureRounds(t *testing.T) {
	want := map[string][]int{ // ListBuckets, ListObjects, GetObject, PutObject, RemoveObject
		"raftlog, leader's site": {1, 1, 1, 1, 1},
		"raftlog, another site":  {2, 2, 2, 2, 2},
		"lockstore":              {1, 1, 2, 2, 2},
		"fourround":              {1, 1, 1, 4, 2},
	}
	order := []s3lat.Operation{s3lat.ListBuckets, s3lat.ListObjects, s3lat.GetObject, s3lat.PutObject,
		s3lat.RemoveObject}
	got := map[string][]int{}
	for _, op := range order {
		for _, r := range measure(t, 1, "3dc-100ms-flat") {
			if r.Operation == op && r.Count == 10 {
				rounds := r.Mean.Round(time.Millisecond) / (100 * time.Millisecond)
				got[r.System] = append(got[r.System], int(rounds))
			}
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("rounds (-want +got):\n%s", d)
	}
}

func TestMeasureSameBytes(t *testing.T) {
	var files [3]bytes.Buffer
	for i, seed := range []uint64{1, 1, 2} {
		if err := s3lat.WriteCSV(&files[i], measure(t, seed, "3dc-100ms")); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(files[0].String(), files[1].String()); d != "" {
		t.Errorf("two runs of a seed differ:\n%s", d)
	}
	if files[0].String() == files[2].String() {
		t.Error("another seed gives the same rows")
	}
}
