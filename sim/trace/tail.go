package trace

import (
	"strings"

	"granary/sim/sched"
)

// Tail keeps the last lines of a log. The zero value keeps none; use NewTail.
type Tail struct {
	lines []sched.Line
	next  int // the place of the next line, and of the oldest once all are taken
	total int
}

// NewTail returns a Tail of n lines, at least one.
func NewTail(n int) *Tail { return &Tail{lines: make([]sched.Line, 0, max(n, 1))} }

// Add takes a line; it is what sched.Options.Log wants.
func (t *Tail) Add(l sched.Line) {
	t.total++
	if len(t.lines) < cap(t.lines) {
		t.lines = append(t.lines, l)
		return
	}
	t.lines[t.next] = l
	t.next = (t.next + 1) % len(t.lines)
}

// Dropped is how many lines are no longer kept.
func (t *Tail) Dropped() int { return t.total - len(t.lines) }

// String returns the lines kept, oldest first. They are rendered now, so that a run that passes pays little.
func (t *Tail) String() string {
	var b strings.Builder
	for i := range t.lines {
		b.WriteString(t.lines[(t.next+i)%len(t.lines)].String())
		b.WriteByte('\n')
	}
	return b.String()
}
