package rpc

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"granary/core/rt"
)

// Endpoint is a node's end of all its conversations with other nodes. Make it with New, give it its
// handlers and hooks, then Start it. Safe for concurrent use from then on.
type Endpoint struct {
	env      rt.Env
	self     rt.NodeID
	tr       Transport
	cfg      Config
	hooks    Hooks
	handlers map[string]*handler // constant after Start
	started  bool
	ctx      context.Context // of all tasks
	cancel   context.CancelFunc
	group    *rt.Group
	bufs     bufs
	workers  workers
	tally    tally

	lock     rt.Locker
	peers    map[rt.NodeID]*peer
	conns    []*conn // in order of creation
	requests int     // in hand
	inbound  int64   // bytes set aside for them
	lanes    int     // dialled, or being dialled, to all peers
	closed   bool
}

// New returns an endpoint over tr. It panics when cfg is not valid.
func New(env rt.Env, tr Transport, cfg Config) *Endpoint {
	if err := cfg.Validate(); err != nil {
		rt.Break("%v", err)
	}
	ep := &Endpoint{
		env: env, self: tr.Self(), tr: tr, cfg: cfg, handlers: map[string]*handler{},
		lock: env.NewLock(), peers: map[rt.NodeID]*peer{},
		bufs: bufs{lock: env.NewLock()}, workers: workers{lock: env.NewLock()},
	}
	ep.ctx, ep.cancel = env.WithCancel(env.Background())
	ep.group = rt.NewGroup(env, ep.ctx)
	return ep
}

// Self is the node's own id.
func (ep *Endpoint) Self() rt.NodeID { return ep.self }

// Addr is the address that other nodes may dial by default.
func (ep *Endpoint) Addr() string { return ep.tr.Addr() }

// SetHooks installs what upper layers decide. Before Start only.
func (ep *Endpoint) SetHooks(h Hooks) {
	ep.beforeStart("SetHooks")
	ep.hooks = h
}

func (ep *Endpoint) register(h *handler) {
	ep.beforeStart("Handle of " + h.info.name)
	if ep.handlers[h.info.name] != nil {
		rt.Break("method %s has two handlers", h.info.name)
	}
	ep.handlers[h.info.name] = h
}

func (ep *Endpoint) beforeStart(what string) {
	if ep.started {
		rt.Break("%s after Start", what)
	}
}

// Start begins to accept connections and to make calls.
func (ep *Endpoint) Start() {
	ep.beforeStart("Start")
	ep.started = true
	ep.group.Keep("rpc.accept", ep.acceptLoop)
	ep.group.Keep("rpc.keep", ep.keepLoop)
}

// Close closes the transport and every connection, ends the contexts of all handlers and waits for them.
// Calls in flight fail; later ones too.
func (ep *Endpoint) Close() error {
	ep.lock.Lock()
	ep.closed = true
	conns := slices.Clone(ep.conns)
	ep.lock.Unlock()
	err := ep.tr.Close()
	for _, c := range conns {
		c.fail(ErrClosed)
	}
	ep.cancel()
	ep.group.Wait()
	return err
}

// within returns a context for a handler whose caller waits for left; 0 for as long as it takes.
func (ep *Endpoint) within(left time.Duration) (context.Context, context.CancelFunc) {
	if left == 0 {
		return ep.env.WithCancel(ep.ctx)
	}
	return ep.env.WithTimeout(ep.ctx, left)
}

// envelope is what every message carries.
func (ep *Endpoint) envelope() envelope {
	return envelope{stamp: ep.cfg.Clock.Last(), layout: ep.layout()}
}

func (ep *Endpoint) layout() uint64 {
	if ep.hooks.Layout == nil {
		return 0
	}
	return ep.hooks.Layout()
}

// observe takes in the envelope of a message, before anything else is done with the message.
func (ep *Endpoint) observe(from rt.NodeID, e envelope) {
	ep.cfg.Clock.Merge(e.stamp)
	if ep.hooks.OnLayout != nil && e.layout != ep.layout() {
		ep.hooks.OnLayout(from, e.layout)
	}
}

// admit decides whether a request is taken in hand, and if so sets memory aside for it.
func (ep *Endpoint) admit(p *peer, st *stream, method []byte) status {
	h := ep.handlers[string(method)]
	switch {
	case ep.hooks.Permit != nil && !ep.hooks.Permit(p.id, string(method)):
		return statusRefused
	case h == nil:
		return statusUnknownMethod
	}
	bytes := int64(st.size)
	if st.hasBody {
		bytes += st.recv.window
	}
	ep.lock.Lock()
	defer ep.lock.Unlock()
	if p.inHand >= ep.cfg.RequestsMax || ep.inbound+bytes > ep.cfg.InboundMaxBytes {
		ep.tally.overloaded.Add(1)
		return statusOverloaded
	}
	p.inHand++
	ep.requests++
	ep.inbound += bytes
	st.handler, st.reserved = h, bytes
	return statusOK
}

// release gives back what admit took for st, once.
func (ep *Endpoint) release(st *stream) {
	ep.lock.Lock()
	defer ep.lock.Unlock()
	if st.handler == nil || st.released {
		return
	}
	st.released = true
	ep.inbound -= st.reserved
	ep.requests--
	st.c.peer.inHand--
	if ep.inbound < 0 || st.c.peer.inHand < 0 {
		rt.Break("released more than was admitted: %d bytes, %d requests", ep.inbound, st.c.peer.inHand)
	}
	ep.prune(st.c.peer)
}

// acceptBackoff is the pause after a failed Accept, so that a persistent fault does not spin.
const acceptBackoff = 50 * time.Millisecond

func (ep *Endpoint) acceptLoop(ctx context.Context) error {
	for {
		raw, err := ep.tr.Accept(ctx)
		switch {
		case errors.Is(err, ErrClosed) || ctx.Err() != nil:
			return nil
		case err != nil:
			ep.env.Count("rpc_accept_errors_total", 1)
			if ep.env.Sleep(ctx, acceptBackoff) != nil {
				return nil
			}
			continue
		}
		if c := ep.attach(raw, false, false); c != nil {
			ep.group.Go("rpc.read", func(context.Context) error {
				c.run(func() { ep.accepted(c) })
				return nil
			})
		}
	}
}

// attach makes a connection known. It returns nil, and closes it, when the endpoint is closed.
func (ep *Endpoint) attach(raw Conn, dialled, lane bool) *conn {
	c := newConn(ep, raw, dialled)
	c.lane = lane
	ep.lock.Lock()
	if ep.closed {
		ep.lock.Unlock()
		raw.Close()
		return nil
	}
	p := ep.peerOf(raw.Peer())
	c.peer = p
	ep.conns = append(ep.conns, c)
	p.conns++
	var surplus *conn
	if !dialled {
		surplus = ep.surplus(p, c.class)
	}
	ep.lock.Unlock()
	if surplus != nil {
		surplus.fail(ErrConnLost)
	}
	return c
}

// surplus returns the oldest accepted connection of a peer when there are too many of a class. Under lock.
func (ep *Endpoint) surplus(p *peer, class Class) *conn {
	var oldest *conn
	n := 0
	for _, c := range ep.conns {
		if c.peer == p && c.class == class && !c.dialled {
			if n++; oldest == nil {
				oldest = c
			}
		}
	}
	if n > ep.cfg.AcceptedMax {
		return oldest
	}
	return nil
}

// drop makes a dead connection unknown.
func (ep *Endpoint) drop(c *conn) {
	ep.lock.Lock()
	i := slices.Index(ep.conns, c)
	if i < 0 {
		ep.lock.Unlock()
		return
	}
	ep.conns = slices.Delete(ep.conns, i, i+1)
	c.peer.conns--
	lanes := c.peer.unlane(c)
	ep.prune(c.peer)
	ep.lock.Unlock()
	for _, lane := range lanes {
		lane.fail(ErrConnLost)
	}
}

// keepLoop is the keeper task: pings, silence, and the numbers for the meters.
func (ep *Endpoint) keepLoop(ctx context.Context) error {
	tick := ep.cfg.PingEvery / 2
	for last := ep.env.Now(); ep.env.Sleep(ctx, tick) == nil; last = ep.env.Now() {
		_ = rt.Guard(ep.env, "rpc.keep", func() error {
			ep.keep(ep.env.Now() - last - tick)
			return nil
		})
	}
	return nil
}

// keep tends the connections. late is how much later than planned it comes: time in which this node itself
// did not run, and which therefore does not count as its peers' silence.
func (ep *Endpoint) keep(late time.Duration) {
	ep.lock.Lock()
	conns := slices.Clone(ep.conns)
	ep.lock.Unlock()
	now := ep.env.Now()
	for _, c := range conns {
		c.excuse(now, late)
		if err := c.tend(now); err != nil {
			ep.env.Warn("connection given up", "peer", c.peer.id.Short(), "class", c.class, "err", err)
			c.fail(err)
		}
	}
	ep.lookAtLines(now, conns)
	ep.report(conns)
}

// tally counts what happens too often for the meters; the keeper passes it on.
type tally struct {
	sentBytes, receivedBytes, overloaded atomic.Int64
}

func (ep *Endpoint) report(conns []*conn) {
	for _, m := range []struct {
		name string
		n    *atomic.Int64
	}{
		{"rpc_sent_bytes_total", &ep.tally.sentBytes},
		{"rpc_received_bytes_total", &ep.tally.receivedBytes},
		{"rpc_overloaded_total", &ep.tally.overloaded},
	} {
		if n := m.n.Swap(0); n != 0 {
			ep.env.Count(m.name, float64(n))
		}
	}
	queued := 0
	for _, c := range conns {
		c.lock.Lock()
		queued += c.queued
		c.lock.Unlock()
	}
	ep.env.Gauge("rpc_connections", float64(len(conns)))
	ep.env.Gauge("rpc_queued_bytes", float64(queued))
}

// called records a finished call.
func (t *tally) called(ep *Endpoint, info *methodInfo, start time.Duration, err error) {
	ep.env.Observe("rpc_call_seconds", (ep.env.Now() - start).Seconds(), info.labels...)
	if err == nil {
		return
	}
	kind := "other"
	if e := (*Error)(nil); errors.As(err, &e) {
		kind = e.Kind.Error()
	}
	ep.env.Count("rpc_failed_calls_total", 1, "method", info.name, "kind", kind)
}

// callLocal runs a handler of this node in the caller's task.
func (ep *Endpoint) callLocal(
	ctx context.Context, info *methodInfo, req any, b Body,
) (any, io.ReadCloser, error) {
	h, err := ep.localHandler(ctx, info)
	if err != nil {
		return nil, nil, err
	}
	var resp any
	var out Body
	err = rt.Guard(ep.env, h.task, func() (err error) {
		resp, out, err = h.local(ctx, ep.self, req, b.open())
		return err
	})
	if err != nil {
		out.close()
		return nil, nil, ep.localError(info, err)
	}
	return resp, out.open(), nil
}

// callEncoded is callLocal with encoded messages.
func (ep *Endpoint) callEncoded(
	ctx context.Context, info *methodInfo, msg []byte, b Body,
) ([]byte, io.ReadCloser, error) {
	h, err := ep.localHandler(ctx, info)
	if err != nil {
		return nil, nil, err
	}
	var out reply
	err = rt.Guard(ep.env, h.task, func() (err error) {
		out, err = h.run(ctx, ep.self, msg, b.open())
		return err
	})
	if err == nil && fits(out.msg) != nil {
		out.body.close()
		err = fits(out.msg)
	}
	if err != nil {
		return nil, nil, ep.localError(info, err)
	}
	return out.msg, out.body.open(), nil
}

func (ep *Endpoint) localHandler(ctx context.Context, info *methodInfo) (*handler, error) {
	h := ep.handlers[info.name]
	switch {
	case h == nil:
		return nil, &Error{Method: info.name, Peer: ep.self, Kind: ErrUnknownMethod}
	case ctx.Err() != nil:
		return nil, &Error{Method: info.name, Peer: ep.self, Kind: ErrUnsent, Cause: ctx.Err()}
	}
	return h, nil
}

func (ep *Endpoint) localError(info *methodInfo, err error) error {
	f := faultOf(err)
	return &Error{Method: info.name, Peer: ep.self, Kind: ErrRemote, Code: f.code, Cause: f.error()}
}
