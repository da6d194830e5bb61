package net

import (
	"context"
	"fmt"
	"time"

	"granary/core/rpc"
	"granary/core/rt"
	"granary/sim/sched"
)

// dial is an attempt to open a connection: some rounds of question and answer, each repeated until answered.
// Round 0 is TCP's. In the last one both sides judge each other's keys; so the one who is dialled does that
// half a round trip earlier than TLS 1.3 would, which is when Dial can learn of it without waiting.
type dial struct {
	t      *Transport
	target rpc.Target
	key    rt.NodeID // proved by the one who dials
	host   string

	waiter    rt.Waiter
	over      bool
	conn      *Conn
	err       error
	round     int
	tries     int
	asked     time.Duration // when this round's latest question was sent
	roundTrip time.Duration // of round 0, if it was not repeated
	peer      *Transport    // who answered in round 0
	timer     *sched.Timer
}

// Dial implements rpc.Transport. It keeps trying until ctx ends, or Options.Tries packets have got no answer.
func (t *Transport) Dial(ctx context.Context, target rpc.Target) (rpc.Conn, error) {
	t.env.Now()
	d := &dial{t: t, target: target, key: t.self, waiter: t.env.NewWaiter()}
	if t.closed {
		return nil, d.fault(rpc.ErrClosed, "this end is closed")
	}
	host, ok := t.net.host(target.Addr)
	if !ok {
		return nil, d.fault(rpc.ErrUnreachable, "no node has this address")
	}
	d.host = host
	if target.As != nil {
		d.key = PeerOf(*target.As)
	}
	d.ask()
	err := d.waiter.Park(ctx)
	d.over = true
	d.timer.Stop()
	switch {
	case d.conn != nil:
		return d.conn, nil
	case d.err != nil:
		return nil, d.err
	}
	return nil, err
}

func (d *dial) fault(kind error, why string) error {
	return fmt.Errorf("dial %s at %s: %w: %s", d.target.Peer.Short(), d.target.Addr, kind, why)
}

// dead reports whether nobody waits for the outcome any more.
func (d *dial) dead() bool { return d.over || d.conn != nil || d.err != nil || !d.t.alive() }

// ask sends the question of this round, again if need be.
func (d *dial) ask() {
	n := d.t.net
	if d.dead() {
		return
	}
	if d.tries == n.opts.Tries {
		d.end(nil, d.fault(rpc.ErrUnreachable, fmt.Sprintf("no answer to %d packets", d.tries)))
		return
	}
	d.asked = n.sched.Now()
	d.timer = n.sched.After(n.opts.Patience<<d.tries, d.ask)
	d.tries++
	size, round := bareBytes, d.round
	if round > 0 {
		size = helloBytes
	}
	n.packet(d.t.node, d.host, size, func() { d.hear(round) })
}

// hear is the arrival of a question at the other side.
func (d *dial) hear(round int) {
	n := d.t.net
	p := n.at[d.host]
	if p == nil || !p.alive() && !p.refuses || round > 0 && p.env.Paused() {
		return
	}
	var refusal error
	switch {
	case p.refuses, p.closed || p != d.peer && round > 0:
		refusal = d.fault(rpc.ErrUnreachable, "connection refused")
	case round < n.opts.TLSRounds:
	case p.self != d.target.Peer:
		refusal = d.fault(rpc.ErrIdentity, "the node there is "+p.self.Short())
	case p.admit == nil || !p.admit(d.key):
		refusal = d.fault(rpc.ErrIdentity, "it does not admit "+d.key.Short())
	}
	size := bareBytes
	if round > 0 {
		size = answerBytes
	}
	n.packet(d.host, d.t.node, size, func() { d.answer(round, p, refusal) })
}

// answer is the arrival of an answer at the one who dials; the first of a round counts.
func (d *dial) answer(round int, p *Transport, refusal error) {
	if d.dead() || round != d.round {
		return
	}
	d.timer.Stop()
	if refusal != nil {
		d.end(nil, refusal)
		return
	}
	if round == 0 {
		d.peer = p
		if d.tries == 1 {
			d.roundTrip = d.t.net.sched.Now() - d.asked
		}
	}
	d.round, d.tries = round+1, 0
	switch {
	case d.round <= d.t.net.opts.TLSRounds:
		d.ask()
	case d.t.closed:
		d.end(nil, d.fault(rpc.ErrClosed, "this end was closed meanwhile"))
	default:
		d.end(d.t.net.connect(d), nil)
	}
}

func (d *dial) end(c *Conn, err error) {
	d.conn, d.err = c, err
	d.waiter.Unpark()
}
