package wire

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"granary/core/rt"
)

const (
	// drainMax is how much of a body net/http reads and drops before an early answer, in bytes.
	drainMax = 256 << 10
	// holdMax is how much of an answer's body is held back to find out its length, in bytes.
	holdMax = 2048
	// headBytes is the size at which a head is charged.
	headBytes = 512
)

// head is the head of an answer on the line.
type head struct {
	status int
	header http.Header
	length int64 // as announced, -1 if it was not
	body   int64 // bytes that follow, -1 for until the end
}

// serve runs the handler in a task of the server.
func (x *exchange) serve(h http.Handler) {
	ctx, cancel := x.server.WithCancel(x.server.Background())
	x.hangUp = cancel
	x.request = x.incoming(ctx)
	x.w = &writer{x: x, header: http.Header{}, length: -1}
	x.noticed()
	finished := false
	defer func() {
		if x.server.Dead() {
			return
		}
		v := recover()
		if v != nil && v != http.ErrAbortHandler {
			panic(v)
		}
		if v == nil && !finished {
			return // the run is being stopped
		}
		x.returned(v != nil)
	}()
	h.ServeHTTP(x.w, x.request)
	x.w.finish()
	finished = true
}

// returned ends the server's side.
func (x *exchange) returned(aborted bool) {
	x.w.over, x.body.over = true, true
	x.hangUp()
	if aborted {
		x.down.end(ErrReset)
	} else {
		x.down.end(io.EOF) // the client knows if that is too early
	}
	x.c.Sched.After(x.c.Link.Delay, func() { // closed: a client that still sends learns it
		if !x.whole {
			x.up.breakOff()
		}
	})
}

// noticed ends the request's context if the client is gone and net/http would look.
func (x *exchange) noticed() {
	if x.gone && x.hangUp != nil && x.body.ended {
		x.hangUp()
	}
}

// body is the request's body on the server.
type body struct {
	x      *exchange
	left   int64 // bytes to come, -1 for until the end
	ended  bool  // read to its end
	closed bool  // by Close or by an answer
	asked  bool  // 100 was sent
	over   bool  // ServeHTTP has returned
	busy   bool
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	switch {
	case b.over:
		panic("wire: the body was read after ServeHTTP had returned")
	case b.busy:
		panic("wire: two tasks read one body")
	case b.closed:
		return 0, http.ErrBodyReadAfterClose
	}
	return b.read(p)
}

func (b *body) read(p []byte) (int, error) {
	if b.ended {
		return 0, io.EOF
	}
	if b.x.req.Expect && !b.asked {
		b.asked = true
		b.x.down.push(segment{head: &head{status: http.StatusContinue}}, headBytes)
	}
	if b.left > 0 {
		p = p[:min(int64(len(p)), b.left)]
	}
	b.busy = true
	n, err := b.x.up.read(rt.Forever, p)
	b.busy = false
	if b.left > 0 {
		b.left -= int64(n)
	}
	switch {
	case b.left == 0, err == io.EOF && b.left < 0:
		b.ended = true
		b.x.noticed()
		if n == 0 {
			return 0, io.EOF
		}
		return n, nil
	case err == io.EOF || err == ErrReset:
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	if b.over {
		panic("wire: the body was closed after ServeHTTP had returned")
	}
	b.closed = true
	return nil
}

// drain reads and drops what is left before an answer, if it is not too much.
func (b *body) drain() {
	if b.ended || b.closed || b.x.req.Expect && !b.asked || b.left > drainMax {
		b.closed = true
		return
	}
	b.closed = true
	buf := make([]byte, 8<<10)
	for dropped := 0; dropped <= drainMax; {
		n, err := b.read(buf)
		dropped += n
		if err != nil {
			return
		}
	}
}

// writer is the http.ResponseWriter.
type writer struct {
	x       *exchange
	header  http.Header
	status  int // 0 before WriteHeader
	length  int64
	written int64
	kept    http.Header // as it was at WriteHeader
	held    []byte
	sent    bool // the head is on the line
	over    bool // ServeHTTP has returned
	busy    bool
}

// Header implements http.ResponseWriter.
func (w *writer) Header() http.Header {
	w.check()
	return w.header
}

func (w *writer) check() {
	if w.over {
		panic("wire: the ResponseWriter was used after ServeHTTP had returned")
	}
	if w.busy {
		panic("wire: two tasks use one ResponseWriter")
	}
}

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	w.check()
	if status < 100 || status > 999 {
		panic("wire: invalid status " + strconv.Itoa(status))
	}
	if w.status != 0 {
		panic("wire: second WriteHeader: " + strconv.Itoa(status) + " after " + strconv.Itoa(w.status))
	}
	if status < 200 {
		w.x.down.push(segment{head: &head{status: status, header: w.header.Clone()}}, headBytes)
		return
	}
	w.status, w.kept = status, w.header.Clone()
	if text := w.kept.Get("Content-Length"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			panic("wire: invalid Content-Length " + strconv.Quote(text))
		}
		w.length = n
	}
}

// bodyAllowed reports whether the status has a body.
func (w *writer) bodyAllowed() bool {
	return w.status >= 200 && w.status != http.StatusNoContent && w.status != http.StatusNotModified
}

// Write implements http.ResponseWriter.
func (w *writer) Write(p []byte) (int, error) {
	w.check()
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if !w.bodyAllowed() {
		return 0, http.ErrBodyNotAllowed
	}
	if w.length >= 0 && w.written+int64(len(p)) > w.length {
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	if w.x.req.Method == http.MethodHead {
		return len(p), nil
	}
	if !w.sent && w.length < 0 && len(w.held)+len(p) <= holdMax {
		w.held = append(w.held, p...)
		return len(p), nil
	}
	w.busy = true
	defer func() { w.busy = false }()
	w.flushHead(-1)
	n, err := w.x.down.write(rt.Forever, p)
	if err != nil {
		w.x.hangUp()
	}
	return n, err
}

// flushHead puts the head on the line, and what was held back. Whole is the length of the body if that is
// known.
func (w *writer) flushHead(whole int64) {
	if w.sent {
		return
	}
	w.sent = true
	w.x.body.drain()
	hd := &head{status: w.status, header: w.kept, length: w.length, body: w.length}
	if w.length < 0 && w.bodyAllowed() && whole >= 0 {
		hd.length, hd.body = whole, whole
		if hd.header.Get("Content-Length") == "" && w.x.req.Method != http.MethodHead {
			hd.header.Set("Content-Length", strconv.FormatInt(whole, 10))
		}
	}
	if !w.bodyAllowed() || w.x.req.Method == http.MethodHead {
		hd.body = 0
	}
	if w.x.down.broken == nil {
		w.x.down.push(segment{head: hd}, headBytes)
	}
	if len(w.held) > 0 {
		w.x.down.write(rt.Forever, w.held)
		w.held = nil
	}
}

// Flush implements http.Flusher.
func (w *writer) Flush() {
	w.check()
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.busy = true
	defer func() { w.busy = false }()
	w.flushHead(-1)
}

// SetReadDeadline is found by http.ResponseController. The time is on the server's wall clock.
func (w *writer) SetReadDeadline(t time.Time) error {
	w.check()
	w.x.up.readBy = w.deadline(t)
	w.x.up.canRead.Unpark()
	return nil
}

// SetWriteDeadline is found by http.ResponseController. The time is on the server's wall clock.
func (w *writer) SetWriteDeadline(t time.Time) error {
	w.check()
	w.x.down.writeBy = w.deadline(t)
	w.x.down.canWrite.Unpark()
	return nil
}

func (w *writer) deadline(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return max(w.x.c.Sched.Now()+t.Sub(w.x.server.Wall()), 1)
}

// finish sends what is left when the handler has returned.
func (w *writer) finish() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.flushHead(w.written)
}

var (
	_ http.ResponseWriter = (*writer)(nil)
	_ http.Flusher        = (*writer)(nil)
)
