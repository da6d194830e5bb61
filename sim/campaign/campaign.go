package campaign

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"granary/sim/fault"
)

// Total is what a campaign has seen so far.
type Total struct {
	Seeds     int
	Failed    []uint64
	Ops       int
	Events    uint64
	Virtual   time.Duration
	Faults    map[fault.Kind]int
	Sometimes map[string]int // in how many seeds
	Hashes    map[uint64]bool
	Unknown   int
}

// NewTotal returns an empty total.
func NewTotal() *Total {
	return &Total{Faults: map[fault.Kind]int{}, Sometimes: map[string]int{}, Hashes: map[uint64]bool{}}
}

// Add takes in a result.
func (t *Total) Add(r *Result) {
	t.Seeds++
	t.Ops += r.Ops
	t.Events += r.Events
	t.Virtual += r.Virtual
	t.Unknown += r.Unknown
	t.Hashes[r.Hash] = true
	for k, n := range r.Faults {
		t.Faults[k] += n
	}
	for name := range r.Sometimes {
		t.Sometimes[name]++
	}
	if r.Failed() {
		t.Failed = append(t.Failed, r.Seed)
	}
}

// String is the campaign on one line.
func (t *Total) String() string {
	var faults []string
	for _, k := range fault.Kinds() {
		if n := t.Faults[k]; n > 0 {
			faults = append(faults, fmt.Sprintf("%d %s", n, k))
		}
	}
	return fmt.Sprintf("%d seeds, %d operations, %.1f virtual hours, faults: %s; %d distinct hashes, "+
		"%d keys left unknown by porcupine, %d failed",
		t.Seeds, t.Ops, t.Virtual.Hours(), strings.Join(faults, ", "),
		len(t.Hashes), t.Unknown, len(t.Failed))
}

// Rare lists the rare states and in how many seeds each was reached.
func (t *Total) Rare() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(t.Sometimes)) {
		fmt.Fprintf(&b, "  %6d  %s\n", t.Sometimes[name], name)
	}
	return b.String()
}

// reportLines bounds the operations that a report shows for a key.
const reportLines = 40

// Report writes what went wrong, for a person, with the command that replays it.
func (r *Result) Report(w io.Writer) {
	fmt.Fprintf(w, "seed %d FAILED: %d nodes, %d operations, %v of virtual time\n", r.Seed, r.Nodes, r.Ops,
		r.Virtual)
	if r.Err != nil {
		fmt.Fprintf(w, "  %v\n", r.Err)
	}
	for i, v := range r.Violations {
		if i == 10 {
			fmt.Fprintf(w, "  and %d more\n", len(r.Violations)-i)
			break
		}
		fmt.Fprintf(w, "  %v\n", v)
	}
	for i, key := range r.Keys() {
		if i == 2 {
			break
		}
		lines := append(r.History.Lines(key), r.Items.Lines(key)...)
		fmt.Fprintf(w, "  history of %q (the last %d of %d):\n", key, min(reportLines, len(lines)),
			len(lines))
		for _, l := range lines[max(0, len(lines)-reportLines):] {
			fmt.Fprintf(w, "    %s\n", l)
		}
	}
	fmt.Fprintf(w, "  faults:\n")
	for _, e := range r.Plan {
		fmt.Fprintf(w, "    %v\n", e)
	}
	fmt.Fprintf(w, "replay: go run ./sim/cmd/sim -seed %d\n", r.Seed)
}
