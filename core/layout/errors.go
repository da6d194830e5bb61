package layout

import "errors"

// The kinds of errors of this package, for errors.Is. The texts around them have the numbers and the remedy.
var (
	// ErrParams means that a role or parameter is out of its range.
	ErrParams = errors.New("invalid layout parameter")
	// ErrTooFewNodes means that fewer nodes store than there shall be replicas.
	ErrTooFewNodes = errors.New("too few storing nodes")
	// ErrTooFewZones means that fewer zones store than each partition shall be in.
	ErrTooFewZones = errors.New("too few zones with storing nodes")
	// ErrCapacity means that the capacities do not hold even one byte per partition.
	ErrCapacity = errors.New("too little capacity")
	// ErrInvalid means that a version breaks a rule that every version keeps; it must not be used.
	ErrInvalid = errors.New("invalid layout version")
)
