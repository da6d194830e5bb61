package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"granary/core/rt"
	"granary/sim/sched"
)

// Link is what lies between a client and a server.
type Link struct {
	Delay    time.Duration // each way
	Up, Down int64         // bytes per second of a connection, 0 for no limit
	Window   int           // bytes under way and not yet read, each way; 0 means 64 KiB
	// Silent servers break no connection when they are killed, as machines that lose power.
	Silent bool
}

// Client sends requests from the tasks of one Env.
type Client struct {
	Sched *sched.Sched
	Env   *sched.Env
	Link  Link
}

// Request is an HTTP request as it goes over the wire.
type Request struct {
	Method string
	Target string // path and query, escaped
	Host   string
	Header http.Header // not nil
	// Body is read by a task of its own until io.EOF or Length bytes; another error abandons the request. Nil
	// for none.
	Body io.Reader
	// Length is that of the body, -1 for a chunked one. Ignored without Body.
	Length int64
	// Expect sends the body only when the server asks for it.
	Expect bool
}

// Response is the answer to a request. Close must be called.
type Response struct {
	Status int
	Header http.Header
	Length int64 // of the body, -1 if unknown
	Body   io.Reader

	x *exchange
}

// Error is why there is no answer, or no whole one.
type Error struct {
	// Whole reports whether the whole request had left the client. If not, the server cannot have acted on
	// it.
	Whole bool
	Err   error
}

// Error describes the error.
func (e *Error) Error() string {
	return fmt.Sprintf("wire: no whole answer (request sent whole: %v): %v", e.Whole, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Do sends a request to a handler of a server node and waits for the head of the answer. The time-out covers
// everything until the answer was read.
//
// Errors: *Error with ErrReset, context.DeadlineExceeded, or the error of req.Body.
func (c *Client) Do(server *sched.Env, h http.Handler, req Request, timeout time.Duration) (*Response,
	error) {
	x := c.exchange(server, req, timeout)
	c.Sched.After(c.Link.Delay, func() {
		server.Go("http", func() { x.serve(h) })
	})
	if req.Body != nil {
		x.sender.Go("send", func(context.Context) error { return x.send() })
	}
	for {
		g, err := x.down.next(x.ctx)
		if err == nil && g.head == nil {
			err = ErrReset
		}
		if err != nil {
			return nil, x.fail(err)
		}
		hd := g.head
		x.down.pop()
		if hd.status == http.StatusContinue {
			x.proceed.Set(true, nil)
		}
		if hd.status < 200 {
			continue
		}
		x.proceed.Set(false, nil)
		r := &Response{Status: hd.status, Header: received(hd.header), Length: hd.length, x: x}
		r.Body = readerFunc(r.read)
		x.left = hd.body
		return r, nil
	}
}

// exchange is one request and its answer.
type exchange struct {
	c        *Client
	server   *sched.Env
	req      Request
	ctx      context.Context // the client's; ends with its deadline and, unless silent, with the server
	cancel   context.CancelFunc
	up, down *stream
	sender   *rt.Group
	proceed  *rt.Future[bool] // whether the body may be sent
	whole    bool             // the request was sent
	sendErr  error            // of req.Body
	left     int64            // of the answer's body, -1 if unknown
	done     bool             // the answer was read to its end
	gone     bool             // the client has hung up, and the server knows
	leaving  bool

	request *http.Request // the server's
	w       *writer
	body    *body
	hangUp  context.CancelFunc // ends the request's context
}

func (c *Client) exchange(server *sched.Env, req Request, timeout time.Duration) *exchange {
	if c.Link.Window == 0 {
		c.Link.Window = 64 << 10
	}
	parent := server.Background()
	if c.Link.Silent {
		parent = c.Env.Background()
	}
	x := &exchange{c: c, server: server, req: req, whole: req.Body == nil || req.Length == 0}
	x.ctx, x.cancel = c.Env.WithTimeout(parent, timeout)
	x.up = newStream(c.Sched, c.Env, server, c.Link, c.Link.Up)
	x.down = newStream(c.Sched, server, c.Env, c.Link, c.Link.Down)
	x.sender = rt.NewGroup(c.Env, x.ctx)
	x.proceed = rt.NewFuture[bool](c.Env)
	if !req.Expect {
		x.proceed.Set(true, nil)
	}
	return x
}

// send copies the body onto the line.
func (x *exchange) send() error {
	if ok, err := x.proceed.Get(x.ctx); err != nil || !ok {
		return nil
	}
	src := x.req.Body
	if x.req.Length >= 0 {
		src = io.LimitReader(src, x.req.Length)
	}
	sent := int64(0)
	buf := make([]byte, segmentMax)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			wrote, werr := x.up.write(x.ctx, buf[:n])
			sent += int64(wrote)
			if werr != nil {
				return nil // the answer tells, or its absence
			}
		}
		switch {
		case err == io.EOF && (x.req.Length < 0 || sent == x.req.Length):
			x.whole = true
			x.up.end(io.EOF)
			return nil
		case err == io.EOF:
			err = io.ErrUnexpectedEOF
			fallthrough
		case err != nil:
			x.sendErr = err
			x.hang()
			x.cancel()
			return nil
		}
	}
}

// fail ends the exchange without an answer.
func (x *exchange) fail(err error) error {
	x.close()
	if errors.Is(err, context.Canceled) {
		err = ErrReset
	}
	if x.sendErr != nil {
		err = x.sendErr
	}
	return &Error{Whole: x.whole, Err: err}
}

// hang breaks the connection off; the server learns of it after the delay.
func (x *exchange) hang() {
	if x.leaving {
		return
	}
	x.leaving = true
	x.c.Sched.After(x.c.Link.Delay, func() {
		if x.server.Dead() {
			return
		}
		x.gone = true
		x.up.breakOff()
		x.down.breakOff()
		x.noticed()
	})
}

// close ends the client's side and joins its sender.
func (x *exchange) close() {
	if !x.done || !x.whole {
		x.hang()
	}
	x.proceed.Set(false, nil)
	x.cancel()
	err := x.sender.Wait()
	var p *rt.PanicError
	if errors.As(err, &p) {
		rt.Break("wire: %v\n%s", p, p.Stack)
	}
}

// read reads the body of the answer.
func (r *Response) read(p []byte) (int, error) {
	x := r.x
	if x.left == 0 {
		x.done = true
		return 0, io.EOF
	}
	if x.left > 0 {
		p = p[:min(int64(len(p)), x.left)]
	}
	n, err := x.down.read(x.ctx, p)
	if x.left > 0 {
		x.left -= int64(n)
	}
	switch {
	case err == io.EOF && x.left < 0:
		x.done = true
		return n, io.EOF
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	case errors.Is(err, context.Canceled):
		err = ErrReset
	}
	if err != nil {
		err = &Error{Whole: x.whole, Err: err}
	}
	return n, err
}

// Close ends the exchange. An answer that was not read to its end breaks the connection.
func (r *Response) Close() {
	if r.x.left == 0 {
		r.x.done = true
	}
	r.x.close()
}

// Whole reports whether the whole request has left the client.
func (r *Response) Whole() bool { return r.x.whole }

// incoming builds the server's view of the request.
func (x *exchange) incoming(ctx context.Context) *http.Request {
	u, err := url.ParseRequestURI(x.req.Target)
	if err != nil {
		rt.Break("wire: target %q: %v", x.req.Target, err)
	}
	r := &http.Request{
		Method: x.req.Method, URL: u, RequestURI: x.req.Target, Host: x.req.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: x.req.Header.Clone(), RemoteAddr: "192.0.2.1:49152", Body: http.NoBody,
	}
	x.body = &body{x: x, left: 0, ended: true}
	if x.req.Body != nil && x.req.Length != 0 {
		x.body.left, x.body.ended = x.req.Length, false
		r.Body, r.ContentLength = x.body, x.req.Length
	}
	if x.req.Body != nil && x.req.Length < 0 {
		r.TransferEncoding = []string{"chunked"}
	} else if x.req.Body != nil {
		r.Header.Set("Content-Length", strconv.FormatInt(x.req.Length, 10))
	}
	if x.req.Expect {
		r.Header.Set("Expect", "100-continue")
	}
	return r.WithContext(ctx)
}

// received returns header fields as a client's reader gives them: by their canonical names, whatever case was
// sent.
func received(sent http.Header) http.Header {
	h := make(http.Header, len(sent))
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		canonical := http.CanonicalHeaderKey(name)
		h[canonical] = append(h[canonical], sent[name]...)
	}
	return h
}
