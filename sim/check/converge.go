package check

import (
	"fmt"
	"maps"
	"slices"
)

// Replica is what one node holds of one partition, or of the tables that every node holds: by the key of a
// row, a hash of its content, that of the rows that belong to it included.
type Replica struct {
	Partition string
	Node      string
	Rows      map[string]uint64
}

// Converged demands that all replicas of every partition hold the same rows, with what belongs to them. It is
// for a cluster that was healed and left alone for long enough.
func Converged(replicas []Replica) []Violation {
	first := map[string]Replica{}
	var all []Violation
	for _, r := range replicas {
		f, ok := first[r.Partition]
		if !ok {
			first[r.Partition] = r
			continue
		}
		if diff := difference(f, r); diff != "" {
			all = append(all, Violation{Fault: Diverged, Op: -1, By: -1, Key: "partition " + r.Partition,
				Text: fmt.Sprintf("%s and %s differ: %s", f.Node, r.Node, diff)})
		}
	}
	sortViolations(all)
	return all
}

// difference says how many rows differ, and names one; empty if none do.
func difference(a, b Replica) string {
	n, named := 0, ""
	for _, key := range slices.Sorted(maps.Keys(a.Rows)) {
		theirs, ok := b.Rows[key]
		switch {
		case !ok:
			n, named = n+1, fmt.Sprintf("%s lacks row %q", b.Node, key)
		case theirs != a.Rows[key]:
			n, named = n+1, fmt.Sprintf("row %q is not the same, or not with the same parts", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(b.Rows)) {
		if _, ok := a.Rows[key]; !ok {
			n, named = n+1, fmt.Sprintf("%s lacks row %q", a.Node, key)
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d rows, for example %s", n, named)
}
