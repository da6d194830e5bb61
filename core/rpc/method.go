package rpc

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"granary/core/codec"
	"granary/core/rt"
)

// Method is a typed call: Req goes there, Resp comes back, both encoded by package codec. Methods are package
// variables, made by NewMethod; the name is what travels, and means the same for ever.
type Method[Req, Resp any] struct{ info *methodInfo }

// methodInfo is what does not depend on the types. It is shared by all nodes of a process and never changes.
type methodInfo struct {
	name   string
	class  Class
	labels []string
}

// NewMethod names a method of the form "package.verb", at most 64 bytes. class says on which connections it
// travels: Bulk if it carries a body of more than a few KiB.
func NewMethod[Req, Resp any](name string, class Class) Method[Req, Resp] {
	if name == "" || len(name) > methodMax || class > Bulk {
		rt.Break("rpc method %q of class %d", name, class)
	}
	return Method[Req, Resp]{info: &methodInfo{name: name, class: class, labels: []string{"method", name}}}
}

// Name is the method's name.
func (m Method[Req, Resp]) Name() string { return m.info.name }

// Handle makes f the handler of m. A nil answer counts as a zero one.
//
// f runs as a task of its own for each call. Its context ends when the caller does not wait any more. An
// error it returns reaches the caller as its text, and as what it is if registered by RegisterError; a
// panic, as ErrInternal. from is the peer whose key the connection proved.
func Handle[Req, Resp any](
	ep *Endpoint, m Method[Req, Resp], f func(ctx context.Context, from rt.NodeID, req *Req) (*Resp, error),
) {
	HandleBody(ep, m, func(ctx context.Context, from rt.NodeID, req *Req, _ io.Reader) (*Resp, Body, error) {
		resp, err := f(ctx, from, req)
		return resp, Body{}, err
	})
}

// HandleBody is Handle for a method whose messages are followed by bodies. The request's body, empty if
// there is none, can be read until f returns; by one task at a time.
func HandleBody[Req, Resp any](
	ep *Endpoint, m Method[Req, Resp],
	f func(ctx context.Context, from rt.NodeID, req *Req, body io.Reader) (*Resp, Body, error),
) {
	run := func(ctx context.Context, from rt.NodeID, msg []byte, body io.Reader) (reply, error) {
		req := new(Req)
		if err := codec.Unmarshal(msg, req); err != nil {
			return reply{}, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		resp, out, err := f(ctx, from, req, body)
		if err != nil {
			out.close()
			return reply{}, err
		}
		if resp == nil {
			resp = new(Resp)
		}
		b, err := codec.Marshal(resp)
		if err != nil {
			out.close()
			return reply{}, err
		}
		return reply{msg: b, body: out}, nil
	}
	local := func(ctx context.Context, from rt.NodeID, req any, body io.Reader) (any, Body, error) {
		resp, out, err := f(ctx, from, req.(*Req), body)
		if resp == nil {
			resp = new(Resp)
		}
		return resp, out, err
	}
	ep.register(&handler{info: m.info, task: "rpc " + m.info.name, run: run, local: local})
}

// Call calls m at the node to and waits for the answer. A body in the answer is dropped.
//
// Errors: an *Error; its kind says whether the peer may have acted.
func (m Method[Req, Resp]) Call(ctx context.Context, ep *Endpoint, to rt.NodeID, req *Req) (*Resp, error) {
	resp, body, err := m.CallBody(ctx, ep, to, req, Body{})
	if err != nil {
		return nil, err
	}
	body.Close()
	return resp, nil
}

// CallBody is Call with a body after each message. The answer's body is never nil, and empty if there is
// none; the caller closes it. Its Reads fail when ctx ends; io.EOF comes only after all of it. It is read
// by one task at a time, while any may close it.
//
// The request's body need not have been read when the answer arrives; the rest of it is then not sent.
func (m Method[Req, Resp]) CallBody(
	ctx context.Context, ep *Endpoint, to rt.NodeID, req *Req, b Body,
) (*Resp, io.ReadCloser, error) {
	start := ep.env.Now()
	resp, body, err := m.callBody(ctx, ep, to, req, b)
	b.close()
	ep.tally.called(ep, m.info, start, err)
	return resp, body, err
}

func (m Method[Req, Resp]) callBody(
	ctx context.Context, ep *Endpoint, to rt.NodeID, req *Req, b Body,
) (*Resp, io.ReadCloser, error) {
	if to == ep.self && !ep.cfg.EncodeSelf {
		resp, body, err := ep.callLocal(ctx, m.info, req, b)
		if err != nil {
			return nil, nil, err
		}
		return resp.(*Resp), body, nil
	}
	msg, err := codec.Marshal(req)
	if err == nil {
		err = fits(msg)
	}
	if err != nil {
		return nil, nil, &Error{Method: m.info.name, Peer: to, Kind: ErrUnsent, Cause: err}
	}
	var answer []byte
	var body io.ReadCloser = noBody{}
	if to == ep.self {
		answer, body, err = ep.callEncoded(ctx, m.info, msg, b)
	} else {
		answer, body, err = ep.callPeer(ctx, to, outgoing{info: m.info, msg: msg, body: b})
	}
	if err != nil {
		return nil, nil, err
	}
	resp := new(Resp)
	if err := codec.Unmarshal(answer, resp); err != nil {
		body.Close()
		cause := fmt.Errorf("%w: %w", ErrMalformed, err)
		return nil, nil, &Error{Method: m.info.name, Peer: to, Kind: ErrUnknown, Cause: cause}
	}
	return resp, body, nil
}

func (ep *Endpoint) callPeer(ctx context.Context, to rt.NodeID, out outgoing) ([]byte, io.ReadCloser, error) {
	ep.lock.Lock()
	p := ep.peerOf(to)
	p.called = true
	ep.lock.Unlock()
	st, err := ep.call(ctx, p, out)
	if err != nil {
		return nil, nil, err
	}
	if !st.hasBody {
		return st.msg, noBody{}, nil
	}
	return st.msg, &body{st: st, ctx: ctx}, nil
}

// Body is what follows a message. The zero Body is none.
type Body struct {
	present bool
	bytes   []byte
	reader  io.Reader
}

// Bytes is a body in memory. p must not change until the call, or the sending of the answer, is over;
// nothing of it is kept afterwards. What a handler returns must not change at all: a caller on the same
// node reads p itself.
func Bytes(p []byte) Body { return Body{present: true, bytes: p} }

// Stream is a body that is read while it is sent, and closed afterwards if it is an io.Closer, whatever
// happened. Each Read becomes at least one frame: let it return 64 KiB at a time. An error of r ends the
// call.
func Stream(r io.Reader) Body { return Body{present: true, reader: r} }

func (b Body) close() {
	if c, ok := b.reader.(io.Closer); ok {
		c.Close()
	}
}

// flags are those of the head of a message that fits into one frame.
func (b Body) flags() uint8 {
	if b.present {
		return flagBody
	}
	return flagEnd
}

// open returns the body as its receiver sees it, for a call that does not travel.
func (b Body) open() io.ReadCloser {
	switch {
	case !b.present:
		return noBody{}
	case b.reader == nil:
		return io.NopCloser(bytes.NewReader(b.bytes))
	}
	if rc, ok := b.reader.(io.ReadCloser); ok {
		return rc
	}
	return io.NopCloser(b.reader)
}

// noBody is the empty body.
type noBody struct{}

func (noBody) Read([]byte) (int, error) { return 0, io.EOF }
func (noBody) Close() error             { return nil }
