package table

import (
	"bytes"
	"fmt"

	"granary/core/kv"
)

// Resume is a place between two rows of a listing. The zero Resume is the beginning.
type Resume struct {
	kind resumeKind
	key  []byte
}

type resumeKind uint8

const (
	fromStart   resumeKind = 0
	afterKey    resumeKind = 1
	afterPrefix resumeKind = 2
)

// AfterKey is the place behind the row at sort.
func AfterKey(sort []byte) Resume { return Resume{afterKey, sort} }

// AfterPrefix is the place behind every row whose sort key begins with prefix, which is not empty.
func AfterPrefix(prefix []byte) Resume { return Resume{afterPrefix, prefix} }

// IsZero reports whether r is the beginning.
func (r Resume) IsZero() bool { return r.kind == fromStart }

// start is the lowest sort key behind r; ok is false if there is none.
func (r Resume) start() (start []byte, ok bool) {
	switch r.kind {
	case afterKey:
		return append(append(make([]byte, 0, len(r.key)+1), r.key...), 0), true
	case afterPrefix:
		start = appendSuccessor(nil, r.key)
		return start, start != nil
	}
	return nil, true
}

// resumeVersion is the first byte of an encoded Resume.
const resumeVersion = 1

// Encode returns r as bytes, for a continuation token; nil for the beginning.
//
//	version 1 | kind: 1 after key, 2 after prefix | key or prefix
func (r Resume) Encode() []byte {
	if r.kind == fromStart {
		return nil
	}
	return append([]byte{resumeVersion, byte(r.kind)}, r.key...)
}

// ParseResume reads what Encode wrote. Nothing else is accepted.
//
// Errors: ErrBadResume.
func ParseResume(b []byte) (Resume, error) {
	if len(b) == 0 {
		return Resume{}, nil
	}
	bad := func(format string, args ...any) (Resume, error) {
		return Resume{}, fmt.Errorf("%w: %s", ErrBadResume, fmt.Sprintf(format, args...))
	}
	if b[0] != resumeVersion {
		return bad("version %d, want %d", b[0], resumeVersion)
	}
	if len(b) < 2 || len(b) > 2+kv.KeyMax {
		return bad("%d bytes, want 2 to %d", len(b), 2+kv.KeyMax)
	}
	r := Resume{resumeKind(b[1]), bytes.Clone(b[2:])}
	if r.kind != afterKey && r.kind != afterPrefix || r.kind == afterPrefix && len(r.key) == 0 {
		return bad("kind %d with a key of %d bytes", r.kind, len(r.key))
	}
	return r, nil
}
