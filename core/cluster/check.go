package cluster

import (
	"bytes"
	"errors"
	"fmt"

	"granary/core/codec"
	"granary/core/rt"
)

// CheckRecord judges a record of this package in a store at rest. known is false if it is not one.
func CheckRecord(key, value []byte) (known bool, err error) {
	if bytes.Equal(key, keyDocument) {
		doc, err := codec.Load[document](value, kindDocument)
		if err == nil && doc.Layout != nil {
			err = errors.Join(doc.Layout.Validate(), doc.checkBefore())
		}
		return true, err
	}
	if bytes.Equal(key, keyGuard) {
		if len(value) != guardLen {
			return true, fmt.Errorf("guard of %d bytes, want %d", len(value), guardLen)
		}
		return true, nil
	}
	if peer, ok := bytes.CutPrefix(key, keyMarks); ok {
		m, err := codec.Load[mark](value, kindMark)
		if err == nil && (len(peer) != len(rt.NodeID{}) || m.Boot == 0) {
			err = errors.New("a mark of nobody, or of a store that was never started")
		}
		return true, err
	}
	peer, ok := bytes.CutPrefix(key, keyTokens)
	if !ok {
		return false, nil
	}
	if len(peer) != len(rt.NodeID{}) || len(value) != 8 {
		return true, fmt.Errorf("a token's key of %d bytes with an expiry of %d", len(peer), len(value))
	}
	return true, nil
}
