package linear

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestJudge(t *testing.T) {
	op := func(k Kind, value uint64, start, end time.Duration) Op {
		return Op{Kind: k, Key: "k", Value: value, Start: start, End: end}
	}
	for _, c := range []struct {
		name    string
		history []Op
		good    bool
	}{
		{"read of the last write", []Op{op(Put, 1, 1, 2), op(Get, 1, 3, 4)}, true},
		{"stale read", []Op{op(Put, 1, 1, 2), op(Put, 2, 3, 4), op(Get, 1, 5, 6)}, false},
		{"read beside a write", []Op{op(Put, 1, 1, 2), op(Put, 2, 3, 6), op(Get, 1, 4, 5)}, true},
		{"new, then old", []Op{op(Put, 1, 1, 2), op(Put, 2, 3, 9), op(Get, 2, 4, 5),
			op(Get, 1, 6, 7)}, false},
		{"absent after a removal", []Op{op(Put, 1, 1, 2), op(Remove, 0, 3, 4), op(Get, 0, 5, 6)}, true},
		{"there after a removal", []Op{op(Put, 1, 1, 2), op(Remove, 0, 3, 4), op(Get, 1, 5, 6)}, false},
		{"late effect of a failed write", []Op{op(Put, 1, 1, 0), op(Get, 0, 5, 6), op(Get, 1, 7, 8)}, true},
		{"no effect of a failed write", []Op{op(Put, 1, 1, 0), op(Get, 0, 5, 6)}, true},
		{"effect twice", []Op{op(Put, 1, 1, 0), op(Put, 2, 2, 3), op(Get, 1, 4, 5), op(Put, 3, 6, 7),
			op(Get, 1, 8, 9)}, false},
		{"value from nowhere", []Op{op(Get, 7, 1, 2)}, false},
	} {
		for i := range c.history {
			c.history[i].Client = i
		}
		if got := Judge(c.history) == nil; got != c.good {
			t.Errorf("%s: linearizable %v, want %v", c.name, got, c.good)
		}
	}
	other := op(Get, 7, 1, 2)
	other.Key = "other"
	got := Judge([]Op{op(Put, 1, 1, 2), other, op(Get, 1, 3, 4)})
	if d := cmp.Diff([]string{"other"}, got); d != "" {
		t.Errorf("keys (-want +got):\n%s", d)
	}
}
