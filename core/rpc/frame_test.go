package rpc

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"granary/core/goldentest"
)

// samples are frames of every type, as version 1 writes them.
func samples() (names []string, frames [][]byte) {
	add := func(name string, frame []byte) {
		names, frames = append(names, name), append(frames, frame)
	}
	now := envelope{stamp: 0x0102030405060708, layout: 9}
	add("hello", hello{lowest: 1, highest: 3, feature: 7, window: 1 << 20, now: now}.frame())
	r := request{method: []byte("table.read"), left: 1500 * time.Microsecond, now: now}
	f, _ := requestFrame(5, flagEnd, r, []byte("question"))
	add("request", f)
	f, _ = requestFrame(6, flagBody, request{method: []byte("m"), now: now}, nil)
	add("request with body", f)
	f, _ = responseFrame(5, flagEnd, response{now: now}, []byte("answer"))
	add("response", f)
	no := fault{"table.fenced", "no"}.bytes()
	f, _ = responseFrame(5, flagEnd, response{status: statusError, now: now}, no)
	add("response error", f)
	add("data", seal(append(newFrame(4), "data"...), kindData, 0, 5))
	add("data end", seal(newFrame(0), kindData, flagEnd, 5))
	add("credit", creditFrame(5, 65536))
	add("reset", fault{codeCanceled, "gone"}.frame(5))
	add("ping", ping{token: 11, now: now}.frame(kindPing))
	add("pong", ping{token: 11, now: now}.frame(kindPong))
	add("ping with news", ping{token: 11, now: now, news: []byte("news")}.frame(kindPing))
	return names, frames
}

// The bytes on the wire are fixed for ever: nodes of different releases speak to each other.
func TestGolden(t *testing.T) {
	names, frames := samples()
	var b strings.Builder
	for i, f := range frames {
		fmt.Fprintf(&b, "%s\n%s", names[i], hex.Dump(f))
	}
	goldentest.Check(t, "testdata/frames.txt", b.String())
}

// reencode parses a frame and writes it again.
func reencode(h header, b []byte) ([]byte, error) {
	switch h.kind {
	case kindHello:
		m, err := parseHello(b)
		return m.frame(), err
	case kindRequest:
		m, err := parseRequest(b)
		if err != nil {
			return nil, err
		}
		f, _ := requestFrame(h.stream, h.flags, m, m.part)
		return patchSize(f, 1+len(m.method)+24, m.size), nil
	case kindResponse:
		m, err := parseResponse(b)
		if err != nil {
			return nil, err
		}
		f, _ := responseFrame(h.stream, h.flags, m, m.part)
		return patchSize(f, 17, m.size), nil
	case kindCredit:
		n, err := parseCredit(b)
		return creditFrame(h.stream, n), err
	case kindReset:
		f, err := parseFault(b)
		return f.frame(h.stream), err
	case kindPing, kindPong:
		p, err := parsePing(b)
		return p.frame(h.kind), err
	}
	return seal(append(newFrame(len(b)), b...), h.kind, h.flags, h.stream), nil
}

// patchSize restores the size of a message of which a frame carries only a part.
func patchSize(frame []byte, at int, size uint32) []byte {
	binary.BigEndian.PutUint32(frame[headerSize+at:], size)
	return frame
}

// FuzzFrame: no bytes make a parser panic, and what is accepted is written again as it was.
func FuzzFrame(f *testing.F) {
	_, frames := samples()
	for _, b := range frames {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHeader(b)
		if err != nil || len(b) < headerSize+int(h.length) {
			return
		}
		b = b[:headerSize+int(h.length)]
		again, err := reencode(h, b[headerSize:])
		if err != nil {
			return
		}
		if h.kind == kindHello && len(b) > headerSize+helloSize {
			return // a later version's
		}
		if h.kind == kindRequest {
			left := b[headerSize+1+int(b[headerSize]):][:8]
			if binary.BigEndian.Uint64(left) > uint64(365*24*time.Hour/time.Microsecond) {
				return // cut to a year
			}
		}
		if !bytes.Equal(again, b) {
			t.Errorf("parsed % x\nwrote  % x", b, again)
		}
	})
}

// A message of any size, cut into a head and data frames, is the same when it is put together.
func TestMessageSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(payloadMax-60, payloadMax+60)).Draw(t, "size")
		name := rapid.StringMatching(`[a-z.]{1,64}`).Draw(t, "method")
		msg := bytes.Repeat([]byte{7, 1, 9}, n/3+1)[:n]
		left := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "left"))
		frame, rest := requestFrame(3, flagEnd, request{method: []byte(name), left: left}, msg)
		h, err := parseHeader(frame)
		if err != nil {
			t.Fatal(err)
		}
		r, err := parseRequest(frame[headerSize:])
		if err != nil {
			t.Fatal(err)
		}
		whole := append(bytes.Clone(r.part), rest...)
		if !bytes.Equal(whole, msg) || string(r.method) != name || int(r.size) != n {
			t.Fatalf("%d bytes became %d, size %d, method %q", n, len(whole), r.size, r.method)
		}
		if (h.flags&flagEnd != 0) != (len(rest) == 0) {
			t.Fatalf("end flag %t with %d bytes to come", h.flags&flagEnd != 0, len(rest))
		}
		if d := r.left - left; d < 0 || d >= time.Microsecond {
			t.Fatalf("deadline %v became %v", left, r.left)
		}
	})
}
