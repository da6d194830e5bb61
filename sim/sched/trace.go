package sched

import (
	"fmt"
	"math/bits"
	"runtime/debug"
)

// CheckpointEvery is how many events lie between two checkpoints of the trace hash.
const CheckpointEvery = 1024

// trace is the running hash over all events of a run.
type trace struct {
	hash        uint64
	count       uint64
	checkpoints []uint64
	window      [2]uint64
	events      []string
}

// mix folds x into h: a multiplication, so that order matters, and a rotation, so that high bits come down.
func mix(h, x uint64) uint64 {
	h = (h ^ x) * 0x9fb21c651e98df25
	return h ^ bits.RotateLeft64(h, 29)
}

func (t *trace) fold(s *Sched, kind string, values ...uint64) {
	h := mix(t.hash, uint64(len(kind))<<32|uint64(len(values)))
	for i := range len(kind) {
		h = mix(h, uint64(kind[i]))
	}
	for _, v := range values {
		h = mix(h, v)
	}
	t.hash = h
	if t.count >= t.window[0] && t.count < t.window[1] {
		t.record(s, kind, values)
	}
	t.count++
	if t.count%CheckpointEvery == 0 {
		t.checkpoints = append(t.checkpoints, h)
	}
}

func (t *trace) record(s *Sched, kind string, values []uint64) {
	who, stack := "scheduler", ""
	if s.cur != nil {
		who = fmt.Sprintf("%s/%s#%d", s.cur.env.name, s.cur.name, s.cur.id)
		if s.cur.running {
			stack = "\n" + string(debug.Stack())
		}
	}
	t.events = append(t.events, fmt.Sprintf("%d %v %s %s %x%s", t.count, s.now, who, kind, values, stack))
}

// FirstDifference compares the recorded events of two runs and describes the first in which they differ.
func FirstDifference(a, b []string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("first differing event:\n  one:   %s\n  other: %s", a[i], b[i])
		}
	}
	if len(a) != len(b) {
		return fmt.Sprintf("one run has %d events in the window, the other %d", len(a), len(b))
	}
	return "the recorded events are the same"
}
