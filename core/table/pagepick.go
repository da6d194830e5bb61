package table

import (
	"encoding/binary"
	"fmt"

	"granary/core/codec"
)

// Field names a field of an encoded struct by its integer key, to be kept by Pick: whole if In is nil, else
// of the struct in it only the fields of In.
type Field struct {
	Key uint64
	In  []Field
}

// pickMax is the most fields of one struct that Pick keeps: the count then fits into the first byte of its
// encoding.
const pickMax = 23

// Pick appends to dst the encoding of a struct, as package codec wrote it, without the fields that keep does
// not name: what decoding, clearing those fields and encoding gives if they are omitted when empty. It is
// what a Def.Glance is made of, at a tenth of the cost.
//
// Errors: ErrMalformedRow; dst is then returned with less than a struct behind it.
func Pick(dst, encoded []byte, keep []Field) ([]byte, error) {
	dst, rest, ok := pick(dst, encoded, keep)
	if !ok || len(rest) > 0 {
		return dst, fmt.Errorf("pick %d fields of %d bytes, stopped %d before the end: %w",
			len(keep), len(encoded), len(rest), ErrMalformedRow)
	}
	return dst, nil
}

// PickUint returns the unsigned integer in an encoded struct at a path of fields; 0 if there is none, or
// another type.
func PickUint(encoded []byte, path ...uint64) uint64 {
	for _, key := range path {
		major, n, rest, ok := cborHead(encoded)
		if !ok || major != cborMap {
			return 0
		}
		encoded = nil
		for ; ok && n > 0 && encoded == nil; n-- {
			var k, kind uint64
			if kind, k, rest, ok = cborHead(rest); !ok || kind != cborUint {
				return 0
			}
			if k == key {
				encoded = rest
				break
			}
			rest, ok = cborSkip(rest, codec.DepthMax)
		}
	}
	if major, n, _, ok := cborHead(encoded); ok && major == cborUint {
		return n
	}
	return 0
}

func pick(dst, b []byte, keep []Field) (out, rest []byte, ok bool) {
	major, n, rest, ok := cborHead(b)
	if !ok || major != cborMap {
		return dst, b, false
	}
	at, kept := len(dst), 0
	dst = append(dst, cborMap<<5)
	for ; n > 0; n-- {
		entry := rest
		var kind, key uint64
		if kind, key, rest, ok = cborHead(rest); !ok || kind != cborUint {
			return dst, entry, false
		}
		f := find(keep, key)
		if f != nil && f.In != nil {
			dst = append(dst, entry[:len(entry)-len(rest)]...)
			dst, rest, ok = pick(dst, rest, f.In)
		} else if rest, ok = cborSkip(rest, codec.DepthMax); ok && f != nil {
			dst = append(dst, entry[:len(entry)-len(rest)]...)
		}
		if f != nil {
			kept++
		}
		if !ok || kept > pickMax {
			return dst, rest, false
		}
	}
	dst[at] |= byte(kept)
	return dst, rest, true
}

func find(keep []Field, key uint64) *Field {
	for i := range keep {
		if keep[i].Key == key {
			return &keep[i]
		}
	}
	return nil
}

// Major types of CBOR, RFC 8949 section 3.1.
const (
	cborUint  = 0
	cborBytes = 2
	cborText  = 3
	cborArray = 4
	cborMap   = 5
	cborTag   = 6
)

// cborHead reads the head of an item: its major type, and its number, length or count. Indefinite lengths are
// refused.
func cborHead(b []byte) (major, n uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, 0, b, false
	}
	const shortMax = 23 // greatest number that the first byte itself holds
	major, info, rest := uint64(b[0]>>5), b[0]&0x1f, b[1:]
	if info <= shortMax {
		return major, uint64(info), rest, true
	}
	w := 1 << (info - shortMax - 1) // bytes of the number
	if w > 8 || len(rest) < w {
		return 0, 0, b, false
	}
	switch w {
	case 1:
		n = uint64(rest[0])
	case 2:
		n = uint64(binary.BigEndian.Uint16(rest))
	case 4:
		n = uint64(binary.BigEndian.Uint32(rest))
	default:
		n = binary.BigEndian.Uint64(rest)
	}
	return major, n, rest[w:], true
}

// cborSkip passes over one item that nests at most depth deep.
func cborSkip(b []byte, depth int) (rest []byte, ok bool) {
	major, n, rest, ok := cborHead(b)
	if !ok || depth < 0 {
		return b, false
	}
	switch major {
	case cborBytes, cborText:
		if n > uint64(len(rest)) {
			return b, false
		}
		return rest[n:], true
	case cborTag:
		return b, false
	case cborArray, cborMap:
		if n > uint64(len(rest)) {
			return b, false
		}
		items := n
		if major == cborMap {
			items = 2 * n
		}
		for ; items > 0 && ok; items-- {
			rest, ok = cborSkip(rest, depth-1)
		}
	}
	return rest, ok
}
