package rpc

import (
	"context"
	"errors"
	"io"
)

const (
	// streamFrames is how many data frames of one stream may be in a connection's queue. Since the queue is
	// first in first out, streams that have data take turns.
	streamFrames = 2
	// batchBytes is how much the writer gathers into one Write; frames from soloBytes on are written alone,
	// for copying them would cost more than a Write.
	batchBytes = 32 << 10
	soloBytes  = 16 << 10
)

// errStopSending means that the other side wants no more data: its answer is there.
var errStopSending = errors.New("answered early")

// frame is an encoded frame in a queue.
type frame struct {
	buf  []byte  // nil: withdrawn
	st   *stream // nil: a control frame, queued without a reservation
	data bool
}

// frameQueue is a first-in first-out queue.
type frameQueue struct {
	items []frame
	head  int
}

func (q *frameQueue) push(f frame) {
	if q.head > 16 && q.head > len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, f)
}

func (q *frameQueue) pop() (frame, bool) {
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
		return frame{}, false
	}
	f := q.items[q.head]
	q.items[q.head] = frame{}
	q.head++
	return f, true
}

// reserve waits until n bytes of st may be queued, and sets them aside. It returns the stream's stop cause,
// the connection's end, or ctx's error; nothing is set aside then.
func (c *conn) reserve(ctx context.Context, st *stream, n int) error {
	c.lock.Lock()
	for st.queued >= streamFrames && st.noSend == nil && c.dead == nil {
		if err := st.waitSend(ctx); err != nil {
			c.lock.Unlock()
			return err
		}
	}
	defer c.lock.Unlock()
	if err := c.sendable(st); err != nil {
		return err
	}
	if len(c.room) == 0 && c.hasRoom(n) {
		c.queued += n
		return nil
	}
	st.need, st.granted = n, false
	c.room = append(c.room, st)
	for {
		err := st.waitSend(ctx)
		if stopped := c.sendable(st); stopped != nil {
			err = stopped
		}
		switch {
		case err == nil && st.granted:
			return nil
		case err == nil:
			continue
		case c.dead != nil:
			return err
		case st.granted:
			c.queued -= n
			c.grantRoom()
		default:
			c.leaveRoom(st)
		}
		return err
	}
}

func (c *conn) sendable(st *stream) error {
	if c.dead != nil {
		return c.dead
	}
	return st.noSend
}

func (c *conn) hasRoom(n int) bool { return c.queued == 0 || c.queued+n <= c.ep.cfg.QueueMaxBytes }

// grantRoom gives freed room to those who wait for it, in their order. Under lock.
func (c *conn) grantRoom() {
	for len(c.room) > 0 && c.hasRoom(c.room[0].need) {
		st := c.room[0]
		c.room[0] = nil
		c.room = c.room[1:]
		c.queued += st.need
		st.granted = true
		st.wake()
	}
}

func (c *conn) leaveRoom(st *stream) {
	for i, other := range c.room {
		if other == st {
			c.room = append(c.room[:i], c.room[i+1:]...)
			c.grantRoom()
			return
		}
	}
}

// pushHead queues the first frame of a message, and pushData a data frame, both within a reservation. Under
// lock, with the connection alive.
func (c *conn) pushHead(st *stream, buf []byte) {
	c.urgent.push(frame{buf: buf, st: st})
	c.kick()
}

func (c *conn) pushData(st *stream, buf []byte) {
	st.queued++
	c.data.push(frame{buf: buf, st: st, data: true})
	c.kick()
}

// pushControl queues a small frame without a reservation. Under lock. An error means that the peer does not
// read and the connection must fail.
func (c *conn) pushControl(buf []byte) error {
	if c.dead != nil {
		return nil
	}
	if c.control+len(buf) > controlMaxBytes {
		return ErrConnLost
	}
	c.control += len(buf)
	c.urgent.push(frame{buf: buf})
	c.kick()
	return nil
}

func (c *conn) kick() {
	if c.idle {
		c.idle = false
		c.writer.Unpark()
	}
}

// withdraw takes back the frames of st that the writer has not taken. Under lock.
func (c *conn) withdraw(st *stream) {
	for _, q := range []*frameQueue{&c.urgent, &c.data} {
		for i := q.head; i < len(q.items); i++ {
			if f := &q.items[i]; f.st == st {
				c.queued -= len(f.buf)
				f.buf = nil
			}
		}
	}
	c.grantRoom()
}

// take moves queued frames into batch until it is full. A large frame ends the batch and is returned by
// itself, to be written after it. Under lock.
func (c *conn) take(batch []byte) (rest, large []byte) {
	for len(batch) < batchBytes {
		f, ok := c.urgent.pop()
		if !ok {
			f, ok = c.data.pop()
		}
		if !ok {
			break
		}
		c.taken(f)
		if len(f.buf) >= soloBytes {
			large = f.buf
			break
		}
		batch = append(batch, f.buf...)
		c.ep.bufs.put(f.buf)
	}
	c.grantRoom()
	return batch, large
}

// taken does the accounts of a frame that leaves the queue.
func (c *conn) taken(f frame) {
	if f.st == nil {
		c.control -= len(f.buf)
		return
	}
	c.queued -= len(f.buf)
	f.st.sent = f.st.sent || f.buf != nil
	if f.data {
		f.st.queued--
		f.st.wake()
	}
}

// writeLoop is the writer task: it sends what is queued, as much as there is with each Write.
func (c *conn) writeLoop(ctx context.Context) error {
	for {
		batch := c.ep.bufs.get()
		c.lock.Lock()
		batch, large := c.take(batch)
		dead := c.dead
		c.idle = len(batch) == 0 && large == nil
		c.lock.Unlock()
		if dead != nil {
			return nil
		}
		err := c.write(batch, large)
		c.ep.bufs.put(batch)
		c.ep.bufs.put(large)
		if err == nil && len(batch) == 0 && large == nil {
			err = c.writer.Park(ctx)
		}
		if err != nil {
			c.fail(errors.Join(ErrConnLost, err))
			return nil
		}
	}
}

func (c *conn) write(batch, large []byte) error {
	for _, b := range [][]byte{batch, large} {
		if len(b) == 0 {
			continue
		}
		if _, err := c.raw.Write(b); err != nil {
			return err
		}
		c.said.Store(int64(c.env.Now()))
		c.ep.tally.sentBytes.Add(int64(len(b)))
		c.peer.bandwidth.sent.Add(int64(len(b)))
	}
	return nil
}

// send sends p as data of the stream, with the end of its direction if last.
func (st *stream) send(ctx context.Context, p []byte, last bool) error {
	for {
		n, err := st.waitCredit(ctx, len(p))
		if err != nil {
			return err
		}
		buf := append(st.c.ep.bufs.get()[:headerSize], p[:n]...)
		p = p[n:]
		if err := st.sendFrame(ctx, buf, last && len(p) == 0); err != nil || len(p) == 0 {
			return err
		}
	}
}

// sendFrom sends what r gives until its end, and the end. Errors of r are returned as a bodyError.
func (st *stream) sendFrom(ctx context.Context, r io.Reader) error {
	for {
		n, err := st.waitCredit(ctx, dataMax)
		if err != nil {
			return err
		}
		buf := st.c.ep.bufs.get()[:headerSize+n]
		n, err = r.Read(buf[headerSize:])
		if err != nil && err != io.EOF {
			return &bodyError{err}
		}
		if n == 0 && err == nil {
			continue
		}
		if err := st.sendFrame(ctx, buf[:headerSize+n], err == io.EOF); err != nil {
			return err
		}
		if err == io.EOF {
			return nil
		}
	}
}

// bodyError marks an error of the reader that gives a body, as opposed to one of the connection.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "reading the body: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// waitCredit waits until the stream may send some data and returns how much, at most want and one frame. Only
// the one task that sends on the stream uses up its credit, so it is still there afterwards.
func (st *stream) waitCredit(ctx context.Context, want int) (int, error) {
	c := st.c
	c.lock.Lock()
	defer c.lock.Unlock()
	for {
		if err := c.sendable(st); err != nil {
			return 0, err
		}
		if want == 0 || st.credit.left > 0 {
			return int(min(int64(want), dataMax, st.credit.left)), nil
		}
		if err := st.waitSend(ctx); err != nil {
			return 0, err
		}
	}
}

// sendFrame queues a data frame whose payload is in place.
func (st *stream) sendFrame(ctx context.Context, buf []byte, last bool) error {
	c := st.c
	if err := c.reserve(ctx, st, len(buf)); err != nil {
		c.ep.bufs.put(buf)
		return err
	}
	flags := uint8(0)
	if last {
		flags = flagEnd
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	if err := c.sendable(st); err != nil {
		if c.dead == nil {
			c.queued -= len(buf)
			c.grantRoom()
		}
		return err
	}
	st.credit.take(len(buf) - headerSize)
	c.pushData(st, seal(buf, kindData, flags, st.id))
	return nil
}
