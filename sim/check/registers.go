package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"
)

// Registers judges the promise of monotonic reads and writes: each key, all of whose writes are monotonic, is
// one linearizable register, in which a write that is stamped anew remains the same write. It returns what
// breaks that, ordered by operation, and how many keys porcupine gave up on, within so many model steps for
// each; 0 means BudgetDefault.
//
// Two checkers judge, as in [Agree]. The direct one looks at each value that names its write: between the
// first return of the write, or of a read of it, and the last call of one, the register held nothing else; so
// no two such zones overlap, and none has a whole deletion, or read of something else, within it. That is all
// there is to a register where values are unique. Deletions, and values that share an ETag, are left to
// porcupine, which searches for an order.
//
// Errors: the direct checker found what porcupine does not, which is a fault of this package.
//
// Source: Gibbons and Korach, Testing Shared Memories, 1997: zones.
func Registers(h *History, budget int) (all []Violation, unknown int, err error) {
	b := newBook(h)
	b.listings()
	for _, key := range b.keys {
		r := b.of[key].monotonic(h)
		if r == nil {
			continue
		}
		direct := b.zones(r)
		all = append(all, direct...)
		switch verdict := b.order(r, budget); {
		case verdict == porcupine.Unknown:
			unknown++
		case verdict == porcupine.Ok && len(direct) > 0:
			err = fmt.Errorf("check: porcupine finds an order for %q, but: %v", key, direct[0])
		case verdict == porcupine.Illegal && len(direct) == 0:
			all = append(all, Violation{Fault: WentBack, Key: key, Op: -1, By: -1,
				Text: "no order of its writes explains what was seen"})
		}
	}
	sortViolations(all)
	return all, unknown, err
}

// monotonic returns what belongs to the register: nil if a write of it is of another level, or none was seen.
func (r *register) monotonic(h *History) *register {
	m := &register{key: r.key, writes: r.writes}
	for _, w := range r.writes {
		if w.op >= 0 && h.Ops[w.op].Level != Monotonic {
			return nil
		}
	}
	for _, s := range r.seen {
		if s.level == Monotonic {
			m.seen = append(m.seen, s)
		}
	}
	if len(m.seen) == 0 {
		return nil
	}
	return m
}

// zone is what is known of the time in which a register held one write: if from < to, at least that long;
// else at a moment between to and from.
type zone struct {
	from, to int64     // the first return, and the last call, of the write and of reads that saw it
	w        int       // index of the write, if it is one's
	op       int       // that was called last
	s        *sighting // of one read that may be of several writes
}

func (z zone) forward() bool { return z.from < z.to }

// zones returns what contradicts itself.
func (b *book) zones(r *register) (all []Violation) {
	var long, short []zone
	for _, z := range b.zonesOf(r) {
		if z.forward() {
			long = append(long, z)
		} else {
			short = append(short, zone{from: z.to, to: z.from, op: z.op, s: z.s})
		}
	}
	slices.SortFunc(long, func(x, y zone) int { return cmp.Compare(x.from, y.from) })
	fail := func(held, other zone) {
		all = append(all, Violation{Fault: WentBack, Key: r.key, Op: held.op, By: other.op,
			Text: fmt.Sprintf("%s was there from %d to %d: in between was #%d",
				b.writeText(&r.writes[held.w]), held.from, held.to, other.op)})
	}
	for i := 1; i < len(long); i++ {
		if long[i].from < long[i-1].to {
			fail(long[i-1], long[i])
			return all // others may follow from it
		}
	}
	for _, z := range short {
		at, _ := slices.BinarySearchFunc(long, z, func(l, z zone) int { return cmp.Compare(l.from, z.from) })
		if at > 0 && z.to < long[at-1].to && (z.s == nil || !b.wrote(&r.writes[long[at-1].w], z.s)) {
			fail(long[at-1], z)
		}
	}
	return all
}

// zonesOf returns the zones of the writes whose values name them, of other acknowledged writes, and of reads
// that may be of several.
func (b *book) zonesOf(r *register) []zone {
	of := make([]zone, len(r.writes))
	for i, w := range r.writes {
		of[i] = zone{from: w.ret, to: w.call, w: i, op: w.op}
	}
	var all []zone
	for i := range r.seen {
		s := &r.seen[i]
		w := b.sole(r, s)
		if w < 0 {
			all = append(all, zone{from: s.ret, to: s.call, op: s.op, s: s})
			continue
		}
		of[w].from = min(of[w].from, s.ret)
		if s.call > of[w].to {
			of[w].to, of[w].op = s.call, s.op
		}
	}
	for _, z := range of[1:] { // but the beginning
		if z.from < Forever {
			all = append(all, z)
		}
	}
	return all
}

// sole returns the only write that a sighting can be of, -1 if there are several, or none.
func (b *book) sole(r *register, s *sighting) int {
	found := -1
	for i := range r.writes {
		if b.wrote(&r.writes[i], s) {
			if found >= 0 || r.writes[i].op < 0 {
				return -1
			}
			found = i
		}
	}
	return found
}

// order searches for one order of a register's writes and reads.
func (b *book) order(r *register, budget int) porcupine.CheckResult {
	if budget <= 0 {
		budget = BudgetDefault
	}
	var ops []porcupine.Operation
	for i := 1; i < len(r.writes); i++ {
		w := &r.writes[i]
		seen := func(s sighting) bool { return b.wrote(w, &s) }
		if w.ret < Forever || slices.ContainsFunc(r.seen, seen) { // else it may come after all others
			ops = append(ops, porcupine.Operation{Input: i, Call: w.call, Return: w.ret})
		}
	}
	for i := range r.seen {
		s := &r.seen[i]
		ops = append(ops, porcupine.Operation{Input: s, Call: s.call, Return: s.ret})
	}
	if porcupine.CheckOperations(b.registerModel(r, &budget), ops) {
		return porcupine.Ok
	}
	if budget < 0 {
		return porcupine.Unknown
	}
	return porcupine.Illegal
}

// registerModel is a register whose state is the index of a write. It stops when steps are used up.
func (b *book) registerModel(r *register, steps *int) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return 0 },
		StepContext: func(_ context.Context, state, input, _ any) (bool, any) {
			if *steps--; *steps < 0 {
				return false, state
			}
			if s, ok := input.(*sighting); ok {
				return b.wrote(&r.writes[state.(int)], s), state
			}
			return true, input
		},
	}
}
