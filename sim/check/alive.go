package check

// Stuck: an operation did not succeed although nothing stood in its way.
const Stuck Fault = "operation failed although all was healed"

// Alive demands that every operation called after the event number since has succeeded: reads were answered,
// if only that nothing is there, and writes acknowledged.
func Alive(h *History, since int64) (all []Violation) {
	for i := range h.Ops {
		if op := &h.Ops[i]; op.Call > since && op.Outcome != OK {
			all = append(all, Violation{Fault: Stuck, Key: op.Key, Op: i, By: -1, Text: op.String()})
		}
	}
	return all
}
