package daemon

import (
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"granary/prod/sched"
)

// edge stands between net/http and a handler: it cuts clients that stall, and lets a broken invariant end
// the process instead of one request.
type edge struct {
	env   *sched.Env
	next  http.Handler
	stall time.Duration
}

// writeMax is how much a client must take within the stall time, in bytes.
const writeMax = 256 << 10

// ServeHTTP implements http.Handler.
func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer e.env.Watch()
	s := &stalling{ResponseWriter: w, control: http.NewResponseController(w), stall: e.stall}
	s.allowWrite() // a deadline of the request before may be over
	body := &stallingBody{body: r.Body, s: s}
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = body
	}
	e.next.ServeHTTP(s, r)
	// What is left of the body is read, and then what is left of the answer written, by net/http.
	now := time.Now()
	if !body.ended {
		s.control.SetReadDeadline(now.Add(e.stall))
	}
	s.control.SetWriteDeadline(now.Add(2 * e.stall))
}

// stalling moves the deadlines of a connection while it makes progress.
type stalling struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
	read    time.Time // when the deadline was last moved
	written time.Time
}

// Unwrap serves http.ResponseController.
func (s *stalling) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// due reports whether a deadline should be moved: not at each of many small steps.
func (s *stalling) due(last *time.Time) bool {
	now := time.Now()
	if now.Sub(*last) < s.stall/8 {
		return false
	}
	*last = now
	return true
}

func (s *stalling) allowWrite() {
	if s.due(&s.written) {
		s.control.SetWriteDeadline(s.written.Add(s.stall))
	}
}

// Write implements http.ResponseWriter.
func (s *stalling) Write(p []byte) (n int, err error) {
	for {
		s.allowWrite()
		piece := p[n:min(len(p), n+writeMax)]
		m, err := s.ResponseWriter.Write(piece)
		n += m
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

// stallingBody moves the deadline at each Read of a request's body.
type stallingBody struct {
	body  io.ReadCloser
	s     *stalling
	ended bool // Read has returned an error
}

// Read implements io.Reader.
func (b *stallingBody) Read(p []byte) (int, error) {
	if b.ended {
		return b.body.Read(p)
	}
	if b.s.due(&b.s.read) {
		b.s.control.SetReadDeadline(b.s.read.Add(b.s.stall))
	}
	n, err := b.body.Read(p)
	if err != nil {
		b.ended = true
	}
	if err == io.EOF {
		// net/http now watches for the client's going away, for as long as the answer takes.
		b.s.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// Close implements io.Closer.
func (b *stallingBody) Close() error { return b.body.Close() }

// bounded is a listener that has at most as many connections open as there are places.
type bounded struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

func bound(l net.Listener, most int) *bounded {
	return &bounded{Listener: l, places: make(chan struct{}, most), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.places <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.places
		return nil, err
	}
	return &placed{Conn: c, free: sync.OnceFunc(func() { <-b.places })}, nil
}

// Close implements net.Listener.
func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

// placed is a connection that holds a place.
type placed struct {
	net.Conn
	free func()
}

// Close implements net.Conn.
func (p *placed) Close() error {
	defer p.free()
	return p.Conn.Close()
}
