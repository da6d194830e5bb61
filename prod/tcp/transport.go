package tcp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"granary/core/rpc"
	"granary/core/rt"
)

// Transport implements rpc.Transport.
type Transport struct {
	cfg      Config
	self     rt.NodeID
	cert     tls.Certificate
	listener net.Listener // nil: dials only
	admit    atomic.Pointer[func(rt.NodeID) bool]
	slots    chan struct{} // one per running handshake
	accepted chan *conn
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	tasks    sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[*conn]struct{}
}

var _ rpc.Transport = (*Transport)(nil)

// accepts is what the accepting side sends once it has admitted the key of the other.
const accepts = '+'

// Listen returns a transport that accepts connections at cfg.Listen. They are cut in the handshake until
// Admit is called.
func Listen(cfg Config) (*Transport, error) {
	cfg = cfg.withDefaults()
	cert, err := certificate(cfg.Identity)
	if err != nil {
		return nil, err
	}
	t := &Transport{
		cfg: cfg, self: IDOf(cfg.Identity), cert: cert,
		slots: make(chan struct{}, cfg.HandshakesMax), accepted: make(chan *conn, acceptQueue),
		conns: map[*conn]struct{}{},
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	if cfg.Listen == "" {
		return t, nil
	}
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	if t.listener, err = lc.Listen(t.ctx, "tcp", cfg.Listen); err != nil {
		t.cancel()
		return nil, fmt.Errorf("tcp: listen for peers at %s: %w", cfg.Listen, err)
	}
	t.tasks.Add(1)
	go t.acceptLoop()
	return t, nil
}

var keepAlive = net.KeepAliveConfig{Enable: true, Idle: keepIdle, Interval: keepInterval, Count: keepCount}

// Self implements rpc.Transport.
func (t *Transport) Self() rt.NodeID { return t.self }

// Addr implements rpc.Transport.
func (t *Transport) Addr() string {
	switch {
	case t.cfg.Advertise != "":
		return t.cfg.Advertise
	case t.listener != nil:
		return t.listener.Addr().String()
	}
	return ""
}

// Admit implements rpc.Transport.
func (t *Transport) Admit(f func(peer rt.NodeID) bool) { t.admit.Store(&f) }

func (t *Transport) admits(peer rt.NodeID) bool {
	f := t.admit.Load()
	return f != nil && *f != nil && (*f)(peer)
}

// acceptLoop starts a handshake for every incoming connection.
func (t *Transport) acceptLoop() {
	defer t.tasks.Done()
	for {
		raw, err := t.listener.Accept()
		if err != nil {
			if t.ctx.Err() != nil {
				return
			}
			select {
			case <-time.After(acceptPause):
				continue
			case <-t.ctx.Done():
				return
			}
		}
		select {
		case t.slots <- struct{}{}:
			t.tasks.Add(1)
			go t.serve(raw)
		default:
			raw.Close()
		}
	}
}

// serve does the handshake of an incoming connection and queues it for Accept.
func (t *Transport) serve(raw net.Conn) {
	defer t.tasks.Done()
	defer func() { <-t.slots }()
	cfg := baseConfig(t.cert, func(s tls.ConnectionState) error {
		peer, _, err := proven(s)
		if err == nil && !t.admits(peer) {
			err = fmt.Errorf("%w: %s is not admitted", rpc.ErrIdentity, peer.Short())
		}
		return err
	})
	cfg.NextProtos = protocols[:]
	c, err := t.handshake(t.ctx, raw, cfg, tls.Server)
	if err != nil {
		return
	}
	if _, err := c.tls.Write([]byte{accepts}); err != nil {
		c.Close()
		return
	}
	select {
	case t.accepted <- c:
	default:
		c.Close()
	}
}

// handshake makes raw a connection, or closes it.
func (t *Transport) handshake(
	ctx context.Context, raw net.Conn, cfg *tls.Config, side func(net.Conn, *tls.Config) *tls.Conn,
) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.HandshakeTimeout)
	defer cancel()
	if tc, ok := raw.(*net.TCPConn); ok && t.cfg.BufferBytes > 0 {
		tc.SetReadBuffer(t.cfg.BufferBytes)
		tc.SetWriteBuffer(t.cfg.BufferBytes)
	}
	c := &conn{t: t, raw: &corked{Conn: raw}}
	c.tls = side(c.raw, cfg)
	err := c.tls.HandshakeContext(ctx)
	if err == nil {
		c.peer, c.class, err = proven(c.tls.ConnectionState())
	}
	if err == nil {
		err = t.track(c)
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	return c, nil
}

// Accept implements rpc.Transport.
func (t *Transport) Accept(ctx context.Context) (rpc.Conn, error) {
	select {
	case c := <-t.accepted:
		return c, nil
	case <-t.ctx.Done():
		return nil, rpc.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Dial implements rpc.Transport.
func (t *Transport) Dial(ctx context.Context, to rpc.Target) (rpc.Conn, error) {
	c, err := t.dial(ctx, to)
	switch {
	case err == nil:
		return c, nil
	case t.ctx.Err() != nil:
		return nil, rpc.ErrClosed
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, rpc.ErrIdentity):
		return nil, err
	case refusedByPeer(err):
		return nil, fmt.Errorf("%w: the other end does not admit this node: %w", rpc.ErrIdentity, err)
	}
	return nil, fmt.Errorf("%w: %w", rpc.ErrUnreachable, err)
}

func (t *Transport) dial(ctx context.Context, to rpc.Target) (*conn, error) {
	cert := t.cert
	if to.As != nil {
		var err error
		if cert, err = certificate(*to.As); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	dialer := net.Dialer{KeepAliveConfig: keepAlive}
	if to.Lane {
		dialer.Control = unpaced
	}
	raw, err := dialer.DialContext(ctx, "tcp", to.Addr)
	if err != nil {
		return nil, err
	}
	cfg := baseConfig(cert, func(s tls.ConnectionState) error {
		peer, class, err := proven(s)
		if err == nil && (peer != to.Peer || class != to.Class) {
			err = fmt.Errorf("%w: %s proved to be %s", rpc.ErrIdentity, to.Addr, peer.Short())
		}
		return err
	})
	cfg.NextProtos = protocols[to.Class : to.Class+1]
	c, err := t.handshake(ctx, raw, cfg, tls.Client)
	if err != nil {
		return nil, err
	}
	if err := c.awaitAdmission(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// awaitAdmission reads the other side's verdict.
func (c *conn) awaitAdmission(ctx context.Context) error {
	c.tls.SetReadDeadline(time.Now().Add(c.t.cfg.HandshakeTimeout))
	stop := context.AfterFunc(ctx, func() { c.tls.SetReadDeadline(time.Unix(1, 0)) })
	var verdict [1]byte
	_, err := io.ReadFull(c.tls, verdict[:])
	if !stop() && err == nil {
		return ctx.Err()
	}
	if err == nil && verdict[0] != accepts {
		err = fmt.Errorf("%w: verdict %q", rpc.ErrIdentity, verdict)
	}
	c.tls.SetReadDeadline(time.Time{})
	return err
}

// refusedByPeer tells the alert of a peer that refused from a broken connection.
func refusedByPeer(err error) bool {
	op := (*net.OpError)(nil)
	return errors.As(err, &op) && op.Op == "remote error"
}

func (t *Transport) track(c *conn) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return rpc.ErrClosed
	}
	t.conns[c] = struct{}{}
	return nil
}

func (t *Transport) untrack(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, open := t.conns[c]
	delete(t.conns, c)
	if open {
		t.tasks.Add(1)
	}
	return open
}

// Close implements rpc.Transport. It waits until the ends of the connections are said, or could not be.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	conns := make([]*conn, 0, len(t.conns))
	for c := range t.conns {
		conns = append(conns, c)
	}
	t.mu.Unlock()
	t.cancel()
	var err error
	if t.listener != nil {
		err = t.listener.Close()
	}
	for _, c := range conns {
		c.Close()
	}
	t.tasks.Wait()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}
