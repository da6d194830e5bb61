package check

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"
)

// Limits of a picture, in operations.
const (
	pictureMax   = 300 // drawn, those around the fault
	pictureAfter = 20  // of them, at most so many after it
	pictureSteps = 200_000
)

// HTML draws the operations on a key around its first fault as a self-contained page: what each client did,
// and how far the model could follow. A key without fault is drawn from its beginning.
//
// Errors: a key of which the history says nothing.
func HTML(h *History, key string) ([]byte, error) {
	b := newBook(h)
	faults := b.listings()
	r := b.of[key]
	if r == nil {
		return nil, fmt.Errorf("draw key %q: the history has no operation on it", key)
	}
	faults = append(faults, b.judge(r)...)
	sortViolations(faults)
	at := slices.IndexFunc(faults, func(v Violation) bool { return v.Key == key })
	end := int64(Forever)
	if at >= 0 {
		end = h.Ops[faults[at].Op].Return
	}
	part := r.around(end)
	_, info := b.search(part, drawn, pictureSteps, true)
	if at >= 0 {
		op := &h.Ops[faults[at].Op]
		info.AddAnnotations([]porcupine.Annotation{{
			Tag: string(faults[at].Fault), Start: 2 * op.Call, End: 2 * min(op.Return, Forever/4),
			Description: string(faults[at].Fault), Details: faults[at].Text, BackgroundColor: "#efaefc",
		}})
	}
	var out bytes.Buffer
	steps := pictureSteps
	if err := porcupine.Visualize(b.model(part, &steps), info, &out); err != nil {
		return nil, fmt.Errorf("draw key %q: %w", key, err)
	}
	return out.Bytes(), nil
}

// around returns the part of a register that decides what reads may see shortly before end. What came earlier
// and can still be seen is kept.
func (r *register) around(end int64) *register {
	type point struct {
		call, ret int64
	}
	var all []point
	for _, w := range r.writes[1:] {
		all = append(all, point{w.call, w.ret})
	}
	for _, s := range r.seen {
		all = append(all, point{s.call, s.ret})
	}
	slices.SortFunc(all, func(x, y point) int { return int(min(max(x.call-y.call, -1), 1)) })
	last := len(all)
	if n := slices.IndexFunc(all, func(p point) bool { return p.call > end }); n >= 0 {
		last = min(n+pictureAfter, len(all))
	}
	if last <= pictureMax && last == len(all) {
		return r
	}
	first, after := int64(0), int64(Forever)
	if last > pictureMax {
		first = all[last-pictureMax].call
	}
	if last < len(all) {
		after = all[last].call
	}
	part := &register{key: r.key, failed: r.failed, writes: slices.Clone(r.writes[:1])}
	bar := r.lookup().bar(r, first, ReadAfterWrite).call
	for _, w := range r.writes[1:] {
		if w.ret >= bar && w.call < after {
			part.writes = append(part.writes, w)
		}
	}
	for _, s := range r.seen {
		if s.call >= first && s.call < after {
			part.seen = append(part.seen, s)
		}
	}
	return part
}
