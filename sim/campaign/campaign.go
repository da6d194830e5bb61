package campaign

import (
	"fmt"
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
	for _, f := range fault.Kinds() {
		if n := t.Faults[f.Kind]; n > 0 {
			faults = append(faults, fmt.Sprintf("%d %s", n, f.Kind))
		}
	}
	return fmt.Sprintf("%d seeds, %d operations, %.1f virtual hours, faults: %s; %d distinct hashes, "+
		"%d keys left unknown by porcupine, %d failed",
		t.Seeds, t.Ops, t.Virtual.Hours(), strings.Join(faults, ", "),
		len(t.Hashes), t.Unknown, len(t.Failed))
}
