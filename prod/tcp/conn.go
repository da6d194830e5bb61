package tcp

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"granary/core/rpc"
	"granary/core/rt"
)

// conn implements rpc.Conn.
type conn struct {
	t     *Transport
	raw   *corked
	tls   *tls.Conn
	peer  rt.NodeID
	class rpc.Class

	closed atomic.Bool
}

// Peer implements rpc.Conn.
func (c *conn) Peer() rt.NodeID { return c.peer }

// Class implements rpc.Conn.
func (c *conn) Class() rpc.Class { return c.class }

// Read implements rpc.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.tls.Read(p)
	if err := point("read"); err != nil {
		return 0, err
	}
	return n, err
}

// Write implements rpc.Conn. What does not fit into one TLS record still leaves in one system call.
func (c *conn) Write(p []byte) (int, error) {
	if err := point("write"); err != nil {
		return 0, err
	}
	if c.closed.Load() {
		return 0, net.ErrClosed // the end may not have been said yet
	}
	n, err := c.send(p)
	if err == nil {
		err = point("write-after")
	}
	return n, err
}

func (c *conn) send(p []byte) (int, error) {
	if len(p) <= recordMax {
		return c.tls.Write(p)
	}
	c.raw.cork()
	n, err := c.tls.Write(p)
	if flushErr := c.raw.flush(); err == nil {
		err = flushErr
	}
	return n, err
}

// closeMax bounds how long it may take to say the end of a connection.
const closeMax = time.Second

// Close implements rpc.Conn. It returns at once; a Write that waits is cut off.
func (c *conn) Close() error {
	if !c.t.untrack(c) {
		return nil
	}
	c.closed.Store(true)
	go func() {
		defer c.t.tasks.Done()
		late := time.AfterFunc(closeMax, func() { c.raw.Conn.Close() })
		defer late.Stop()
		c.tls.Close()
	}()
	return nil
}

// recordMax is the most that one TLS record carries.
const recordMax = 16 << 10

// corkMax is the most that is gathered.
const corkMax = 256 << 10

// corked is a connection that gathers what is written while it is corked.
type corked struct {
	net.Conn
	mu  sync.Mutex
	on  bool
	buf *[]byte // gathered, from buffers; nil: nothing
}

// buffers are kept for all connections together, so that an idle one holds none.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

func (c *corked) cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = true
}

// Write sends p, or keeps it for flush.
func (c *corked) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.on {
		return c.Conn.Write(p)
	}
	if c.buf == nil {
		c.buf = buffers.Get().(*[]byte)
	}
	*c.buf = append(*c.buf, p...)
	if len(*c.buf) < corkMax {
		return len(p), nil
	}
	return len(p), c.send()
}

// flush sends what was kept and uncorks.
func (c *corked) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = false
	return c.send()
}

func (c *corked) send() error {
	if c.buf == nil {
		return nil
	}
	_, err := c.Conn.Write(*c.buf)
	*c.buf = (*c.buf)[:0]
	buffers.Put(c.buf)
	c.buf = nil
	return err
}
