package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
)

// BudgetDefault is a number of steps for each key that honest histories of a campaign do not reach.
const BudgetDefault = 1_000_000

// Report is the verdict of [Porcupine]. Keys in neither list are fine.
type Report struct {
	Keys    int      // judged
	Illegal []string // sorted
	Unknown []string // sorted; the budget was spent. Never to be taken for fine
}

// Porcupine judges the promise of single keys, as [Direct] does, as a sequential model. Budget is the number
// of model steps for each key; 0 means BudgetDefault.
//
// Cost: about 3 µs a step, two steps for a write and one for a read, times the writes that are current at
// once.
func Porcupine(h *History, budget int) Report {
	b := newBook(h)
	b.listings()
	rep := Report{Keys: len(b.keys)}
	for _, key := range b.keys {
		switch verdict, _ := b.search(b.of[key], shrunk, budget, false); verdict {
		case porcupine.Illegal:
			rep.Illegal = append(rep.Illegal, key)
		case porcupine.Unknown:
			rep.Unknown = append(rep.Unknown, key)
		}
	}
	return rep
}

// form is how operations become the intervals of the search.
type form uint8

const (
	shrunk form = iota // every operation a point: nothing to branch on
	wide               // reads as they were
	drawn              // reads as they were, acknowledgements from call to return: for pictures
)

// step is the input of one model step.
type step struct {
	kind    stepKind
	w       int       // index of the write in its register
	s       *sighting // seen only
	outcome Outcome   // call only, for pictures
}

type stepKind uint8

const (
	called stepKind = iota
	acknowledged
	seen
)

// member is a write that a read may return now.
type member struct {
	w     int
	acked bool
	over  []int // the writes that were acknowledged at its call, which its acknowledgement supersedes
}

// current is the model's state: the admissible writes, ordered by w. It is never changed, only replaced.
type current []member

// model returns the promise of one key as a sequential specification. It stops when steps are used up.
func (b *book) model(r *register, steps *int) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return current{{w: 0, acked: true}} },
		StepContext: func(_ context.Context, state, input, _ any) (bool, any) {
			if *steps--; *steps < 0 {
				return false, state
			}
			return b.step(r, state.(current), input.(step))
		},
		Equal: func(x, y any) bool {
			return slices.EqualFunc(x.(current), y.(current), func(m, n member) bool {
				return m.w == n.w && m.acked == n.acked && slices.Equal(m.over, n.over)
			})
		},
		Hash: func(state any) uint64 {
			hash := uint64(0)
			for _, m := range state.(current) {
				hash = (hash ^ uint64(m.w)<<1) * 0x9e3779b97f4a7c15
			}
			return hash
		},
		DescribeOperation: func(input, _ any) string { return b.describeStep(r, input.(step)) },
		DescribeState:     func(state any) string { return b.describeState(r, state.(current)) },
	}
}

// step applies one step.
func (b *book) step(r *register, now current, in step) (bool, any) {
	switch in.kind {
	case called:
		m := member{w: in.w}
		for _, n := range now {
			if n.acked {
				m.over = append(m.over, n.w)
			}
		}
		next := append(slices.Clone(now), m)
		slices.SortFunc(next, func(x, y member) int { return cmp.Compare(x.w, y.w) })
		return true, next
	case acknowledged:
		at := slices.IndexFunc(now, func(m member) bool { return m.w == in.w })
		if at < 0 {
			return false, now
		}
		next := make(current, 0, len(now))
		for _, m := range now {
			switch {
			case m.w == in.w:
				next = append(next, member{w: m.w, acked: true})
			case !slices.Contains(now[at].over, m.w):
				next = append(next, m)
			}
		}
		return true, next
	}
	if in.s.level == Eventual { // whatever was written by then
		written := func(w write) bool { return w.call < in.s.ret && b.wrote(&w, in.s) }
		return slices.ContainsFunc(r.writes, written), now
	}
	ok := slices.ContainsFunc(now, func(m member) bool { return b.wrote(&r.writes[m.w], in.s) })
	return ok, now
}

// search runs the checker over one key. The last result is for a picture.
func (b *book) search(r *register, f form, budget int, verbose bool) (porcupine.CheckResult,
	porcupine.LinearizationInfo) {
	if budget <= 0 {
		budget = BudgetDefault
	}
	m, ops := b.model(r, &budget), b.intervals(r, f)
	var info porcupine.LinearizationInfo
	verdict := porcupine.Ok
	if verbose {
		verdict, info = porcupine.CheckOperationsVerbose(m, ops, 0)
	} else if !porcupine.CheckOperations(m, ops) {
		verdict = porcupine.Illegal
	}
	if budget < 0 {
		verdict = porcupine.Unknown
	}
	return verdict, info
}

// intervals turns the operations on a key into those of the search. Event numbers are doubled, to leave room
// for a point right after each. Shrinking is explained in the package documentation.
func (b *book) intervals(r *register, f form) []porcupine.Operation {
	var ops []porcupine.Operation
	add := func(op int, in step, call, ret int64) {
		client := 0
		if op >= 0 {
			client = b.h.Ops[op].Client
		}
		ops = append(ops, porcupine.Operation{ClientId: client, Input: in, Call: call, Return: ret})
	}
	for i := 1; i < len(r.writes); i++ {
		w := &r.writes[i]
		add(w.op, step{kind: called, w: i, outcome: b.h.Ops[w.op].Outcome}, 2*w.call, 2*w.call)
		if w.ret == Forever {
			continue
		}
		from := 2 * w.ret
		if f == drawn {
			from = 2*w.call + 1
		}
		add(w.op, step{kind: acknowledged, w: i}, from, 2*w.ret)
	}
	for i := range r.seen {
		s := &r.seen[i]
		from, to := 2*s.call, 2*s.ret
		if f == shrunk {
			from = b.point(r, s)
			to = from
		}
		add(s.op, step{kind: seen, s: s}, from, to)
	}
	return ops
}

// point returns where a sighting passes if it passes anywhere: at its call, or right after the call of a
// write it accepts, if one was called in its interval.
func (b *book) point(r *register, s *sighting) int64 {
	for i := range r.writes { // ordered by call
		w := &r.writes[i]
		if w.call > s.ret {
			break
		}
		if w.call > s.call && b.wrote(w, s) {
			return 2*w.call + 1
		}
	}
	return 2 * s.call
}

func (b *book) describeStep(r *register, in step) string {
	switch in.kind {
	case called:
		s := b.writeText(&r.writes[in.w]) + " called"
		if in.outcome == Unknown {
			s += ", outcome unknown"
		}
		return s
	case acknowledged:
		return b.writeText(&r.writes[in.w])
	}
	kind := "read"
	if in.s.list {
		kind = "listing"
	}
	return fmt.Sprintf("%s: %s", kind, b.sawText(in.s))
}

func (b *book) describeState(r *register, now current) string {
	var parts []string
	for _, m := range now {
		s := b.writeText(&r.writes[m.w])
		if !m.acked {
			s += "?"
		}
		parts = append(parts, s)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (b *book) writeText(w *write) string {
	switch {
	case w.op < 0:
		return "nothing"
	case w.effect == absence:
		return fmt.Sprintf("delete #%d", w.op)
	case w.effect == anything:
		return fmt.Sprintf("copy #%d of %q", w.op, w.from)
	}
	return fmt.Sprintf("put #%d %s", w.op, w.value)
}
