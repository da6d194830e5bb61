package register

import (
	"fmt"
	"strings"

	"granary/core/codec"
)

// CheckRecord judges a record of this package in a store at rest. known is false if it is not one.
func CheckRecord(key, value []byte) (known bool, err error) {
	name, ok := strings.CutPrefix(string(key), keyPrefix)
	if !ok {
		return false, nil
	}
	s, err := codec.Load[state](value, kindState)
	switch {
	case err != nil:
		return true, err
	case name == "" || len(name) > KeyMax:
		return true, fmt.Errorf("a register's key of %d bytes", len(name))
	case s.Promised.compare(s.Accepted) < 0:
		return true, fmt.Errorf("round %d was accepted, and only %d promised", s.Accepted.Round,
			s.Promised.Round)
	case (s.Accepted == ballot{}) != (s.Value == nil):
		return true, fmt.Errorf("round %d was accepted with a value of %d bytes", s.Accepted.Round,
			len(s.Value))
	}
	return true, nil
}
