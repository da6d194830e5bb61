package table

import (
	"bytes"

	"granary/core/kv"
	"granary/core/layout"
)

// Stock is a row as a replica holds it, for whoever compares replicas from outside.
type Stock struct {
	Prefix layout.Prefix // of its partition key
	Full   bool          // of a full-copy table
	Key    string        // table, partition key and sort key
	Sum    uint64        // of the row and of all its parts that are here, content included
}

// Inventory calls f for every row of this node that other replicas must have too, in the order of the store.
//
// Cost: a read of all rows, in one transaction.
func (t *Tables) Inventory(f func(Stock)) error {
	return t.store.View(func(r kv.Reader) (failed error) {
		r.Ascend([]byte{localPrefix}, []byte{localPrefix + 1}, func(k, stored []byte) bool {
			s, err := t.registry.schema(ID(k[localHeadLen-1]))
			if err != nil || s.derived() {
				return true
			}
			var sum Digest
			if sum, failed = stockDigest(r, s, k, stored); failed != nil {
				return false
			}
			f(Stock{Prefix: layout.Prefix(k[1])<<8 | layout.Prefix(k[2]), Full: s.fullCopy(),
				Key: string(k[localHeadLen-1:]), Sum: sum.Sum[0]})
			return true
		})
		return failed
	})
}

// stockDigest sums up a row and its parts.
func stockDigest(r kv.Reader, s schema, key, stored []byte) (Digest, error) {
	row, err := s.unseal(stored)
	if err != nil {
		return Digest{}, err
	}
	_, _, n := s.describe()
	pk := bytes.Clone(key[localHeadLen : localHeadLen+n])
	reader := newReader(r, pk)
	sum := rowDigest(key, row, false)
	_, err = s.parts(reader, Address{pk, key[localHeadLen+n:]}, row, func(part Row) {
		at := appendLocal(nil, reader.prefix, part.Table, Address{pk, part.Sort})
		sum = sum.add(rowDigest(at, part.Value, false))
	})
	return sum, err
}
