package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"

	"granary/core/rt"
)

// handler is what an endpoint knows of one method.
type handler struct {
	info *methodInfo
	task string
	// run decodes a message, calls the handler and encodes its answer.
	run func(ctx context.Context, from rt.NodeID, msg []byte, body io.Reader) (reply, error)
	// local calls the handler with messages as they are.
	local func(ctx context.Context, from rt.NodeID, req any, body io.Reader) (any, Body, error)
}

// reply is an encoded answer.
type reply struct {
	msg  []byte
	body Body
}

// onRequest takes the head of a call: it is started, kept until its message is complete, or refused.
func (c *conn) onRequest(h header, b []byte) error {
	m, err := parseRequest(b)
	if err != nil {
		return err
	}
	if c.dialled {
		return fmt.Errorf("%w: a request on a connection dialled here", errFrame)
	}
	st := &stream{
		c: c, id: h.stream, server: true,
		credit: sendCredit{left: int64(c.theirs.window)}, recv: newRecvCredit(c.ep.cfg.window(c.class)),
	}
	complete, err := st.begin(m.size, m.part, h.flags)
	if err != nil {
		return err
	}
	c.ep.observe(c.peer.id, m.now)
	verdict := c.ep.admit(c.peer, st, m.method)
	c.lock.Lock()
	if h.stream <= c.last {
		err = fmt.Errorf("%w: stream %d opened after %d", errFrame, h.stream, c.last)
	} else if c.dead != nil {
		err = c.dead
	}
	c.last = max(c.last, h.stream)
	if err != nil || verdict != statusOK {
		if err == nil {
			err = c.refuse(st, verdict)
		}
		c.lock.Unlock()
		c.ep.release(st)
		return err
	}
	st.ctx, st.cancel = c.ep.within(m.left)
	st.started = complete
	c.streams[st.id] = st
	c.wakeLane()
	c.load.Add(1)
	c.lock.Unlock()
	if complete {
		c.ep.start(st)
	}
	return nil
}

// refuse answers a call without a handler. What still arrives of it is dropped. Under lock.
func (c *conn) refuse(st *stream, verdict status) error {
	text := fault{text: verdict.kind().Error()}.bytes()
	frame, _ := responseFrame(st.id, flagEnd, response{status: verdict, now: c.ep.envelope()}, text)
	return c.pushControl(frame)
}

// serve runs the handler of a call whose message is complete, and sends its answer.
func (c *conn) serve(st *stream) {
	var in *body
	var r io.Reader = noBody{}
	if st.hasBody {
		in = &body{st: st, ctx: st.ctx}
		r = in
	}
	var out reply
	err := rt.Guard(c.env, st.handler.task, func() (err error) {
		out, err = st.handler.run(st.ctx, c.peer.id, st.msg, r)
		return err
	})
	st.msg = nil
	if in != nil {
		in.Close()
	}
	_ = rt.Guard(c.env, st.handler.task, func() error {
		defer out.body.close()
		if !errors.Is(err, ErrUnanswered) {
			c.answer(st, out, err)
		}
		return nil
	})
	st.cancel()
	c.finish(st)
}

// answer sends what the handler returned. When that fails half way the caller is told.
func (c *conn) answer(st *stream, out reply, err error) {
	if err == nil && len(out.msg) > MessageMax {
		err = fmt.Errorf("%w: answer of %d bytes, at most %d", ErrTooLarge, len(out.msg), MessageMax)
	}
	head := response{now: c.ep.envelope()}
	if err != nil {
		head.status = statusError
		out = reply{msg: faultOf(err).bytes()}
	}
	flags := out.body.flags()
	frame, rest := responseFrame(st.id, flags, head, out.msg)
	if c.sendHead(st.ctx, st, frame) != nil {
		return // nobody waits for it any more
	}
	err = st.sendRest(st.ctx, rest, out.body)
	if err == nil {
		return
	}
	c.lock.Lock()
	if st.noSend == nil && c.dead == nil {
		err = c.pushControl(faultOf(err).frame(st.id))
	} else {
		err = nil
	}
	c.lock.Unlock()
	c.settle(err, false)
}

// faultOf makes a handler's error ready to travel. Of a panic the peer learns only that there was one.
func faultOf(err error) fault {
	if p := (*rt.PanicError)(nil); errors.As(err, &p) {
		err = ErrInternal
	}
	return toFault(err)
}

// sendHead queues the head of an answer.
func (c *conn) sendHead(ctx context.Context, st *stream, frame []byte) error {
	if err := c.reserve(ctx, st, len(frame)); err != nil {
		return err
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	if err := c.sendable(st); err != nil {
		c.unreserve(len(frame))
		return err
	}
	c.pushHead(st, frame)
	return nil
}

// sendRest sends what did not fit into the head, and the body.
func (st *stream) sendRest(ctx context.Context, rest []byte, b Body) error {
	if len(rest) > 0 {
		if err := st.send(ctx, rest, !b.present); err != nil {
			return err
		}
	}
	switch {
	case !b.present:
		return nil
	case b.reader != nil:
		return st.sendFrom(ctx, b.reader)
	}
	return st.send(ctx, b.bytes, true)
}

// finish takes a served call off the connection.
func (c *conn) finish(st *stream) {
	c.lock.Lock()
	done := c.forget(st)
	st.discard()
	c.lock.Unlock()
	c.ep.release(st)
	c.settle(nil, done)
}
