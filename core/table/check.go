package table

import (
	"bytes"
	"errors"
	"fmt"

	"granary/core/codec"
	"granary/core/kv"
	"granary/core/layout"
)

// Check reads all rows of a store, calls fault for whatever is wrong with one, or with the digests of all,
// and returns how many rows each table has.
//
// A row is right when its table is known, it lies under the prefix of its partition key, its record's
// checksum and encoding are right, every vote in it is of an older head, and its table's own Verify agrees.
//
// Cost: a read of all rows, twice.
func Check(r kv.Reader, registry *Registry, fault func(format string, args ...any)) (rows [256]int64) {
	r.Ascend([]byte{localPrefix}, nil, func(key, stored []byte) bool {
		if key[0] != localPrefix || len(key) < localHeadLen {
			fault("record %.80x: no row has such a key", key)
			return true
		}
		s, err := registry.schema(ID(key[localHeadLen-1]))
		if err != nil {
			fault("row %.80x: %w", key, err)
			return true
		}
		rows[key[localHeadLen-1]]++
		if err := checkRow(r, s, key, stored); err != nil {
			_, name, _ := s.describe()
			fault("%s row %.160x: %w", name, key[localHeadLen:], err)
		}
		return true
	})
	if err := checkDigests(r, registry); err != nil {
		fault("%w", err)
	}
	return rows
}

// checkRow says what is wrong with a row, wherever it can be told from the key.
func checkRow(r kv.Reader, s schema, key, stored []byte) error {
	_, _, n := s.describe()
	if len(key) < localHeadLen+n {
		return fmt.Errorf("a key of %d bytes, at least %d", len(key), localHeadLen+n)
	}
	key = bytes.Clone(key)
	at := Address{PK: key[localHeadLen : localHeadLen+n], Sort: key[localHeadLen+n:]}
	if have, want := layout.Prefix(key[1])<<8|layout.Prefix(key[2]), layout.PrefixOf(at.PK); have != want {
		return fmt.Errorf("it lies under the prefix %04x, its partition key's is %04x", have, want)
	}
	if s.fullCopy() && !bytes.Equal(at.PK, fullPK) {
		return fmt.Errorf("partition key %x in a table that all nodes have whole", at.PK)
	}
	return s.verify(newReader(r, at.PK), at, stored)
}

// verify implements schema: what is wrong with a stored row.
func (t *Table[T]) verify(r *Reader, at Address, stored []byte) error {
	rec, err := codec.Load[record](stored, t.def.Kind)
	if err != nil {
		return err
	}
	v, err := t.Decode(rec.Row)
	if err != nil {
		return err
	}
	var faults []error
	if len(rec.Votes) > 0 && t.def.Head == nil {
		faults = append(faults, fmt.Errorf("%d votes in a table without", len(rec.Votes)))
	}
	for _, vote := range rec.Votes {
		if t.def.Head != nil && Head(vote).Compare(t.def.Head(v)) >= 0 {
			faults = append(faults, fmt.Errorf("it voted for %v, which nothing newer replaced", vote.Stamp))
		}
	}
	if t.def.Parts != nil && !rec.Lacks {
		whole, err := t.def.Parts(r, at, v, func(Row) {})
		if err == nil && !whole {
			err = errors.New("parts of it are missing that were here")
		}
		faults = append(faults, err)
	}
	if t.def.Verify != nil {
		faults = append(faults, t.def.Verify(r, at, v))
	}
	return errors.Join(faults...)
}

// Each calls f for the rows of the table in a store, in the order of the prefixes of their partition keys,
// until it returns false. Rows that cannot be decoded are passed over: Check names them.
func (t *Table[T]) Each(r kv.Reader, f func(at Address, v T) bool) {
	for from := []byte{localPrefix}; from != nil; {
		var next []byte
		r.Ascend(from, []byte{localPrefix + 1}, func(key, stored []byte) bool {
			if len(key) < localHeadLen+t.def.PKLen || ID(key[localHeadLen-1]) != t.def.ID {
				next = t.after(key)
				return false
			}
			row, err := t.unseal(stored)
			if err != nil {
				return true
			}
			v, err := t.Decode(row)
			return err != nil || f(Address{PK: key[localHeadLen : localHeadLen+t.def.PKLen],
				Sort: key[localHeadLen+t.def.PKLen:]}, v)
		})
		from = next
	}
}

// RowPrefix is the first byte of the local keys of rows; all other records of a node have lower ones.
const RowPrefix = localPrefix

// Name returns the name of a registered table.
func (r *Registry) Name(id ID) string {
	s, err := r.schema(id)
	if err != nil {
		return fmt.Sprintf("table %d", id)
	}
	_, name, _ := s.describe()
	return name
}

// ScanAt is Scan of a partition key in a store at rest.
func (t *Table[T]) ScanAt(r kv.Reader, pk []byte, f func(sort []byte, v T) bool) error {
	return t.Scan(newReader(r, pk), nil, nil, f)
}

// GetAt is Get in a transaction of the caller's.
func (t *Table[T]) GetAt(r kv.Reader, pk, sort []byte) (v T, ok bool, err error) {
	return t.Get(newReader(r, pk), sort)
}

// after is the first key behind one of another table that may be of this one.
func (t *Table[T]) after(key []byte) []byte {
	if len(key) < localHeadLen {
		return append(bytes.Clone(key), 0)
	}
	if ID(key[localHeadLen-1]) < t.def.ID {
		return append(bytes.Clone(key[:localHeadLen-1]), byte(t.def.ID))
	}
	if ID(key[localHeadLen-1]) == t.def.ID { // too short a key
		return append(bytes.Clone(key), 0)
	}
	next := successor(key[:localHeadLen-1])
	if len(next) == 0 {
		return nil
	}
	return append(next, 0)
}

// CheckRecord judges a record of this package that is no row. known is false if it is not one of this
// package.
func CheckRecord(key, value []byte) (known bool, err error) {
	if bytes.Equal(key, keyScrub) {
		_, err := codec.Load[scrubState](value, kindScrub)
		return true, err
	}
	if known, err = checkFloor(key, value); known {
		return known, err
	}
	if len(key) == 0 || key[0] != digestPrefix {
		return false, nil
	}
	if bytes.Equal(key, keyDigested) {
		if !bytes.Equal(value, []byte{digestVersion}) {
			return true, fmt.Errorf("digests of version %x, this program knows %d", value, digestVersion)
		}
		return true, nil
	}
	if len(key) < 1+localHeadLen || key[1] < levelSpan || key[1] > levelGroup {
		return true, errors.New("no digest has such a key")
	}
	if len(value) != digestLen || value[0] != digestVersion {
		return true, errors.New("a digest that cannot be read")
	}
	return true, nil
}
