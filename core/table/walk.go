package table

import (
	"bytes"

	"granary/core/kv"
)

// walkSeeks bounds the hash prefixes that one Walk goes through, so that its transaction stays short.
const walkSeeks = 1024

// Walk calls f for up to max rows that this node holds of a table, whatever their partition keys, in the
// order of the store from a place on; nil begins at the start. It returns where to go on, nil at the end.
// What f is given is valid until Walk returns.
//
// Errors: those of the store; a row that cannot be read.
// Cost: one short read transaction.
func Walk[T any](ts *Tables, t *Table[T], from []byte, max int, f func(at Address, v T)) (next []byte,
	err error) {
	return WalkUnder(ts, t, nil, from, max, anybody, f)
}

func anybody(kv.Reader) error { return nil }

// WalkUnder is Walk over the rows whose partition keys begin with head, if admit does not refuse in the same
// transaction.
func WalkUnder[T any](ts *Tables, t *Table[T], head, from []byte, max int, admit func(kv.Reader) error,
	f func(at Address, v T)) (next []byte, err error) {
	key := bytes.Clone(from)
	if key == nil {
		key = append([]byte{localPrefix, 0, 0, byte(t.def.ID)}, head...)
	}
	end := []byte{localPrefix + 1}
	err = ts.store.View(func(r kv.Reader) (failed error) {
		if failed = admit(r); failed != nil {
			return failed
		}
		for seeks := 0; key != nil && seeks < walkSeeks && max > 0; seeks++ {
			at := key
			key = nil
			r.Ascend(at, end, func(k, stored []byte) bool {
				if k[localHeadLen-1] != byte(t.def.ID) || !bytes.HasPrefix(k[localHeadLen:], head) {
					key = groupAfter(k, byte(t.def.ID), head)
					return false
				}
				if max == 0 {
					key = bytes.Clone(k)
					return false
				}
				var v T
				if v, failed = t.open(stored); failed != nil {
					failed = atKey(k, failed)
					return false
				}
				max--
				f(Address{k[localHeadLen : localHeadLen+t.def.PKLen], k[localHeadLen+t.def.PKLen:]}, v)
				return true
			})
			if failed != nil {
				return failed
			}
		}
		return nil
	})
	return key, err
}

// open decodes a stored row.
func (t *Table[T]) open(stored []byte) (v T, err error) {
	row, err := t.unseal(stored)
	if err != nil {
		return v, err
	}
	return t.Decode(row)
}

// groupAfter is the first place at or behind a local key where rows of a table may be whose partition keys
// begin with head; k is none of them. nil if there is none.
func groupAfter(k []byte, id byte, head []byte) []byte {
	prefix := k[:localHeadLen-1]
	if bytes.Compare(k[localHeadLen-1:], append([]byte{id}, head...)) > 0 {
		if prefix = successor(prefix); len(prefix) < localHeadLen-1 {
			prefix = append(prefix, make([]byte, localHeadLen-1-len(prefix))...)
		}
		if prefix[0] != localPrefix {
			return nil
		}
	}
	return append(append(bytes.Clone(prefix), id), head...)
}
