package check

import "slices"

// Stuck: an operation did not succeed although nothing stood in its way.
const Stuck Fault = "operation failed although all was healed"

// Alive demands that every operation called after the event number since has succeeded: reads were answered,
// if only that nothing is there, and writes acknowledged. But of monotonic writes to one key that overlap, one may
// be of unknown outcome while a replica is silent: it is not stamped anew, since that replica may have it.
func Alive(h *History, since int64) (all []Violation) {
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Call > since && op.Outcome != OK && !(op.Level == Monotonic && op.Outcome == Unknown && h.raced(op)) {
			all = append(all, Violation{Fault: Stuck, Key: op.Key, Op: i, By: -1, Text: op.String()})
		}
	}
	return all
}

// raced reports whether a write overlaps with another one of its key.
func (h *History) raced(op *Op) bool {
	return op.Kind.writes() && slices.ContainsFunc(h.Ops, func(o Op) bool {
		return o.Kind.writes() && o.Key == op.Key && o.Call != op.Call && o.Call < op.Return && op.Call < o.Return
	})
}
