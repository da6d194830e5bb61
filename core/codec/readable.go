package codec

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// unreadable says why an encoding would be refused by a reader.
type unreadable struct {
	kind error
	what string
}

func (u *unreadable) Error() string { return u.what }

// CBOR major types and the first additional-information value that announces length bytes (RFC 8949 §3).
const (
	majorText  = 3
	majorBytes = 2
	majorArray = 4
	majorMap   = 5
	argInline  = 24
)

// readable checks that Unmarshal will accept data, which the encoder made and is therefore well-formed:
// text is UTF-8, and no limit is exceeded. It looks at heads and text only, and allocates nothing.
func readable(data []byte) *unreadable {
	if len(data)+SealSize > SizeMax {
		return &unreadable{ErrLimit, fmt.Sprintf("%d bytes, at most %d", len(data), SizeMax-SealSize)}
	}
	var left [DepthMax + 1]uint64 // items still to come, per open array or map
	for depth := 0; len(data) > 0; {
		major, arg, size := head(data)
		data = data[size:]
		opens := uint64(0)
		switch major {
		case majorText:
			if !utf8.Valid(data[:arg]) {
				return &unreadable{ErrText, fmt.Sprintf("string %.80q", data[:arg])}
			}
			data = data[arg:]
		case majorBytes:
			data = data[arg:]
		case majorArray:
			if arg > ArrayMax {
				return &unreadable{ErrLimit, fmt.Sprintf("array of %d elements, at most %d", arg, ArrayMax)}
			}
			opens = arg
		case majorMap:
			if arg > MapMax {
				return &unreadable{ErrLimit, fmt.Sprintf("map of %d pairs, at most %d", arg, MapMax)}
			}
			opens = 2 * arg
		}
		container := major == majorArray || major == majorMap
		if container && depth == DepthMax {
			return &unreadable{ErrLimit, fmt.Sprintf("nested deeper than %d", DepthMax)}
		}
		if depth > 0 {
			left[depth]--
		}
		if container {
			depth++
			left[depth] = opens
		}
		for depth > 0 && left[depth] == 0 {
			depth--
		}
	}
	return nil
}

// head reads the initial byte of an item and its argument; size is their length in bytes.
func head(data []byte) (major byte, arg uint64, size int) {
	major, info := data[0]>>5, data[0]&31
	switch info {
	case argInline:
		return major, uint64(data[1]), 2
	case argInline + 1:
		return major, uint64(binary.BigEndian.Uint16(data[1:])), 3
	case argInline + 2:
		return major, uint64(binary.BigEndian.Uint32(data[1:])), 5
	case argInline + 3:
		return major, binary.BigEndian.Uint64(data[1:]), 9
	}
	return major, uint64(info), 1
}
