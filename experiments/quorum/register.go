package main

import (
	"context"
	"fmt"

	"granary/core/cluster"
	"granary/core/hlc"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/sim/check"
	"granary/sim/net"
	"granary/sim/sched"
)

// entry is the content of the register: the one with the highest stamp is the newest.
type entry struct {
	Stamp hlc.Stamp     `cbor:"1,keyasint,omitempty"`
	Value check.ValueID `cbor:"2,keyasint,omitempty"`
}

// vote is a replica's answer to a write.
type vote struct {
	Vote quorum.Vote `cbor:"1,keyasint"`
	Head hlc.Stamp   `cbor:"2,keyasint,omitempty"`
}

type nothing struct{}

var (
	methodWrite = rpc.NewMethod[entry, vote]("register.write", rpc.Meta)
	methodRead  = rpc.NewMethod[nothing, entry]("register.read", rpc.Meta)
)

// node is one site: a replica of the register, and a coordinator of writes and reads.
type node struct {
	env    *sched.Env
	ep     *rpc.Endpoint
	engine *quorum.Engine
	clock  *hlc.Clock
	view   cluster.View
	held   entry
}

// newNode starts a site's node; routes are the addresses of all.
func newNode(s *sched.Sched, n *net.Net, name string, id rpc.Identity, routes map[rt.NodeID]string,
) (*node, error) {
	env := s.NewEnv(net.PeerOf(id), name)
	transport, err := n.NewTransport(env, name, id)
	if err != nil {
		return nil, err
	}
	transport.Admit(func(rt.NodeID) bool { return true })
	x := &node{env: env}
	x.clock = hlc.New(env, 0, func(context.Context, hlc.Stamp) error { return nil })
	cfg := rpc.DefaultConfig()
	cfg.Clock = x.clock
	cfg.PingEvery, cfg.SilenceMax = quiet, 2*quiet
	x.ep = rpc.New(env, transport, cfg)
	x.engine = quorum.New(env, rt.NewGroup(env, env.Background()))
	x.ep.SetHooks(rpc.Hooks{Route: func(peer rt.NodeID) (rpc.Route, bool) {
		addr, ok := routes[peer]
		return rpc.Route{Addr: addr}, ok
	}})
	rpc.Handle(x.ep, methodWrite, func(_ context.Context, _ rt.NodeID, e *entry) (*vote, error) {
		return x.store(*e), nil
	})
	rpc.Handle(x.ep, methodRead, func(context.Context, rt.NodeID, *nothing) (*entry, error) {
		held := x.held
		return &held, nil
	})
	env.Go("start", x.ep.Start)
	return x, nil
}

// store is the replica's side of a write: it keeps the newer entry and says whether that is the new one.
func (x *node) store(e entry) *vote {
	if e.Stamp <= x.held.Stamp {
		return &vote{Vote: quorum.Behind, Head: x.held.Stamp}
	}
	x.held = e
	return &vote{Vote: quorum.Clean}
}

// write stores v and returns at the acknowledgement. The other replicas get it in the background.
func (x *node) write(ctx context.Context, v check.ValueID) error {
	stamp, err := x.clock.Now(ctx)
	if err != nil {
		return err
	}
	e := entry{Stamp: stamp, Value: v}
	round := quorum.Start(x.env.Background(), x.engine, x.view.Targets(), 0,
		func(ctx context.Context, to rt.NodeID) (*vote, error) { return methodWrite.Call(ctx, x.ep, to, &e) })
	tally := quorum.NewTally(x.view, true)
	for {
		reply, err := round.Next(ctx, 0)
		if err != nil {
			return err
		}
		answer := quorum.Answer{Vote: quorum.Failed, Err: reply.Err}
		if reply.Err == nil {
			answer = quorum.Answer{Vote: reply.Value.Vote, Head: reply.Value.Head}
		}
		tally.Add(reply.Node, answer)
		switch verdict := tally.Verdict(false); verdict {
		case quorum.Acked:
			round.Detach(0)
			return nil
		case quorum.Restamp, quorum.Exhausted:
			return fmt.Errorf("write of %v: verdict %d on a network without faults", v, verdict)
		}
	}
}

// read asks all replicas and returns the newest of the first R answers.
func (x *node) read(ctx context.Context) (check.ValueID, error) {
	set := x.view.ReadSet()
	round := quorum.Start(ctx, x.engine, set.Nodes, 0,
		func(ctx context.Context, to rt.NodeID) (*entry, error) {
			return methodRead.Call(ctx, x.ep, to, &nothing{})
		})
	defer round.Close()
	var newest entry
	for range set.Read {
		reply, err := round.Next(ctx, 0)
		if err == nil {
			err = reply.Err
		}
		if err != nil {
			return 0, err
		}
		if reply.Value.Stamp > newest.Stamp {
			newest = *reply.Value
		}
	}
	return newest.Value, nil
}

// viewOf returns the view of one live set of all nodes.
func viewOf(nodes []rt.NodeID, q size) cluster.View {
	set := layout.Set{Version: 1, Nodes: nodes, Write: q.write, Read: q.read}
	return cluster.View{Layout: 1, Live: []layout.Set{set}}
}
