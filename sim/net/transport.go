package net

import (
	"context"
	"fmt"
	"slices"

	"granary/core/rpc"
	"granary/core/rt"
	"granary/sim/sched"
)

// Transport is one incarnation of a node on the network. It implements rpc.Transport.
type Transport struct {
	net     *Net
	env     *sched.Env
	node    string
	addr    string
	self    rt.NodeID
	admit   func(rt.NodeID) bool
	conns   []*Conn // open, in order of opening
	pending []*Conn // opened by others, not yet accepted
	waiting []rt.Waiter
	closed  bool
	refuses bool // the node is dead, its machine is not
}

var _ rpc.Transport = (*Transport)(nil)

// NewTransport puts a node, which must be in the topology, on the network under its address. A restarted node
// calls it again with its new Env. It fails when the node is not in the topology, or lives and has a
// transport already.
func (n *Net) NewTransport(env *sched.Env, node string, id rpc.Identity) (*Transport, error) {
	addr := ""
	for _, t := range n.model.Topology().Nodes {
		if t.Name == node {
			addr = t.Addr()
		}
	}
	if addr == "" {
		return nil, fmt.Errorf("transport of %q: no such node in topology %q", node, n.model.Topology().Name)
	}
	if old := n.at[node]; old != nil && old.alive() && !old.closed {
		return nil, fmt.Errorf("transport of %q: the node lives and has one", node)
	}
	t := &Transport{net: n, env: env, node: node, addr: addr, self: PeerOf(id)}
	n.at[node] = t
	return t, nil
}

// Killed says that a node was killed on a machine that lives on: its connections are reset at once, and new
// ones refused. Without it a dead node's machine is dead too, and silent.
func (n *Net) Killed(node string) {
	t := n.at[node]
	if t == nil || t.alive() {
		return
	}
	t.refuses = true
	for _, c := range t.conns {
		if !c.closed && c.broken == nil {
			c.out.stream.Halt()
			c.refuse()
		}
	}
}

// Dark says that the machine of a dead node is dead too: it answers nothing.
func (n *Net) Dark(node string) {
	if t := n.at[node]; t != nil {
		t.refuses = false
	}
}

func (t *Transport) alive() bool { return !t.env.Dead() }

// Self implements rpc.Transport.
func (t *Transport) Self() rt.NodeID { return t.self }

// Addr implements rpc.Transport.
func (t *Transport) Addr() string { return t.addr }

// Admit implements rpc.Transport.
func (t *Transport) Admit(f func(peer rt.NodeID) bool) { t.admit = f }

// Accept implements rpc.Transport.
func (t *Transport) Accept(ctx context.Context) (rpc.Conn, error) {
	t.env.Now()
	for len(t.pending) == 0 {
		if t.closed {
			return nil, fmt.Errorf("accept at %s: %w", t.addr, rpc.ErrClosed)
		}
		w := t.env.NewWaiter()
		t.waiting = append(t.waiting, w)
		err := w.Park(ctx)
		t.waiting = slices.DeleteFunc(t.waiting, func(o rt.Waiter) bool { return o == w })
		if err != nil {
			t.wakeAccept() // in case it was this one that was told of a connection
			return nil, err
		}
	}
	c := t.pending[0]
	t.pending = t.pending[1:]
	t.wakeAccept()
	return c, nil
}

func (t *Transport) wakeAccept() {
	if len(t.waiting) > 0 && (len(t.pending) > 0 || t.closed) {
		t.waiting[0].Unpark()
	}
}

// opened takes a connection that another node opened. It reports false when there are too many.
func (t *Transport) opened(c *Conn) bool {
	if len(t.pending) >= t.net.opts.Backlog {
		return false
	}
	t.conns = append(t.conns, c)
	t.pending = append(t.pending, c)
	t.wakeAccept()
	return true
}

func (t *Transport) forget(c *Conn) {
	is := func(o *Conn) bool { return o == c }
	t.conns, t.pending = slices.DeleteFunc(t.conns, is), slices.DeleteFunc(t.pending, is)
}

// Close implements rpc.Transport.
func (t *Transport) Close() error {
	t.env.Now()
	if t.closed || !t.alive() {
		return nil
	}
	t.closed = true
	for len(t.conns) > 0 {
		t.conns[0].Close()
	}
	for _, w := range t.waiting {
		w.Unpark()
	}
	return nil
}
