package crash

import (
	"strings"
	"testing"
	"time"

	"granary/sim/check"
)

// write records an acknowledged put.
func (l *ledger) write(key string) check.ValueID {
	v := check.ValueID(l.newValue())
	l.end(l.begin(check.Op{Kind: check.Put, Key: key, Value: v, Size: 20}), check.OK, nil)
	return v
}

// read records a read of a value, of nothing if it is 0.
func (l *ledger) read(key string, v check.ValueID) {
	l.end(l.begin(check.Op{Kind: check.Get, Key: key, Size: -1}), check.OK, func(op *check.Op) {
		op.Value, op.Absent = v, v == 0
	})
}

// TestJudges shows that the ledger's verdict is that of the checkers: it passes honest histories, and names
// what was lost, stale or never read again.
func TestJudges(t *testing.T) {
	for _, c := range []struct {
		name string
		play func(l *ledger) (since int64)
		want string // empty: passes
	}{
		{"honest", func(l *ledger) int64 {
			v, since := l.write("k"), l.tick()
			l.read("k", v)
			return since
		}, ""},
		{"unknown outcomes may have happened or not", func(l *ledger) int64 {
			v := l.write("k")
			w := check.ValueID(l.newValue())
			l.end(l.begin(check.Op{Kind: check.Put, Key: "k", Value: w, Size: 20}), check.Unknown, nil)
			since := l.tick()
			l.read("k", v)
			l.read("k", w)
			return since
		}, ""},
		{"lost", func(l *ledger) int64 {
			l.write("k")
			since := l.tick()
			l.read("k", 0)
			return since
		}, "lost"},
		{"stale", func(l *ledger) int64 {
			v := l.write("k")
			w, since := l.write("k"), l.tick()
			l.read("k", w)
			l.read("k", v)
			return since
		}, "stale"},
		{"never read again", func(l *ledger) int64 {
			l.read("k", l.write("k"))
			return l.tick()
		}, "unreadable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &ledger{began: time.Now()}
			err := l.judge(c.play(l))
			if c.want == "" && err != nil {
				t.Error(err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("judge: %v, want %q", err, c.want)
			}
		})
	}
}
