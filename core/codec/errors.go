package codec

import (
	"errors"
	"strings"
)

// The kinds of errors of this package, for errors.Is.
var (
	// ErrCorrupt means that stored bytes are not those that were written: checksum or length is wrong. The
	// value must be repaired from other replicas; it is unreadable, not absent.
	ErrCorrupt = errors.New("corrupt")
	// ErrVersion means that a newer granary wrote the value.
	ErrVersion = errors.New("unknown version")
	// ErrKind means that the bytes are whole but of another kind than asked for.
	ErrKind = errors.New("wrong kind")
	// ErrMalformed means that bytes are no valid encoding of the wanted type.
	ErrMalformed = errors.New("malformed")
	// ErrLimit means that a value exceeds a limit of this package.
	ErrLimit = errors.New("over a limit")
	// ErrText means that a string is not valid UTF-8.
	ErrText = errors.New("invalid UTF-8")
	// ErrType means that a Go type has no encoding.
	ErrType = errors.New("no encoding for this type")
)

// Error is the error of every function of this package.
type Error struct {
	Op      string // encode, decode or open
	Subject string // the kind of value, or its Go type
	Kind    error  // one of the kinds above; what errors.Is compares
	Cause   error  // may be nil
	Hint    string // what to do next; may be empty
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("codec: " + e.Op + " " + e.Subject + ": " + e.Kind.Error())
	if e.Cause != nil {
		b.WriteString(": " + e.Cause.Error())
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Unwrap returns kind and cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}
