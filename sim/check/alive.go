package check

import "slices"

// Stuck: an operation did not succeed although nothing stood in its way.
const Stuck Fault = "operation failed although all was healed"

// Alive demands that every operation called after the event number since has succeeded: reads were answered,
// if only that nothing is there, and writes acknowledged. At the monotonic level two things may fail while a
// replica is silent: of writes to one key that overlap, one may be of unknown outcome, since it is not
// stamped anew while the silent one may have it; and a key, or a listing of it, may be unreadable after a
// write of unknown outcome, which one replica has, another has promised to refuse, and the silent one would
// decide.
func Alive(h *History, since int64) (all []Violation) {
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Call > since && op.Outcome != OK && !(op.Level == Monotonic && h.waits(op)) {
			all = append(all, Violation{Fault: Stuck, Key: op.Key, Op: i, By: -1, Text: op.String()})
		}
	}
	return all
}

// waits reports whether a monotonic operation may have to wait for a silent replica.
func (h *History) waits(op *Op) bool {
	return slices.ContainsFunc(h.Ops, func(w Op) bool {
		same := w.Kind.writes() && w.Call != op.Call && w.Key == op.Key && w.Call < op.Return
		switch {
		case op.Kind.writes():
			return same && op.Outcome == Unknown && op.Call < w.Return
		case op.Kind == List:
			return w.Kind.writes() && w.Outcome == Unknown && w.Call < op.Return && op.Listing.asks(w.Key)
		}
		return same && w.Outcome == Unknown
	})
}
