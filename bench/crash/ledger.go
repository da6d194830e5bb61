package crash

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"granary/sim/check"
)

// ledger writes down what clients asked and were told, for the checkers. It may be used by many goroutines.
type ledger struct {
	began time.Time

	mu      sync.Mutex
	history check.History
	values  uint64
}

// newValue returns the number of a content that nobody else writes.
func (l *ledger) newValue() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.values++
	return l.values
}

// begin records the call of an operation.
func (l *ledger) begin(op check.Op) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.history.Begin(time.Since(l.began), op)
}

// end records the return of an operation, after change has written down what it saw.
func (l *ledger) end(i int, o check.Outcome, change func(*check.Op)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if change != nil {
		change(&l.history.Ops[i])
	}
	l.history.End(time.Since(l.began), i, o)
}

// tick returns an event number.
func (l *ledger) tick() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.history.Tick()
}

// judge runs all checkers over the history; every key must have been read at the event number since or later.
func (l *ledger) judge(since int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	verdict, err := check.Agree(&l.history, 0)
	if err != nil {
		return err
	}
	all := append(verdict.Violations, check.Durable(&l.history, since)...)
	if n := len(verdict.Report.Unknown); n > 0 {
		return fmt.Errorf("porcupine gave up on %d of %d keys", n, verdict.Report.Keys)
	}
	if len(all) == 0 {
		return nil
	}
	const shown = 3
	text := fmt.Sprintf("%d violations, the first:", len(all))
	for _, v := range all[:min(shown, len(all))] {
		text += "\n" + v.String()
	}
	if key := all[0].Key; key != "" {
		text += "\nall about " + key + ":\n" + strings.Join(l.history.Lines(key), "\n")
	}
	return fmt.Errorf("%s", text)
}

// sums counts what was written down.
type sums struct{ ok, failed, unknown, puts, deletes, gets, lists int }

func (l *ledger) sums() sums {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := sums{ok: l.history.Count(check.OK), failed: l.history.Count(check.Failed),
		unknown: l.history.Count(check.Unknown)}
	for i := range l.history.Ops {
		switch l.history.Ops[i].Kind {
		case check.Put:
			s.puts++
		case check.Delete:
			s.deletes++
		case check.List:
			s.lists++
		default:
			s.gets++
		}
	}
	return s
}
