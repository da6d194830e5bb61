package s3lat

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"granary/netsim"
)

// The bound is the mean of what a client sees that draws the jitters.
func TestBoundIsTheMeanOfDraws(t *testing.T) {
	three, err := netsim.Preset("3dc-100ms")
	if err != nil {
		t.Fatal(err)
	}
	uneven := netsim.Regular("uneven", 4, 1, netsim.Path{Delay: 20e6, Jitter: 20e6}, netsim.Path{})
	uneven.Links = []netsim.Link{{From: "a", To: "c", Path: netsim.Path{Delay: 30e6, Jitter: 5e6}},
		{From: "d", To: "a", Path: netsim.Path{Delay: 25e6}}}
	for _, tt := range []struct {
		topo netsim.Topology
		need int
	}{{three, 2}, {three, 3}, {uneven, 2}, {uneven, 3}, {uneven, 4}} {
		got, err := Bound(tt.topo, "a1", tt.need)
		if err != nil {
			t.Fatal(err)
		}
		want := drawnMean(t, tt.topo, tt.need)
		if d := (got - want).Abs(); d > 100*time.Microsecond {
			t.Errorf("%s, %d sites: %v, the mean of draws is %v", tt.topo.Name, tt.need, got, want)
		}
	}
}

func drawnMean(t *testing.T, topo netsim.Topology, need int) time.Duration {
	m, err := netsim.NewModel(topo)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func(from, to string) time.Duration {
		p, err := m.Path(from, to)
		if err != nil {
			t.Fatal(err)
		}
		return p.Delay - p.Jitter + time.Duration(rng.Float64()*float64(2*p.Jitter))
	}
	const draws = 200_000
	var sum time.Duration
	for range draws {
		trips := []time.Duration{0}
		for _, z := range topo.Zones[1:] {
			trips = append(trips, draw("a1", z.Name+"1")+draw(z.Name+"1", "a1"))
		}
		slices.Sort(trips)
		sum += trips[need-1]
	}
	return sum / draws
}

func TestBoundWithoutJitter(t *testing.T) {
	flat, err := netsim.Preset("3dc-100ms-flat")
	if err != nil {
		t.Fatal(err)
	}
	for need, want := range map[int]time.Duration{1: 0, 2: 100e6, 3: 100e6} {
		if got, err := Bound(flat, "b2", need); err != nil || got != want {
			t.Errorf("%d sites: %v, %v, want %v", need, got, err, want)
		}
	}
	if round, err := SiteRound(flat, "b2"); err != nil || round != 100e6 {
		t.Errorf("a round trip is %v, %v", round, err)
	}
	for _, need := range []int{0, 4} {
		if _, err := Bound(flat, "b2", need); err == nil {
			t.Errorf("%d sites of 3 have a bound", need)
		}
	}
	if _, err := Bound(flat, "x", 2); !errors.Is(err, netsim.ErrName) {
		t.Errorf("an unknown node: %v", err)
	}
}

func TestSummary(t *testing.T) {
	var times []time.Duration
	for i := 200; i > 0; i-- {
		times = append(times, time.Duration(i)*time.Millisecond)
	}
	r := Summarize(Bar{}, times, 50e6, 67e6)
	got := []time.Duration{r.Min, r.P50, r.P99, r.Max, r.Mean}
	if want := []time.Duration{1e6, 100e6, 198e6, 200e6, 100_500_000}; !slices.Equal(got, want) {
		t.Errorf("min, p50, p99, max, mean: %v, want %v", got, want)
	}
	if r.Rounds() != 2.01 || r.OverBound() != 1.5 {
		t.Errorf("%v rounds, %v over the bound; want 2.01, 1.5", r.Rounds(), r.OverBound())
	}
	one := Summarize(Bar{}, times[:1], 0, 0)
	if one.P50 != 200e6 || one.P99 != 200e6 || one.Rounds() != 0 || one.OverBound() != 0 {
		t.Errorf("of one time: %+v", one)
	}
}

func exampleRows() []Row {
	quick := Bar{World: Real, System: "granary", Topology: "t", Operation: ListBuckets}
	slow := Bar{World: Simulated, System: "raftlog, leader's site", Topology: "t", Operation: PutLastByte,
		Size: 1 << 20, Idle: 10 * time.Second}
	return []Row{
		Summarize(quick, []time.Duration{1_234_000, 2_345_000}, 100e6, 0),
		Summarize(slow, []time.Duration{222e6}, 100e6, 190_600_000),
	}
}

func TestFileKeepsRows(t *testing.T) {
	name := filepath.Join(t.TempDir(), "data.csv")
	rows := exampleRows()
	if err := UpdateCSV(name, rows[1:], nil); err != nil {
		t.Fatal(err)
	}
	if err := UpdateCSV(name, rows[:1], nil); err != nil {
		t.Fatal(err)
	}
	again := exampleRows()[1]
	again.Count = 7
	if err := UpdateCSV(name, []Row{again}, func(b Bar) bool { return b.World == Real }); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadCSV(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	again.Round = got[0].Round // comes back from the quotient
	if diff := cmp.Diff([]Row{again}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if d := (got[0].Round - 100e6).Abs(); d > 100*time.Microsecond {
		t.Errorf("a round trip of %v came back", got[0].Round)
	}
}

// The columns are a contract with the figures and with the other world.
func TestFileFormat(t *testing.T) {
	for i, name := range []string{"world", "system", "topology", "operation", "size_bytes", "idle_s", "count",
		"mean_ms", "min_ms", "max_ms", "p50_ms", "p99_ms", "rtts", "bound_ms", "over_bound"} {
		if columns[i] != name {
			t.Errorf("column %d is %s, want %s", i+1, columns[i], name)
		}
	}
	var b strings.Builder
	if err := WriteCSV(&b, exampleRows()); err != nil {
		t.Fatal(err)
	}
	want := strings.Join(columns, ",") + `
real,granary,t,ListBuckets,0,0,2,1.790,1.234,2.345,1.234,2.345,0.018,0.000,
sim,"raftlog, leader's site",t,PutObject after last byte,1048576,10,1,222.000,222.000,222.000,` +
		"222.000,222.000,2.220,190.600,1.165\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, bad := range []string{"", "a,b\n", strings.Replace(want, "1.790", "fast", 1),
		strings.Replace(want, "ListBuckets", "CopyObject", 1), want + "1,2\n"} {
		if rows, err := ReadCSV(strings.NewReader(bad)); !errors.Is(err, ErrCSV) {
			t.Errorf("%q: %d rows, %v", bad, len(rows), err)
		}
	}
}

func TestTable(t *testing.T) {
	got := Table(exampleRows())
	for _, want := range []string{"granary", "1.8", "1 MiB", "10s", "222.0", "1.165"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

// A fake keeps objects, and writes down what it was asked.
type fake struct {
	keys   map[string]int64
	log    []string
	failAt int
}

var errFake = errors.New("no")

func (f *fake) Do(_ context.Context, op Operation, key string, size int64) (Took, error) {
	f.log = append(f.log, string(op))
	switch {
	case len(f.log) == f.failAt:
		return Took{}, errFake
	case op == PutObject:
		f.keys[key] = size
	case op == GetObject && f.keys[key] != size:
		return Took{}, errors.New("no such object")
	case op == RemoveObject:
		delete(f.keys, key)
	}
	return Took{Whole: time.Duration(len(f.log)), Part: 1}, nil
}

func TestMeasure(t *testing.T) {
	f := &fake{keys: map[string]int64{}}
	rests := 0
	sleep := func(_ context.Context, d time.Duration) error {
		f.log = append(f.log, d.String())
		rests++
		return nil
	}
	p := Plan{Count: 2, Warm: 1, Size: 9, Idle: time.Second, Operations: []Operation{GetObject}}
	times, err := Measure(t.Context(), f, sleep, p)
	if err != nil {
		t.Fatal(err)
	}
	want := "PutObject GetObject ListObjects ListBuckets RemoveObject " +
		"PutObject PutObject 1s GetObject 1s GetObject ListObjects ListObjects ListBuckets ListBuckets " +
		"RemoveObject RemoveObject"
	if diff := cmp.Diff(want, strings.Join(f.log, " ")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(Times{GetObject: {9, 11}, GetFirstByte: {1, 1}}, times); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if len(f.keys) != 0 {
		t.Errorf("left behind: %v", f.keys)
	}
	rows := times.Rows(Bar{World: Real, System: "s", Topology: "t"}, p, 100, 95)
	if len(rows) != 2 || rows[0].Operation != GetObject || rows[0].Count != 2 || rows[0].Bound != 95 {
		t.Errorf("rows %+v", rows)
	}
}

func TestMeasureStopsAtAFault(t *testing.T) {
	for failAt := 1; failAt <= 15; failAt++ {
		f := &fake{keys: map[string]int64{}, failAt: failAt}
		_, err := Measure(t.Context(), f, nil, Plan{Count: 2, Warm: 1, Size: 9, Operations: Whole})
		if !errors.Is(err, errFake) || len(f.log) != failAt {
			t.Errorf("fault at request %d: %v after %d", failAt, err, len(f.log))
		}
	}
	if _, err := Measure(t.Context(), nil, nil, Plan{Operations: []Operation{PutLastByte}}); err == nil {
		t.Error("an empty plan was accepted")
	}
}

func TestQuorumRounds(t *testing.T) {
	for op, want := range map[Operation]int{ListBuckets: 0, ListObjects: 1, GetFirstByte: 1, PutObject: 1,
		PutLastByte: 1, RemoveObject: 1} {
		if got := op.QuorumRounds(); got != want {
			t.Errorf("%s: %v rounds, want %v", op, got, want)
		}
	}
}
