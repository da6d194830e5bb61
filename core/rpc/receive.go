package rpc

import (
	"fmt"
	"io"
)

const (
	// readBytes is the read buffer of a connection. What is longer is read straight to where it belongs.
	readBytes = 16 << 10
	// pooledBytes is from what length on a data frame is kept in a buffer of the free list.
	pooledBytes = 32 << 10
	// pieceBytes is the least capacity of a piece of a body, so that tiny frames can be joined.
	pieceBytes = 512
)

// frameReader cuts a connection's bytes into frames.
type frameReader struct {
	c   *conn
	buf []byte // buf[r:w] has arrived and was not used
	r   int
	w   int
}

func newFrameReader(c *conn) *frameReader { return &frameReader{c: c, buf: make([]byte, readBytes)} }

// header waits for the next frame. The end of the connection between two frames is io.EOF.
func (f *frameReader) header() (header, error) {
	b, err := f.peek(headerSize)
	if err != nil {
		return header{}, err
	}
	f.r += headerSize
	return parseHeader(b)
}

// payload returns the payload of h in the read buffer, if it fits, valid until the next call; else in one
// of its own.
func (f *frameReader) payload(h header) ([]byte, error) {
	n := int(h.length)
	if n > len(f.buf) {
		b := make([]byte, n)
		return b, f.full(b)
	}
	b, err := f.peek(n)
	if err != nil {
		return nil, unexpected(err)
	}
	f.r += n
	return b, nil
}

// owned returns the payload of h in a buffer that the caller keeps.
func (f *frameReader) owned(h header) ([]byte, error) {
	b := make([]byte, h.length)
	return b, f.full(b)
}

// piece is owned for data frames, whose buffers are used again.
func (f *frameReader) piece(h header) ([]byte, error) {
	n := int(h.length)
	var b []byte
	if n >= pooledBytes && n <= payloadMax {
		b = f.c.ep.bufs.get()[:n]
	} else {
		b = make([]byte, n, max(n, pieceBytes))
	}
	return b, f.full(b)
}

// full fills b.
func (f *frameReader) full(b []byte) error {
	n := copy(b, f.buf[f.r:f.w])
	f.r += n
	for n < len(b) {
		m, err := f.read(b[n:])
		n += m
		if err != nil && n < len(b) {
			return unexpected(err)
		}
	}
	return nil
}

// peek returns the next n bytes, n <= readBytes, without using them up.
func (f *frameReader) peek(n int) ([]byte, error) {
	if f.r == f.w {
		f.r, f.w = 0, 0
	}
	if len(f.buf)-f.r < n {
		f.w = copy(f.buf, f.buf[f.r:f.w])
		f.r = 0
	}
	for f.w-f.r < n {
		m, err := f.read(f.buf[f.w:])
		f.w += m
		if err != nil && f.w-f.r < n {
			if f.w > f.r {
				err = unexpected(err)
			}
			return nil, err
		}
	}
	return f.buf[f.r : f.r+n], nil
}

func (f *frameReader) read(p []byte) (int, error) {
	n, err := f.c.raw.Read(p)
	if n > 0 {
		f.c.heard.Store(int64(f.c.env.Now()))
		f.c.ep.tally.receivedBytes.Add(int64(n))
	}
	return n, err
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readLoop is the reader task: it hands every frame on and never waits for anything but the connection.
func (c *conn) readLoop(r *frameReader) error {
	for {
		h, err := r.header()
		if err != nil {
			return err
		}
		if err := c.receive(r, h); err != nil {
			return err
		}
	}
}

// receive takes one frame.
func (c *conn) receive(r *frameReader, h header) error {
	switch h.kind {
	case kindRequest:
		b, err := r.owned(h)
		if err != nil {
			return err
		}
		return c.onRequest(h, b)
	case kindResponse:
		b, err := r.owned(h)
		if err != nil {
			return err
		}
		return c.onResponse(h, b)
	case kindData:
		b, err := r.piece(h)
		if err != nil {
			return err
		}
		return c.onData(h, b)
	}
	b, err := r.payload(h)
	if err != nil {
		return err
	}
	switch h.kind {
	case kindCredit:
		return c.onCredit(h, b)
	case kindReset:
		return c.onReset(h, b)
	case kindPing, kindPong:
		return c.onPing(h, b)
	}
	return fmt.Errorf("%w: type %d in mid-connection", errFrame, h.kind)
}

func (c *conn) onPing(h header, b []byte) error {
	p, err := parsePing(b)
	if err != nil {
		return err
	}
	c.ep.observe(c.peer.id, p.now)
	if h.kind == kindPong {
		c.pong(p)
		return nil
	}
	c.onNews(p, 0)
	answer := ping{token: p.token, now: c.ep.envelope(), news: c.news()}.frame(kindPong)
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.pushControl(answer)
}

// onResponse takes the head of an answer. Answers to calls that were given up are dropped.
func (c *conn) onResponse(h header, b []byte) error {
	m, err := parseResponse(b)
	if err != nil {
		return err
	}
	c.ep.observe(c.peer.id, m.now)
	c.lock.Lock()
	st := c.streams[h.stream]
	if st == nil {
		defer c.lock.Unlock()
		return c.strange(h)
	}
	if st.server || st.answered || st.assembling {
		c.lock.Unlock()
		return fmt.Errorf("%w: a second answer on stream %d", errFrame, h.stream)
	}
	st.status = m.status
	complete, err := st.begin(m.size, m.part, h.flags)
	done := false
	if err == nil {
		st.noSend = errStopSending
		done = c.arrived(st, complete)
	}
	c.lock.Unlock()
	if done {
		return errRetired
	}
	return err
}

// arrived wakes the caller of a stream and takes the stream off the connection when all is there. Under lock.
func (c *conn) arrived(st *stream, complete bool) (done bool) {
	st.answered = st.answered || complete
	if st.ended {
		done = c.forget(st)
	}
	st.wake()
	return done
}

// onData takes a piece of a message or body.
func (c *conn) onData(h header, b []byte) error {
	c.lock.Lock()
	st := c.streams[h.stream]
	if st == nil {
		defer c.lock.Unlock()
		c.ep.bufs.put(b)
		return c.strange(h)
	}
	if !st.server && !st.answered && !st.assembling {
		c.lock.Unlock()
		return fmt.Errorf("%w: data before the answer on stream %d", errFrame, h.stream)
	}
	complete, grant, err := st.data(b, h.flags&flagEnd != 0)
	if err == nil && grant > 0 {
		err = c.pushControl(creditFrame(st.id, grant))
	}
	done := false
	if err == nil && !st.server {
		done = c.arrived(st, complete)
	} else if err == nil {
		st.started = st.started || complete
		st.wake()
	}
	c.lock.Unlock()
	switch {
	case err != nil:
		return err
	case done:
		return errRetired
	case complete && st.server:
		c.ep.start(st)
	}
	return nil
}

func (c *conn) onCredit(h header, b []byte) error {
	more, err := parseCredit(b)
	if err != nil {
		return err
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	st := c.streams[h.stream]
	if st == nil {
		return c.strange(h)
	}
	err = st.credit.grant(more)
	st.wake()
	return err
}

// onReset ends a stream: the caller gave it up, or the other side cannot finish its body.
func (c *conn) onReset(h header, b []byte) error {
	f, err := parseFault(b)
	if err != nil {
		return err
	}
	c.lock.Lock()
	st := c.streams[h.stream]
	if st == nil {
		defer c.lock.Unlock()
		return c.strange(h)
	}
	st.stop(fmt.Errorf("%w: %w", ErrBodyEnded, f.error()))
	done := !st.started && c.forget(st)
	c.lock.Unlock()
	st.over()
	if done {
		return errRetired
	}
	return nil
}

// strange takes a frame for a stream that is not there. One that was there is nothing to wonder about: its
// last frames cross with the news that it is over. Under lock.
func (c *conn) strange(h header) error {
	if h.stream > c.last {
		return fmt.Errorf("%w: type %d for stream %d, which was never opened", errFrame, h.kind, h.stream)
	}
	return nil
}
