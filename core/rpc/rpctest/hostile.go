package rpctest

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"granary/core/rpc"
	"granary/core/rt"
)

// Frames by hand: what a peer sends that keeps no rule.
func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	b := []byte{kind, flags, byte(n >> 16), byte(n >> 8), byte(n)}
	return append(binary.BigEndian.AppendUint32(b, stream), payload...)
}

func hello(lowest, highest uint16, window uint32) []byte {
	b := binary.BigEndian.AppendUint16([]byte("granary"), lowest)
	b = binary.BigEndian.AppendUint16(b, highest)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, window)
	return frame(1, 0, 0, append(b, make([]byte, 16)...))
}

func request(method string, size uint32, part []byte) []byte {
	b := append([]byte{byte(len(method))}, method...)
	b = append(b, make([]byte, 24)...)
	return append(binary.BigEndian.AppendUint32(b, size), part...)
}

func hostile(e *env) {
	ok := hello(1, 1, 1<<20)
	call := func(flags byte, size uint32, part []byte) []byte {
		return frame(2, flags, 1, request("rpctest.bulk", size, part))
	}
	const endFlag, bodyFlag = 1, 2
	big := make([]byte, 60_000)
	open := call(bodyFlag, 1, []byte{0xa0})
	var flood []byte
	for range 20 {
		flood = append(flood, frame(4, 0, 1, big)...)
	}
	cases := []struct {
		name   string
		frames [][]byte
	}{
		{"not a hello", [][]byte{[]byte("GET / HTTP/1.1\r\nHost: granary\r\n\r\n")}},
		{"a later protocol only", [][]byte{hello(7, 9, 1<<20)}},
		{"versions upside down", [][]byte{hello(2, 1, 1<<20)}},
		{"no window", [][]byte{hello(1, 1, 0)}},
		{"two hellos", [][]byte{ok, ok}},
		{"an unknown frame", [][]byte{ok, frame(99, 0, 1, nil)}},
		{"a frame too long", [][]byte{ok, {4, 0, 1, 0, 1, 0, 0, 0, 1}}},
		{"unknown flags", [][]byte{ok, call(8, 0, nil)}},
		{"an answer to nothing", [][]byte{ok, frame(3, 1, 5, make([]byte, 21))}},
		{"data for nothing", [][]byte{ok, frame(4, 0, 5, big)}},
		{"a stream twice", [][]byte{ok, call(endFlag, 0, nil), call(endFlag, 0, nil)}},
		{"a message too large", [][]byte{ok, call(0, rpc.MessageMax+1, nil)}},
		{"more than it said", [][]byte{ok, call(endFlag, 1, []byte("ab"))}},
		{"less than it said", [][]byte{ok, call(endFlag, 5, []byte("ab"))}},
		{"data beyond the message", [][]byte{ok, call(0, 5, []byte("ab")), frame(4, 1, 1, []byte("cdef"))}},
		{"data without a body", [][]byte{ok, call(0, 3, []byte("ab")), frame(4, 0, 1, []byte("c"))}},
		{"an end within a message", [][]byte{ok, call(0, 5, []byte("ab")), frame(4, 1, 1, []byte("c"))}},
		{"more data than credit", [][]byte{ok, open, flood}},
		{"more credit than allowed", [][]byte{ok, open, frame(5, 0, 1, []byte{255, 255, 255, 255})}},
		{"a request without method", [][]byte{ok, frame(2, 1, 1, make([]byte, 40))}},
		{"a fault too long", [][]byte{ok, open, frame(6, 0, 1, append([]byte{200}, big[:300]...))}},
	}
	p := e.pair(func(p *pair) {
		rpc.Handle(p.b, methodEcho, echo)
		rpc.HandleBody(p.b, methodBulk, e.waits)
	}, nil)
	for _, tt := range cases {
		if err := e.attack(tt.frames); err != nil {
			e.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, err := methodEcho.Call(e.ctx(), p.a, p.idb, &text{}); err != nil {
		e.Errorf("an honest call after all that: %v", err)
	}
	e.close(p)
}

// attack sends the frames on a connection of its own and waits until it is cut.
func (e *env) attack(frames [][]byte) error {
	a, b := e.w.Nodes[0].Transport, e.w.Nodes[1].Transport
	c, err := a.Dial(e.ctx(), rpc.Target{Addr: b.Addr(), Peer: b.Self(), Class: rpc.Bulk})
	if err != nil {
		return err
	}
	defer c.Close()
	for _, f := range frames {
		if _, err := c.Write(f); err != nil {
			return nil
		}
	}
	n, _ := io.Copy(io.Discard, c) // until it is cut
	if n > 1000 {
		return fmt.Errorf("it was answered with %d bytes", n)
	}
	return nil
}

// waits is a handler that reads nothing and waits until its caller is gone.
func (e *env) waits(ctx context.Context, _ rt.NodeID, _ *text, _ io.Reader) (*text, rpc.Body, error) {
	return nil, rpc.Body{}, e.w.Nodes[1].Env.NewWaiter().Park(ctx)
}
