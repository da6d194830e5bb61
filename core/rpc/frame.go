package rpc

import (
	"encoding/binary"
	"errors"
	"fmt"

	"granary/core/hlc"
)

// Sizes of the wire format, drawn in the package documentation.
const (
	headerSize = 9
	payloadMax = 64 << 10
	// dataMax makes a full data frame, header included, 64 KiB: four full TLS records.
	dataMax = payloadMax - headerSize
	// methodMax and codeMax bound names on the wire; textMax bounds an error's text.
	methodMax = 64
	codeMax   = 64
	textMax   = 1 << 10

	magic         = "granary"
	helloSize     = len(magic) + 2 + 2 + 4 + 4 + 8 + 8
	requestFixed  = 8 + 8 + 8 + 4 // after the method
	responseFixed = 1 + 8 + 8 + 4
	pingSize      = 8 + 8 + 8
	creditSize    = 4

	helloLane = 1 // flag of a hello
)

// kind is the type of a frame.
type kind uint8

const (
	kindHello kind = 1 + iota
	kindRequest
	kindResponse
	kindData
	kindCredit
	kindReset
	kindPing
	kindPong
)

// The flags of a frame.
const (
	flagEnd  = 1 // nothing more follows in this direction
	flagBody = 2 // a body follows the message
)

// header is the fixed part of a frame.
type header struct {
	kind   kind
	flags  uint8
	length uint32
	stream uint32
}

// errFrame is the kind of every fault in what a peer sent; the connection is closed on it.
var errFrame = errors.New("malformed frame")

// put writes h into the first headerSize bytes of b.
func (h header) put(b []byte) {
	_ = b[headerSize-1]
	b[0], b[1] = byte(h.kind), h.flags
	b[2], b[3], b[4] = byte(h.length>>16), byte(h.length>>8), byte(h.length)
	binary.BigEndian.PutUint32(b[5:], h.stream)
}

// parseHeader reads a header and checks everything that can be checked without state.
func parseHeader(b []byte) (header, error) {
	if len(b) < headerSize {
		return header{}, fmt.Errorf("%w: %d bytes of a header", errFrame, len(b))
	}
	h := header{
		kind:   kind(b[0]),
		flags:  b[1],
		length: uint32(b[2])<<16 | uint32(b[3])<<8 | uint32(b[4]),
		stream: binary.BigEndian.Uint32(b[5:]),
	}
	return h, h.check()
}

func (h header) check() error {
	low, high, flags := 0, payloadMax, uint8(0)
	onStream := true
	switch h.kind {
	case kindHello:
		low, onStream = helloSize, false
	case kindPing, kindPong:
		low, high, onStream = pingSize, pingSize+NewsMax, false
	case kindRequest:
		low, flags = 1+1+requestFixed, flagEnd|flagBody
	case kindResponse:
		low, flags = responseFixed, flagEnd|flagBody
	case kindData:
		flags = flagEnd
	case kindCredit:
		low, high = creditSize, creditSize
	case kindReset:
		low, high = 1, 1+codeMax+textMax
	default:
		return fmt.Errorf("%w: type %d", errFrame, h.kind)
	}
	if n := int(h.length); n < low || n > high {
		return fmt.Errorf("%w: type %d has %d bytes, want %d to %d", errFrame, h.kind, n, low, high)
	}
	if h.flags&^flags != 0 {
		return fmt.Errorf("%w: type %d with flags %#x", errFrame, h.kind, h.flags)
	}
	if onStream != (h.stream != 0) {
		return fmt.Errorf("%w: type %d on stream %d", errFrame, h.kind, h.stream)
	}
	return nil
}

// hello opens a connection.
type hello struct {
	lowest, highest uint16
	feature         uint32
	window          uint32 // data bytes per stream that this side takes unasked
	now             envelope
	lane            bool // the connection rests between calls, without pings
}

// envelope is what every message carries: the sender's clock and its layout version.
type envelope struct {
	stamp  hlc.Stamp
	layout uint64
}

func (e envelope) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(e.stamp))
	return binary.BigEndian.AppendUint64(b, e.layout)
}

func parseEnvelope(b []byte) envelope {
	return envelope{stamp: hlc.Stamp(binary.BigEndian.Uint64(b)), layout: binary.BigEndian.Uint64(b[8:])}
}

// newFrame returns a frame with room for its header and for size bytes of payload.
func newFrame(size int) []byte { return make([]byte, headerSize, headerSize+size) }

// seal fills in the header of a frame whose payload is complete.
func seal(frame []byte, k kind, flags uint8, stream uint32) []byte {
	header{kind: k, flags: flags, length: uint32(len(frame) - headerSize), stream: stream}.put(frame)
	return frame
}

func (h hello) frame() []byte {
	b := append(newFrame(helloSize), magic...)
	b = binary.BigEndian.AppendUint16(b, h.lowest)
	b = binary.BigEndian.AppendUint16(b, h.highest)
	b = binary.BigEndian.AppendUint32(b, h.feature)
	b = binary.BigEndian.AppendUint32(b, h.window)
	b = h.now.append(b)
	if h.lane {
		b = append(b, helloLane)
	}
	return seal(b, kindHello, 0, 0)
}

func parseHello(b []byte) (hello, error) {
	if len(b) < helloSize || string(b[:len(magic)]) != magic {
		return hello{}, fmt.Errorf("%w: not a hello", errFrame)
	}
	b = b[len(magic):]
	h := hello{
		lowest:  binary.BigEndian.Uint16(b),
		highest: binary.BigEndian.Uint16(b[2:]),
		feature: binary.BigEndian.Uint32(b[4:]),
		window:  binary.BigEndian.Uint32(b[8:]),
		now:     parseEnvelope(b[12:]),
		lane:    len(b) > helloSize-len(magic) && b[helloSize-len(magic)]&helloLane != 0,
	}
	if h.lowest > h.highest {
		return hello{}, fmt.Errorf("%w: versions %d to %d", errFrame, h.lowest, h.highest)
	}
	return h, nil
}

// ping is the payload of ping and pong.
type ping struct {
	token uint64
	now   envelope
	news  []byte
}

func (p ping) frame(k kind) []byte {
	b := binary.BigEndian.AppendUint64(newFrame(pingSize+len(p.news)), p.token)
	return seal(append(p.now.append(b), p.news...), k, 0, 0)
}

// parsePing reads a ping; its news are a part of b.
func parsePing(b []byte) (ping, error) {
	if len(b) < pingSize || len(b) > pingSize+NewsMax {
		return ping{}, fmt.Errorf("%w: ping of %d bytes", errFrame, len(b))
	}
	return ping{token: binary.BigEndian.Uint64(b), now: parseEnvelope(b[8:]), news: b[pingSize:]}, nil
}

func creditFrame(stream uint32, more uint32) []byte {
	return seal(binary.BigEndian.AppendUint32(newFrame(creditSize), more), kindCredit, 0, stream)
}

func parseCredit(b []byte) (uint32, error) {
	if len(b) != creditSize {
		return 0, fmt.Errorf("%w: credit of %d bytes", errFrame, len(b))
	}
	return binary.BigEndian.Uint32(b), nil
}
