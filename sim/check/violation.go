package check

import (
	"cmp"
	"fmt"
	"slices"
)

// Fault names a way of breaking the promise. The values are stable: tests, campaigns and people cite them.
type Fault string

// The faults.
const (
	// Stale: a read returned a put that another put had superseded.
	Stale Fault = "stale read"
	// Lost: an acknowledged put was never seen by any read, and a later read shows what was before it.
	Lost Fault = "lost update"
	// Resurrected: a read returned a put that a deletion had superseded.
	Resurrected Fault = "resurrection"
	// WentBack: monotonic reads and writes of a key are not those of one register.
	WentBack Fault = "monotonic read went back"
	// ThinAir: a read returned what nobody wrote under that key.
	ThinAir Fault = "thin air"
	// TakenBack: a read returned a write that had failed for certain.
	TakenBack Fault = "failed write seen"
	// Future: a read returned a write that was called only after the read had returned.
	Future Fault = "value from the future"
	// WrongBytes: content, size or ETag are not those of the write.
	WrongBytes Fault = "wrong bytes"
	// ListMissing: a listing does not show a key that must be there.
	ListMissing Fault = "listing misses a key"
	// ListGhost: a listing shows a key, or a common prefix, where nothing can be.
	ListGhost Fault = "listing shows a ghost"
	// ListStale: a listing shows a superseded or impossible state of a key.
	ListStale Fault = "listing shows a stale entry"
	// ListShape: a page is out of order, outside of what was asked, or too long.
	ListShape Fault = "malformed listing"
	// Unreadable: an acknowledged key could not be read at the end.
	Unreadable Fault = "unreadable at the end"
	// Diverged: replicas of a partition do not hold the same at the end.
	Diverged Fault = "replicas differ at the end"
	// Unsound: what a node keeps contradicts itself, as granary check would say.
	Unsound Fault = "unsound store"
	// Leaked: what nothing needs is kept at the end, or what is needed is not there.
	Leaked Fault = "leak"
)

// Violation is one broken promise.
type Violation struct {
	Fault Fault
	Key   string // empty when it is of a listing as a whole
	Op    int    // index of the operation that shows it, -1 for none
	By    int    // index of the write that should have been seen, -1 for none
	Text  string
}

// String describes the violation in one line.
func (v Violation) String() string {
	return fmt.Sprintf("%s: key %q, operation #%d: %s", v.Fault, v.Key, v.Op, v.Text)
}

// promise reports whether the fault is of the per-key promise, which Porcupine judges too.
func (v Violation) promise() bool {
	switch v.Fault {
	case WentBack, WrongBytes, ListShape, Unreadable, Diverged, Unsound, Stuck, Leaked:
		return false
	}
	return v.Key != ""
}

func sortViolations(all []Violation) {
	slices.SortStableFunc(all, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.Op, b.Op), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Fault, b.Fault))
	})
}
