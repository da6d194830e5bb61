package net

import (
	"fmt"
	"io"
	"time"

	"granary/core/rpc"
	"granary/core/rt"
	"granary/netsim"
)

// Conn is one end of a connection. It implements rpc.Conn.
type Conn struct {
	t        *Transport
	number   uint64
	peer     rt.NodeID
	class    rpc.Class
	other    *Conn
	in, out  *flow
	reader   rt.Waiter
	writer   rt.Waiter
	blocked  bool // a Write waits for room
	closed   bool
	closedAt time.Duration
	broken   error // set when the other end does not know the connection
}

// connect makes the two ends of what d opened. The end at the other node stays hidden until the proof of the
// one who dialled has arrived there.
func (n *Net) connect(d *dial) *Conn {
	n.conns++
	make := func(t *Transport, peer rt.NodeID) *Conn {
		return &Conn{
			t: t, number: n.conns, peer: peer, class: d.target.Class,
			reader: t.env.NewWaiter(), writer: t.env.NewWaiter(),
		}
	}
	a, b := make(d.t, d.peer.self), make(d.peer, d.key)
	a.other, b.other = b, a
	a.out = n.newFlow(a, b, proofBytes, d.roundTrip)
	b.out = n.newFlow(b, a, 0, d.roundTrip)
	a.in, b.in = b.out, a.out
	a.out.twin, b.out.twin = b.out, a.out
	netsim.Join(a.out.stream, b.out.stream)
	a.t.conns = append(a.t.conns, a)
	n.note(Event{Kind: Open, Conn: a.number, From: a.t.node, To: b.t.node})
	a.out.begin()
	return a
}

// Peer implements rpc.Conn.
func (c *Conn) Peer() rt.NodeID { return c.peer }

// Class implements rpc.Conn.
func (c *Conn) Class() rpc.Class { return c.class }

// Read implements rpc.Conn. After a reset it returns what had arrived before, then ErrReset.
func (c *Conn) Read(p []byte) (int, error) {
	c.t.env.Now()
	for {
		switch n := c.in.readable(); {
		case c.closed:
			return 0, c.fault("read", rpc.ErrClosed)
		case len(p) == 0:
			return 0, nil
		case n > 0:
			return c.in.read(p[:min(int64(len(p)), n)]), nil
		case c.in.ended():
			return 0, io.EOF
		case c.broken != nil:
			return 0, c.fault("read", c.broken)
		}
		if err := c.reader.Park(c.t.env.Background()); err != nil {
			return 0, c.fault("read", err)
		}
	}
}

// Write implements rpc.Conn. It waits while the send buffer is full.
func (c *Conn) Write(p []byte) (int, error) {
	c.t.env.Now()
	done := 0
	for {
		switch {
		case c.closed:
			return done, c.fault("write", rpc.ErrClosed)
		case c.broken != nil:
			return done, c.fault("write", c.broken)
		case done == len(p):
			return done, nil
		}
		if n := c.out.room(len(p) - done); n > 0 {
			c.out.write(p[done : done+n])
			done += n
			continue
		}
		c.blocked = true
		err := c.writer.Park(c.t.env.Background())
		c.blocked = false
		c.out.stream.Watch(false)
		if err != nil {
			return done, c.fault("write", err)
		}
	}
}

// Close implements rpc.Conn. What was written before is still sent, for Options.Linger at most.
func (c *Conn) Close() error {
	c.t.env.Now()
	if c.closed || !c.t.alive() {
		return nil
	}
	c.closed, c.closedAt = true, c.t.net.sched.Now()
	c.t.forget(c)
	c.t.net.note(Event{Kind: Close, Conn: c.number, From: c.t.node, To: c.other.t.node})
	if c.broken == nil {
		c.out.finish()
	}
	c.wake()
	return nil
}

func (c *Conn) wake() {
	c.reader.Unpark()
	c.writer.Unpark()
}

// unblock lets a waiting Write look again.
func (c *Conn) unblock() {
	if c.blocked {
		c.writer.Unpark()
	}
}

func (c *Conn) fault(op string, err error) error {
	return fmt.Errorf("%s, connection of %s to %s: %w", op, c.t.node, c.peer.Short(), err)
}

// takes reports whether a packet that arrives finds this end. If the node is up and does not know the
// connection, the sender is told so.
func (c *Conn) takes() bool {
	now := c.t.net.at[c.t.node]
	switch {
	case !now.alive():
		if now.refuses {
			c.refuse()
		}
		return false
	case !c.t.alive() || c.broken != nil || c.t.closed && !c.closed:
		c.refuse()
		return false
	case c.closed && !c.other.closed:
		c.refuse()
		return false
	}
	return true
}

// refuse sends a reset to the other end.
func (c *Conn) refuse() {
	c.t.net.packet(c.t.node, c.other.t.node, bareBytes, c.other.reset)
}

// reset is the arrival of a reset.
func (c *Conn) reset() {
	if !c.t.alive() || c.broken != nil {
		return
	}
	c.broken = ErrReset
	c.out.stream.Halt()
	c.t.net.note(Event{Kind: Reset, Conn: c.number, From: c.t.node, To: c.other.t.node})
	c.wake()
}
