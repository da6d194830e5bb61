package quorum

import (
	"errors"
	"fmt"
	"strings"

	"granary/core/layout"
	"granary/core/rt"
)

// Kinds of errors, for errors.Is.
var (
	// ErrUnavailable means that too few replicas answered.
	ErrUnavailable = errors.New("not enough replicas answered")
	// ErrUnknown means, of a write, that it may have taken effect, or may yet. Such an error is
	// ErrUnavailable too.
	ErrUnknown = errors.New("outcome unknown")
	// ErrSilent is the cause that stands for a replica which did not answer in time.
	ErrSilent = errors.New("no answer")
)

// Cause is one replica's error.
type Cause struct {
	Node string // as people know it: name and zone
	Err  error
}

// Error says which quorum was missed.
type Error struct {
	Op      string // "read" or "write"
	Subject string
	Need    int // answers needed
	Got     int
	Of      int // replicas asked; 0 if it did not come to that
	Unknown bool
	// Zones are those that the quorum lacks, where voters count by zones: Need, Got and Of are zones then.
	Zones  []string
	Causes []Cause
}

// Lack says of which quorum the answers of those nodes fall short.
func (e *Error) Lack(set layout.Set, answered func(rt.NodeID) bool) {
	e.Need, e.Of, e.Zones = set.Write, len(set.Nodes), set.Lacking(answered)
	e.Got = layout.Count(set.Nodes, answered)
	if set.Zones != nil {
		e.Of, e.Got = len(set.Zones), len(set.Zones)-len(e.Zones)
	}
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", e.Op, e.Subject)
	switch {
	case len(e.Zones) > 0:
		fmt.Fprintf(&b, ": %d of %d zones needed, %d answered, missing %s", e.Need, e.Of, e.Got,
			strings.Join(e.Zones, " and "))
	case e.Of > 0:
		fmt.Fprintf(&b, ": %d of %d replicas needed, %d answered", e.Need, e.Of, e.Got)
	}
	for i, c := range e.Causes {
		sep := "; "
		if i == 0 {
			sep = " ("
		}
		fmt.Fprintf(&b, "%s%s: %v", sep, c.Node, c.Err)
	}
	if len(e.Causes) > 0 {
		b.WriteByte(')')
	}
	if e.Unknown {
		b.WriteString("; the write may have happened, or may yet")
	}
	return b.String()
}

// Is matches ErrUnavailable, and ErrUnknown if the outcome is unknown.
func (e *Error) Is(target error) bool {
	return target == ErrUnavailable || target == ErrUnknown && e.Unknown
}

// Unwrap returns the replicas' errors.
func (e *Error) Unwrap() []error {
	errs := make([]error, len(e.Causes))
	for i, c := range e.Causes {
		errs[i] = c.Err
	}
	return errs
}
