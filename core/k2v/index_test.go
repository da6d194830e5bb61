package k2v

import (
	"testing"

	"granary/core/crdt"
	"granary/core/rt"
)

// The index tells what the replicas of now have counted: a former one may have seen a write that nobody else
// had, and says so for ever. While they have said nothing, its word is better than none.
func TestIndexOfFormerReplicas(t *testing.T) {
	saw := func(low uint64, entries int64) count {
		return count{At: 1, Known: knowledge{Low: low}, Counts: Counts{Entries: entries}}
	}
	behind, present, former := rt.NodeID{1}, rt.NodeID{2}, rt.NodeID{3}
	row := indexRow{crdt.Map[rt.NodeID, count]{}.With(behind, saw(5, 1)).With(present, saw(6, 2)).
		With(former, saw(7, 3))}
	for _, c := range []struct {
		replicas []rt.NodeID
		want     int64
	}{{[]rt.NodeID{behind, present}, 2}, {[]rt.NodeID{behind}, 1}, {[]rt.NodeID{{4}}, 3}} {
		if got := row.counts(c.replicas).Entries; got != c.want {
			t.Errorf("replicas %v: %d entries, want %d", c.replicas, got, c.want)
		}
	}
}
