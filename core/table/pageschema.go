package table

import "granary/core/codec"

// page appends to dst what a listing takes from a stored row, and reports whether the row is live.
func (t *Table[T]) page(dst, stored []byte) (projected []byte, live bool, err error) {
	row, err := t.unseal(stored)
	if err != nil {
		return dst, false, err
	}
	switch {
	case t.def.Glance != nil:
		return t.def.Glance(dst, row)
	case t.def.Live == nil && t.def.Project == nil:
		return append(dst, row...), true, nil
	}
	v, err := t.Decode(row)
	if err != nil {
		return dst, false, err
	}
	live = t.def.Live == nil || t.def.Live(v)
	if t.def.Project == nil {
		return append(dst, row...), live, nil
	}
	dst, err = codec.Append(dst, t.def.Project(v))
	return dst, live, err
}

func (t *Table[T]) shown(row []byte) (bool, error) {
	if t.def.Live == nil {
		return true, nil
	}
	v, err := t.Decode(row)
	return err == nil && t.def.Live(v), err
}

func (t *Table[T]) foldable(sort []byte) int {
	if t.def.Foldable == nil {
		return len(sort)
	}
	return t.def.Foldable(sort)
}

func (t *Table[T]) skip(sort []byte) []byte {
	if t.def.Skip == nil {
		return nil
	}
	return t.def.Skip(sort)
}

// rowOf finds the row in an encoded record without decoding the rest: field 1, which the deterministic
// encoding puts first, in a map of up to three. ok is false if the record does not begin so.
func rowOf(record []byte) (row []byte, ok bool) {
	if len(record) < 3 || record[0] < 0xa1 || record[0] > 0xa3 || record[1] != 0x01 {
		return nil, false
	}
	major, n, rest, ok := cborHead(record[2:])
	if !ok || major != cborBytes || n > uint64(len(rest)) || record[0] == 0xa1 && n < uint64(len(rest)) {
		return nil, false
	}
	return rest[:n:n], true
}
