package rpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"granary/core/rt"
)

// RTT is the estimate of a round trip to a peer.
type RTT struct {
	Mean time.Duration // exponentially weighted, 1/8 for each sample
	Dev  time.Duration // mean deviation, 1/4 for each sample
}

// add takes in a sample. Source: RFC 6298, section 2, in integers.
func (r *RTT) add(sample time.Duration) {
	sample = max(sample, 1)
	if r.Mean == 0 {
		r.Mean, r.Dev = sample, sample/2
		return
	}
	diff := sample - r.Mean
	r.Mean += diff / 8
	r.Dev += (max(diff, -diff) - r.Dev) / 4
}

// peer is what an endpoint knows of another node. The endpoint's lock protects it.
type peer struct {
	id       rt.NodeID
	conns    int  // open, dialled there or here
	inHand   int  // requests of it that are being served
	called   bool // this node calls it
	meta     slot
	bulk     []slot
	lanes    []*conn
	failures int // dials that failed in a row
	retryAt  time.Duration
	lastErr  error
	rtt      RTT
	feature  uint32 // of its last hello
	greeted  bool

	lanesWanted, laneDials int

	bandwidth bandwidth // with locks of its own
}

// slot is the place of one dialled connection.
type slot struct {
	c    *conn // nil or gone: none
	dial *rt.Future[*conn]
}

func (s *slot) usable() bool { return s.c != nil && !s.c.gone.Load() }

// peerOf returns the peer of that id, new if it was not known. Under lock.
func (ep *Endpoint) peerOf(id rt.NodeID) *peer {
	p := ep.peers[id]
	if p == nil {
		p = &peer{id: id, bulk: make([]slot, ep.cfg.BulkConnsMax)}
		ep.peers[id] = p
	}
	return p
}

// RTT returns the estimate of a round trip to a peer, from the pings on the Meta connection to it; ok is
// false before the first. For the node itself it is 0.
func (ep *Endpoint) RTT(id rt.NodeID) (rtt RTT, ok bool) {
	if id == ep.self {
		return RTT{}, true
	}
	ep.lock.Lock()
	defer ep.lock.Unlock()
	p := ep.peers[id]
	if p == nil || p.rtt.Mean == 0 {
		return RTT{}, false
	}
	return p.rtt, true
}

// Feature returns the feature level that the peer announced with its latest hello; ok is false before the
// first.
func (ep *Endpoint) Feature(id rt.NodeID) (level uint32, ok bool) {
	if id == ep.self {
		return ep.cfg.Feature, true
	}
	ep.lock.Lock()
	defer ep.lock.Unlock()
	p := ep.peers[id]
	if p == nil {
		return 0, false
	}
	return p.feature, p.greeted
}

// Connected reports whether a Meta connection to the peer is open.
func (ep *Endpoint) Connected(id rt.NodeID) bool {
	ep.lock.Lock()
	defer ep.lock.Unlock()
	p := ep.peers[id]
	return p != nil && p.meta.usable()
}

// Disconnect closes every connection with a peer, its calls and ours included, and forgets its round trip
// and its failures: for a peer that was removed, or whose route changed.
func (ep *Endpoint) Disconnect(id rt.NodeID) {
	ep.lock.Lock()
	p := ep.peers[id]
	var conns []*conn
	for _, c := range ep.conns {
		if c.peer == p {
			conns = append(conns, c)
		}
	}
	if p != nil {
		p.rtt, p.failures, p.retryAt, p.called = RTT{}, 0, 0, false
		ep.prune(p)
	}
	ep.lock.Unlock()
	for _, c := range conns {
		c.fail(fmt.Errorf("%w: disconnected here", ErrConnLost))
	}
}

// Warm begins to connect to a peer, for both classes, if there is no connection: so that the first call does
// not pay for it. It does not wait, and does nothing during a back-off.
func (ep *Endpoint) Warm(id rt.NodeID) {
	if id == ep.self {
		return
	}
	now := ep.env.Now()
	ep.lock.Lock()
	defer ep.lock.Unlock()
	p := ep.peerOf(id)
	p.called = true
	for _, class := range []Class{Meta, Bulk} {
		_, _, _ = ep.pick(p, class, now) // what it says, the next call finds out
	}
}

func (ep *Endpoint) measured(p *peer, sample time.Duration) {
	ep.lock.Lock()
	p.rtt.add(sample)
	mean := p.rtt.Mean
	ep.lock.Unlock()
	ep.env.Gauge("rpc_rtt_seconds", mean.Seconds(), "peer", p.id.Short())
}

// accepted notes that a peer has connected: it is alive, so a back-off ends.
func (ep *Endpoint) accepted(c *conn) {
	ep.lock.Lock()
	defer ep.lock.Unlock()
	c.peer.failures, c.peer.retryAt = 0, 0
}

// connect returns a connection to p for a call of that class, dialling if there is none.
//
// Errors: ErrUnknownPeer, ErrBackoff, ErrClosed, those of the transport, ctx's.
func (ep *Endpoint) connect(ctx context.Context, p *peer, class Class) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := ep.env.Now()
	ep.lock.Lock()
	c, wait, err := ep.pick(p, class, now)
	ep.lock.Unlock()
	if c != nil || err != nil {
		return c, err
	}
	return wait.Get(ctx)
}

// pick returns the least busy connection, or the dial to wait for. It begins another dial when there is no
// connection, or when all Bulk ones are busy. Under lock.
func (ep *Endpoint) pick(p *peer, class Class, now time.Duration) (*conn, *rt.Future[*conn], error) {
	slots := []*slot{&p.meta}
	if class == Bulk {
		slots = slots[:0]
		for i := range p.bulk {
			slots = append(slots, &p.bulk[i])
		}
	}
	var best *conn
	var empty *slot
	var wait *rt.Future[*conn]
	for _, s := range slots {
		switch {
		case s.usable():
			if best == nil || s.c.load.Load() < best.load.Load() {
				best = s.c
			}
		case s.dial != nil:
			wait = s.dial
		case empty == nil:
			empty = s
		}
	}
	const busy = 2 // calls in hand from which on another connection is worth while
	switch {
	case ep.closed:
		return nil, nil, ErrClosed
	case best != nil && (best.load.Load() < busy || wait != nil || empty == nil || now < p.retryAt):
		return best, nil, nil
	case best == nil && wait != nil:
		return nil, wait, nil
	case best == nil && now < p.retryAt:
		return nil, nil, fmt.Errorf("%w: %w", ErrBackoff, p.lastErr)
	}
	empty.c, empty.dial = nil, rt.NewFuture[*conn](ep.env)
	future := empty.dial
	ep.group.Go("rpc.dial", func(context.Context) error {
		ep.dial(p, class, empty, future)
		return nil
	})
	if best != nil {
		return best, nil, nil
	}
	return nil, future, nil
}

// dial connects to p and then reads the connection until it ends.
func (ep *Endpoint) dial(p *peer, class Class, s *slot, future *rt.Future[*conn]) {
	raw, err := ep.dialRaw(p, class, false)
	if err != nil {
		ep.dialled(p, s, future, nil, err)
		return
	}
	c := ep.attach(raw, true, false)
	if c == nil {
		ep.dialled(p, s, future, nil, ErrClosed)
		return
	}
	c.run(func() {
		ep.dialled(p, s, future, c, nil)
		c.ping(uint64(max(ep.env.Now(), 1)))
	})
	c.lock.Lock()
	err = c.dead
	c.lock.Unlock()
	ep.dialled(p, s, future, nil, err) // no effect if the connection was established
}

func (ep *Endpoint) dialRaw(p *peer, class Class, lane bool) (Conn, error) {
	if ep.hooks.Route == nil {
		return nil, ErrUnknownPeer
	}
	route, ok := ep.hooks.Route(p.id)
	if !ok {
		return nil, ErrUnknownPeer
	}
	ctx, cancel := ep.env.WithTimeout(ep.ctx, ep.cfg.DialTimeout)
	defer cancel()
	raw, err := ep.tr.Dial(ctx, Target{Addr: route.Addr, Peer: p.id, Class: class, As: route.As,
		Lane: lane})
	if err != nil {
		return nil, fmt.Errorf("dial %s at %s: %w", p.id.Short(), route.Addr, err)
	}
	if raw.Peer() != p.id || raw.Class() != class {
		raw.Close()
		return nil, ErrIdentity
	}
	return raw, nil
}

// dialled ends a dial: the connection goes into its slot, or a failure lengthens the back-off.
func (ep *Endpoint) dialled(p *peer, s *slot, future *rt.Future[*conn], c *conn, err error) {
	var jitter int64
	if err != nil {
		jitter = ep.env.Rand("rpc/backoff").Int64()
	}
	now := ep.env.Now()
	ep.lock.Lock()
	if s.dial != future {
		ep.lock.Unlock()
		return
	}
	s.c, s.dial = c, nil
	if err == nil {
		p.failures, p.retryAt = 0, 0
	} else if !errors.Is(err, ErrUnknownPeer) {
		p.lastErr = err
		p.retryAt = now + ep.backoff(p.failures, jitter)
		p.failures++
	}
	ep.lock.Unlock()
	if err != nil {
		ep.env.Count("rpc_dial_errors_total", 1)
	}
	future.Set(c, err)
}

// backoff doubles from BackoffMin to BackoffMax; up to a quarter is taken off at random.
func (ep *Endpoint) backoff(failures int, jitter int64) time.Duration {
	d := min(ep.cfg.BackoffMin<<min(failures, 20), ep.cfg.BackoffMax)
	return d - time.Duration(jitter%max(int64(d)/4, 1))
}

// prune forgets a peer with which there is nothing going on, and that was never called: the key of a join
// token, for example. Under lock.
func (ep *Endpoint) prune(p *peer) {
	if p.conns == 0 && p.inHand == 0 && !p.called {
		delete(ep.peers, p.id)
	}
}

// Stats is what an endpoint has in hand.
type Stats struct {
	Connections  int
	Calls        int   // streams of calls and of requests
	Requests     int   // requests that are being served
	InboundBytes int64 // set aside for requests
	QueuedBytes  int   // waiting to be sent
}

// Stats describes the endpoint at this moment.
func (ep *Endpoint) Stats() Stats {
	ep.lock.Lock()
	conns := slices.Clone(ep.conns)
	s := Stats{Connections: len(conns), Requests: ep.requests, InboundBytes: ep.inbound}
	ep.lock.Unlock()
	for _, c := range conns {
		c.lock.Lock()
		s.Calls += len(c.streams)
		s.QueuedBytes += c.queued + c.control
		c.lock.Unlock()
	}
	return s
}
