package table

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
)

// packMax is the most that packing adds to a row, in bytes.
const packMax = 2 * binary.MaxVarintLen64

// pageRow is one row of a replica's answer. Its slices are parts of the answer.
type pageRow struct {
	sort []byte
	row  []byte // the projection, encoded
	live bool
}

// pack appends a row to those of an answer, which are one byte string, so that a page costs neither an
// allocation nor a decoding per row:
//
//	length of sort, varint | sort | length of row × 2, + 1 if live, varint | row
func pack(dst, sort, row []byte, live bool) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(sort)))
	dst = append(dst, sort...)
	n := uint64(len(row)) << 1
	if live {
		n |= 1
	}
	dst = binary.AppendUvarint(dst, n)
	return append(dst, row...)
}

// unpack reads count packed rows, which must be all there is, in ascending order.
//
// Errors: ErrMalformedRow.
func unpack(packed []byte, count int) ([]pageRow, error) {
	if count < 0 || count > len(packed)/2 {
		return nil, fmt.Errorf("page of %d rows in %d bytes: %w", count, len(packed), ErrMalformedRow)
	}
	rows := make([]pageRow, count)
	rest := packed
	for i := range rows {
		r := &rows[i]
		var n uint64
		var ok bool
		if r.sort, _, rest, ok = cut(rest, 0); ok {
			r.row, n, rest, ok = cut(rest, 1)
		}
		r.live = n&1 == 1
		if !ok || i > 0 && bytes.Compare(rows[i-1].sort, r.sort) >= 0 {
			at := len(packed) - len(rest)
			return nil, fmt.Errorf("page row %d of %d, at byte %d: %w", i, count, at, ErrMalformedRow)
		}
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("page of %d rows: %d bytes left over: %w", count, len(rest), ErrMalformedRow)
	}
	return rows, nil
}

// cut takes a varint n off b, and n >> shift bytes behind it.
func cut(b []byte, shift uint) (field []byte, n uint64, rest []byte, ok bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n>>shift > uint64(len(b)-w) || n > math.MaxInt {
		return nil, 0, b, false
	}
	end := w + int(n>>shift)
	return b[w:end:end], n, b[end:], true
}

// answer is a replica's answer to one range, unpacked.
type answer struct {
	rows  []pageRow
	end   []byte // last sort key examined, nil if none; only unless whole
	whole bool
	// absent says what is gone of the table's rows that are missing.
	absent absence
	table  ID
}

// open unpacks an answer to ask and checks that it is one.
func (a pageAnswer) open(ask pageAsk) (answer, error) {
	rows, err := unpack(a.Rows, a.Count)
	if err != nil {
		return answer{}, err
	}
	inside := func(sort []byte) bool {
		return bytes.Compare(sort, ask.Start) >= 0 && (ask.End == nil || bytes.Compare(sort, ask.End) < 0)
	}
	out := answer{rows: rows, end: a.End, whole: a.Whole}
	if out.whole {
		out.end = nil
	}
	ok := out.end == nil || inside(out.end)
	if n := len(rows); ok && n > 0 {
		last := rows[n-1].sort
		ok = inside(rows[0].sort) && inside(last) && (out.whole || bytes.Compare(last, out.end) <= 0)
	}
	if !ok {
		return answer{}, fmt.Errorf("page of %d rows up to %x is not inside [%x, %x): %w",
			len(rows), out.end, ask.Start, ask.End, ErrMalformedRow)
	}
	return out, nil
}
