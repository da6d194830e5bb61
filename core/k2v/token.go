package k2v

import (
	"encoding/base64"
	"encoding/binary"

	"granary/core/crdt"
)

// tokenMax bounds a token's dots; far more than the nodes that ever write one item.
const tokenMax = 1024

// Token returns a context as clients carry it: in base64, for URLs and without padding,
//
//	checksum, 8 | node, 8 | time, 8 | node, 8 | time, 8 | …
//
// big endian, the nodes ascending; the checksum is the exclusive or of all that follows.
func Token(c crdt.Context) string {
	b := make([]byte, 8, 8+16*len(c))
	var sum uint64
	for _, d := range c {
		sum ^= d.Node ^ d.Time
		b = binary.BigEndian.AppendUint64(b, d.Node)
		b = binary.BigEndian.AppendUint64(b, d.Time)
	}
	binary.BigEndian.PutUint64(b, sum)
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseToken reads what Token wrote. Errors: ErrInvalid.
func ParseToken(token string) (crdt.Context, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	switch {
	case err != nil:
		return nil, invalid("causality token: not base64 of the URL alphabet without padding")
	case len(b)%16 != 8 || len(b) > 8+16*tokenMax:
		return nil, invalid("causality token: %d bytes; want 8, and 16 for each node", len(b))
	}
	sum := binary.BigEndian.Uint64(b)
	var c crdt.Context
	for rest := b[8:]; len(rest) > 0; rest = rest[16:] {
		d := crdt.Dot{Node: binary.BigEndian.Uint64(rest), Time: binary.BigEndian.Uint64(rest[8:])}
		if n := len(c); d.Time == 0 || n > 0 && c[n-1].Node >= d.Node {
			return nil, invalid("causality token: nodes out of order, or a time of zero")
		}
		sum ^= d.Node ^ d.Time
		c = append(c, d)
	}
	if sum != 0 {
		return nil, invalid("causality token: wrong checksum; send it as it was received")
	}
	return c, nil
}
