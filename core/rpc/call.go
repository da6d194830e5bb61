package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// outgoing is a call on its way.
type outgoing struct {
	info *methodInfo
	msg  []byte
	body Body
}

// call sends a call to another node and waits for the answer's message, which is in the stream it returns.
// What failed before anything was sent, because the connection had died unnoticed, is tried once more on a
// new one; what came to a connection that takes no more calls, as often as it takes.
func (ep *Endpoint) call(ctx context.Context, to *peer, out outgoing) (*stream, error) {
	for attempt := 0; ; attempt++ {
		c, err := ep.connect(ctx, to, out.info.class)
		if err != nil {
			return nil, ep.failed(out.info, to, ErrUnsent, err)
		}
		st, kind, err := c.call(ctx, out)
		if err == nil {
			if err = ep.verdict(out.info, to, st); err != nil && st.hasBody {
				(&body{st: st, ctx: ctx}).Close()
			}
			return st, err
		}
		again := attempt == 0 && c.gone.Load() && ctx.Err() == nil && out.body.reader == nil
		if kind == ErrUnsent && again || errors.Is(err, errRetired) {
			ep.env.Sometimes("rpc: a call moves to a new connection", true)
			continue
		}
		return nil, ep.failed(out.info, to, kind, err)
	}
}

func (ep *Endpoint) failed(info *methodInfo, to *peer, kind, cause error) error {
	if errors.Is(cause, ErrUnknownPeer) {
		kind, cause = ErrUnknownPeer, nil
	}
	return &Error{Method: info.name, Peer: to.id, Kind: kind, Cause: cause}
}

// verdict is the error that an answer stands for, nil if it is a good one.
func (ep *Endpoint) verdict(info *methodInfo, to *peer, st *stream) error {
	if st.status == statusOK {
		return nil
	}
	e := &Error{Method: info.name, Peer: to.id, Kind: st.status.kind()}
	f, err := parseFault(st.msg)
	switch {
	case err != nil:
		e.Cause = err
	case e.Kind == ErrRemote:
		e.Code, e.Cause = f.code, f.error()
	}
	return e
}

// call sends a call on this connection and waits for the answer.
func (c *conn) call(ctx context.Context, out outgoing) (st *stream, kind, err error) {
	st = c.newStream()
	rest, err := c.open(ctx, st, out)
	if err != nil {
		return nil, ErrUnsent, err
	}
	err = st.sendRest(ctx, rest, out.body)
	if broken := (*bodyError)(nil); err == nil || !errors.As(err, &broken) {
		err = st.await(ctx) // an answer may be there although not all was sent
	}
	if err != nil {
		return nil, c.abandon(st), err
	}
	return st, nil, nil
}

func (c *conn) newStream() *stream {
	return &stream{c: c, credit: sendCredit{left: int64(c.theirs.window)},
		recv: newRecvCredit(c.ep.cfg.window(c.class))}
}

// streamMax is the highest stream number. A connection that reaches it is replaced.
const streamMax = math.MaxUint32

// open numbers the stream and queues the head of the call; rest is what of its message is still to be sent.
func (c *conn) open(ctx context.Context, st *stream, out outgoing) (rest []byte, err error) {
	name := out.info.name
	size := headerSize + min(1+len(name)+requestFixed+len(out.msg), payloadMax)
	if err := c.reserve(ctx, st, size); err != nil {
		return nil, err
	}
	head := request{method: []byte(name), now: c.ep.envelope()}
	if left, ok := c.env.Remaining(ctx); ok {
		head.left = max(left, 1)
	}
	frame, rest := requestFrame(0, out.body.flags(), head, out.msg)
	c.lock.Lock()
	if err := c.openable(st); err != nil {
		c.unreserve(size)
		c.lock.Unlock()
		return nil, err
	}
	c.last++
	st.id = c.last
	if st.id == streamMax || st.id == c.ep.cfg.CallsPerConn {
		c.retired = true
		c.gone.Store(true)
	}
	binary.BigEndian.PutUint32(frame[5:], st.id)
	c.streams[st.id] = st
	c.wakeLane()
	c.load.Add(1)
	c.pushHead(st, frame)
	c.lock.Unlock()
	return rest, nil
}

func (c *conn) openable(st *stream) error {
	if c.retired {
		return errRetired
	}
	return c.sendable(st)
}

// unreserve gives back room that was set aside and not used. Under lock.
func (c *conn) unreserve(n int) {
	if c.dead == nil {
		c.queued -= n
		c.grantRoom()
	}
}

// await waits until the message of the answer is complete.
func (st *stream) await(ctx context.Context) error {
	st.c.lock.Lock()
	defer st.c.lock.Unlock()
	for !st.answered {
		if st.noRecv != nil {
			return st.noRecv
		}
		if err := st.waitSend(ctx); err != nil {
			return err
		}
	}
	return nil
}

// abandon ends a call that its caller gives up, and tells the other side. It returns what is known of the
// outcome.
func (c *conn) abandon(st *stream) (kind error) {
	kind = ErrUnknown
	c.lock.Lock()
	var err error
	done := false
	if !st.sent {
		kind = ErrUnsent
		if c.dead == nil {
			c.withdraw(st)
		}
	} else if c.dead == nil && st.noRecv == nil && !st.ended {
		err = c.pushControl(fault{code: codeCanceled, text: "the caller gave up"}.frame(st.id))
	}
	if c.dead == nil {
		done = c.forget(st)
	}
	st.discard()
	c.lock.Unlock()
	c.settle(err, done)
	return kind
}

// fits checks a message's length before it is sent.
func fits(msg []byte) error {
	if len(msg) > MessageMax {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(msg), MessageMax)
	}
	return nil
}
