package rpc

import (
	"encoding/binary"
	"fmt"
	"time"
)

// request is the head of a call.
type request struct {
	method []byte
	left   time.Duration // until the caller's deadline; 0 for none
	now    envelope
	size   uint32 // of the whole message
	part   []byte // what of it is in this frame
}

// requestFrame encodes a call whose message is m and returns the frame and what of m did not fit into it.
func requestFrame(stream uint32, flags uint8, r request, m []byte) (frame, rest []byte) {
	fixed := 1 + len(r.method) + requestFixed
	part := min(len(m), payloadMax-fixed)
	b := append(newFrame(fixed+part), byte(len(r.method)))
	b = append(b, r.method...)
	b = binary.BigEndian.AppendUint64(b, toMicros(r.left))
	b = r.now.append(b)
	b = binary.BigEndian.AppendUint32(b, uint32(len(m)))
	b = append(b, m[:part]...)
	if part < len(m) {
		flags &^= flagEnd
	}
	return seal(b, kindRequest, flags, stream), m[part:]
}

func parseRequest(b []byte) (request, error) {
	n := 0
	if len(b) > 0 {
		n = int(b[0])
	}
	if n == 0 || n > methodMax || len(b) < 1+n+requestFixed {
		return request{}, fmt.Errorf("%w: request of %d bytes with a method of %d", errFrame, len(b), n)
	}
	r := request{method: b[1 : 1+n]}
	b = b[1+n:]
	r.left = fromMicros(binary.BigEndian.Uint64(b))
	r.now = parseEnvelope(b[8:])
	r.size = binary.BigEndian.Uint32(b[24:])
	r.part = b[requestFixed:]
	if uint64(len(r.part)) > uint64(r.size) {
		return request{}, fmt.Errorf("%w: request of %d bytes carries %d", errFrame, r.size, len(r.part))
	}
	return r, nil
}

// toMicros rounds up, so that a deadline that is still to come does not read as none.
func toMicros(d time.Duration) uint64 { return uint64((d + time.Microsecond - 1) / time.Microsecond) }

// fromMicros cuts off at a year: nobody waits longer, and nothing overflows.
func fromMicros(us uint64) time.Duration {
	const most = uint64(365 * 24 * time.Hour / time.Microsecond)
	return time.Duration(min(us, most)) * time.Microsecond
}

// status is the outcome of a call as it travels.
type status uint8

const (
	statusOK status = iota
	statusError
	statusOverloaded
	statusUnknownMethod
	statusRefused
	statusLast = statusRefused
)

// response is the head of an answer.
type response struct {
	status status
	now    envelope
	size   uint32
	part   []byte
}

// responseFrame encodes an answer whose message is m and returns the frame and what of m did not fit into it.
func responseFrame(stream uint32, flags uint8, r response, m []byte) (frame, rest []byte) {
	part := min(len(m), payloadMax-responseFixed)
	b := append(newFrame(responseFixed+part), byte(r.status))
	b = r.now.append(b)
	b = binary.BigEndian.AppendUint32(b, uint32(len(m)))
	b = append(b, m[:part]...)
	if part < len(m) {
		flags &^= flagEnd
	}
	return seal(b, kindResponse, flags, stream), m[part:]
}

func parseResponse(b []byte) (response, error) {
	if len(b) < responseFixed || status(b[0]) > statusLast {
		return response{}, fmt.Errorf("%w: response of %d bytes", errFrame, len(b))
	}
	r := response{
		status: status(b[0]),
		now:    parseEnvelope(b[1:]),
		size:   binary.BigEndian.Uint32(b[17:]),
		part:   b[responseFixed:],
	}
	if uint64(len(r.part)) > uint64(r.size) {
		return response{}, fmt.Errorf("%w: response of %d bytes carries %d", errFrame, r.size, len(r.part))
	}
	return r, nil
}

// fault is an error as it travels.
type fault struct {
	code string
	text string
}

func (f fault) append(b []byte) []byte {
	code, text := f.code[:min(len(f.code), codeMax)], f.text[:min(len(f.text), textMax)]
	b = append(b, byte(len(code)))
	b = append(b, code...)
	return append(b, text...)
}

func (f fault) bytes() []byte { return f.append(nil) }

func (f fault) frame(stream uint32) []byte {
	return seal(f.append(newFrame(1+len(f.code)+len(f.text))), kindReset, 0, stream)
}

func parseFault(b []byte) (fault, error) {
	if len(b) == 0 || int(b[0]) > codeMax || len(b) < 1+int(b[0]) || len(b) > 1+int(b[0])+textMax {
		return fault{}, fmt.Errorf("%w: fault of %d bytes", errFrame, len(b))
	}
	n := 1 + int(b[0])
	return fault{code: string(b[1:n]), text: string(b[n:])}, nil
}
