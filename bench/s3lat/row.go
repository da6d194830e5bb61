package s3lat

import (
	"cmp"
	"slices"
	"time"
)

// The worlds that a row may be of.
const (
	Real      = "real"
	Simulated = "sim"
	Published = "published"
)

// Bar says what was measured: the key of a Row.
type Bar struct {
	World, System, Topology string
	Operation               Operation
	Size                    int64 // bytes of the objects of the run, also where none is moved
	Idle                    time.Duration
}

// Row is one bar and what came of it.
type Row struct {
	Bar
	Count                    int // requests; 0: unknown, as in a published chart
	Mean, Min, Max, P50, P99 time.Duration
	// Round is one round trip between sites without jitter. Zero: unknown.
	Round time.Duration
	// Bound is the lower bound of the mean. Zero: there is none.
	Bound time.Duration
}

// Rounds is the mean in round trips, 0 if Round is unknown.
func (r Row) Rounds() float64 { return ratio(r.Mean, r.Round) }

// OverBound is the mean over its lower bound, 0 if there is none.
func (r Row) OverBound() float64 { return ratio(r.Mean, r.Bound) }

func ratio(a, b time.Duration) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// Summarize returns the row of a bar. It panics without a time.
//
// P50 and P99 are the smallest times that at least half and 99 % of all do not exceed.
func Summarize(b Bar, times []time.Duration, round, bound time.Duration) Row {
	t := slices.Sorted(slices.Values(times))
	var sum time.Duration
	for _, d := range t {
		sum += d
	}
	rank := func(percent int) time.Duration { return t[(len(t)*percent+99)/100-1] }
	return Row{Bar: b, Count: len(t), Mean: sum / time.Duration(len(t)), Min: t[0], Max: t[len(t)-1],
		P50: rank(50), P99: rank(99), Round: round, Bound: bound}
}

// Merge returns old with the rows of fresh: those of the same bar are replaced, the others are added. The
// result is in the order of the bars, so that a file does not depend on which world wrote last.
func Merge(old, fresh []Row) []Row {
	rows := slices.Clone(fresh)
	for _, r := range old {
		if !slices.ContainsFunc(fresh, func(f Row) bool { return f.Bar == r.Bar }) {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b Row) int { return a.compare(b.Bar) })
	return rows
}

// compare orders bars: by what is measured, then by who answered.
func (b Bar) compare(c Bar) int {
	return cmp.Or(cmp.Compare(b.Topology, c.Topology), cmp.Compare(b.Size, c.Size),
		cmp.Compare(b.Idle, c.Idle),
		cmp.Compare(slices.Index(Operations, b.Operation), slices.Index(Operations, c.Operation)),
		cmp.Compare(b.World, c.World), cmp.Compare(b.System, c.System))
}
