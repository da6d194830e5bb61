package check

import "fmt"

// Durable demands that every key with an acknowledged put was read successfully by a Get called at or after
// the event number since, and that no Get from then on failed. What those reads returned is judged by
// [Direct]: a read after everything else that passes there shows the acknowledged write, byte for byte.
func Durable(h *History, since int64) []Violation {
	read, failed := map[string]bool{}, map[string]int{}
	for i := range h.Ops {
		if op := &h.Ops[i]; op.Kind == Get && op.Call >= since {
			if op.Outcome == OK {
				read[op.Key] = true
			} else {
				failed[op.Key] = i
			}
		}
	}
	var all []Violation
	done := map[string]bool{}
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Kind != Put || op.Outcome != OK || done[op.Key] {
			continue
		}
		done[op.Key] = true
		at, tried := failed[op.Key]
		switch {
		case tried:
			all = append(all, Violation{Fault: Unreadable, Key: op.Key, Op: at, By: i,
				Text: h.Ops[at].String()})
		case !read[op.Key]:
			all = append(all, Violation{Fault: Unreadable, Key: op.Key, Op: -1, By: i,
				Text: fmt.Sprintf("acknowledged by #%d and never read afterwards", i)})
		}
	}
	sortViolations(all)
	return all
}
