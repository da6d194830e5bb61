package rpc

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"granary/core/rt"
)

// stream is one call on one connection, at either end. All fields are protected by the connection's lock,
// save those set before the stream is published.
type stream struct {
	c      *conn
	id     uint32
	server bool

	// Sending. One task at a time sends on a stream.
	credit  sendCredit
	queued  int  // data frames of it in the queue
	need    int  // room it waits for in conn.room
	granted bool // the room was given
	sent    bool // the writer has taken a frame of it
	noSend  error
	sendW   rt.Waiter

	// Receiving: first the message, then the body.
	recv       recvCredit
	assembling bool // the message is not complete
	answered   bool // caller: the message is complete
	status     status
	size       int
	msg        []byte
	hasBody    bool
	chunks     [][]byte // of the body, arrived and not read
	ended      bool     // all has arrived
	closed     bool     // nobody reads any more
	noRecv     error
	recvW      rt.Waiter

	// The handler's side only.
	handler  *handler
	ctx      context.Context
	cancel   context.CancelFunc
	started  bool // given to a worker, which will finish it
	reserved int64
	released bool // under the endpoint's lock
}

// stop ends both directions. Under lock.
func (st *stream) stop(err error) {
	if st.noSend == nil {
		st.noSend = err
	}
	if st.noRecv == nil && !st.ended {
		st.noRecv = err
	}
}

// wake makes the stream's waiting tasks look again.
func (st *stream) wake() {
	if st.sendW != nil {
		st.sendW.Unpark()
	}
	if st.recvW != nil {
		st.recvW.Unpark()
	}
}

// waitSend and waitRecv give up the lock, wait for something to happen to the stream, and take the lock
// again. Something may be nothing: callers look again.
func (st *stream) waitSend(ctx context.Context) error { return st.wait(ctx, &st.sendW) }

func (st *stream) waitRecv(ctx context.Context) error { return st.wait(ctx, &st.recvW) }

func (st *stream) wait(ctx context.Context, at *rt.Waiter) error {
	if *at == nil {
		*at = st.c.env.NewWaiter()
	}
	w := *at
	st.c.lock.Unlock()
	err := w.Park(ctx)
	st.c.lock.Lock()
	return err
}

// begin takes the head of the message that arrives on the stream. It reports whether the message is complete.
func (st *stream) begin(size uint32, part []byte, flags uint8) (complete bool, err error) {
	if size > MessageMax {
		return false, fmt.Errorf("%w: message of %d bytes, at most %d", errFrame, size, MessageMax)
	}
	st.size, st.msg = int(size), part
	st.hasBody = flags&flagBody != 0
	st.ended = flags&flagEnd != 0
	st.assembling = len(part) < st.size
	if st.ended && (st.assembling || st.hasBody) || !st.ended && !st.assembling && !st.hasBody {
		return false, fmt.Errorf("%w: message of %d bytes, %d of them here, with flags %d", errFrame, size,
			len(part), flags)
	}
	return !st.assembling, nil
}

// data takes a data frame. It reports whether the message became complete with it, and what credit to grant.
func (st *stream) data(p []byte, end bool) (complete bool, grant uint32, err error) {
	if st.ended {
		return false, 0, fmt.Errorf("%w: data after the end", errFrame)
	}
	if err := st.recv.arrived(len(p)); err != nil {
		return false, 0, err
	}
	st.ended = end
	switch {
	case st.assembling:
		if len(st.msg)+len(p) > st.size {
			return false, 0, fmt.Errorf("%w: %d bytes beyond a message", errFrame, len(st.msg)+len(p)-st.size)
		}
		st.msg = append(st.msg, p...)
		st.c.ep.bufs.put(p)
		st.assembling = len(st.msg) < st.size
		complete = !st.assembling
	case st.closed:
		st.c.ep.bufs.put(p)
	case len(p) > 0:
		st.buffer(p)
		p = nil
	}
	switch {
	case end && st.assembling, !end && complete && !st.hasBody, !complete && !st.assembling && !st.hasBody:
		return false, 0, fmt.Errorf("%w: the data does not fit its message", errFrame)
	case !end:
		grant = st.recv.consumed(len(p))
	}
	return complete, grant, nil
}

// buffer keeps a piece of the body, joined to the piece before if there is room, so that tiny frames do not
// cost more than their size.
func (st *stream) buffer(p []byte) {
	if n := len(st.chunks); n > 0 {
		if last := st.chunks[n-1]; cap(last)-len(last) >= len(p) {
			st.chunks[n-1] = append(last, p...)
			st.c.ep.bufs.put(p)
			return
		}
	}
	st.chunks = append(st.chunks, p)
}

// discard drops what was not read. Under lock.
func (st *stream) discard() {
	for _, p := range st.chunks {
		st.c.ep.bufs.put(p)
	}
	st.chunks, st.closed = nil, true
}

// body reads the body of a stream. One task at a time.
type body struct {
	st  *stream
	ctx context.Context
	cur []byte // being read
	all []byte // its buffer

	closed atomic.Bool
}

// Read waits for data. It returns io.EOF only when the other side has ended the body in order.
func (b *body) Read(p []byte) (int, error) {
	switch {
	case b.closed.Load():
		return 0, ErrBodyEnded
	case len(p) == 0:
		return 0, nil
	}
	if len(b.cur) == 0 {
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.cur)
	b.cur = b.cur[n:]
	b.used(n)
	return n, nil
}

// next makes the oldest piece that arrived the current one.
func (b *body) next() error {
	st := b.st
	st.c.lock.Lock()
	defer st.c.lock.Unlock()
	for {
		switch {
		case st.closed:
			return ErrBodyEnded
		case len(st.chunks) > 0:
			b.all = st.chunks[0]
			b.cur = b.all
			st.chunks[0] = nil
			st.chunks = st.chunks[1:]
			return nil
		case st.ended:
			return io.EOF
		case st.noRecv != nil:
			return st.noRecv
		}
		if err := st.waitRecv(b.ctx); err != nil {
			return err
		}
	}
}

// used gives the sender credit for n bytes that were read.
func (b *body) used(n int) {
	st := b.st
	c := st.c
	if len(b.cur) == 0 {
		c.ep.bufs.put(b.all)
		b.all = nil
	}
	c.lock.Lock()
	var err error
	if !st.ended && !st.closed && st.noRecv == nil {
		if more := st.recv.consumed(n); more > 0 {
			err = c.pushControl(creditFrame(st.id, more))
		}
	}
	c.lock.Unlock()
	if err != nil {
		c.fail(err)
	}
}

// Close gives up what was not read. On the caller's side it cancels the call if the body has not ended.
func (b *body) Close() error {
	st := b.st
	c := st.c
	if b.closed.Swap(true) {
		return nil
	}
	c.lock.Lock()
	st.discard()
	st.wake()
	var err error
	done := false
	if !st.server && !st.ended && st.noRecv == nil && c.dead == nil {
		err = c.pushControl(fault{code: codeCanceled}.frame(st.id))
		done = c.forget(st)
	}
	c.lock.Unlock()
	c.settle(err, done)
	return nil
}

// settle closes a connection whose peer does not read, or that is retired and idle.
func (c *conn) settle(err error, done bool) {
	switch {
	case err != nil:
		c.fail(err)
	case done:
		c.fail(errRetired)
	}
}
