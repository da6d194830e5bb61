// Package rpctest is the suite that every rpc.Transport passes, by itself and under an rpc.Endpoint.
//
// It waits for events, never for time: a deadline it sets is one that must pass. So it means the same in
// virtual and in real time.
package rpctest

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"sync/atomic"
	"testing"

	"granary/core/hlc"
	"granary/core/rpc"
	"granary/core/rt"
)

// Node is one of the two nodes of a test.
type Node struct {
	Env       rt.Env
	Transport rpc.Transport
}

// World is where one test runs.
type World struct {
	Nodes [2]Node
	// Run runs f as a task of Nodes[0] and returns when f has.
	Run func(f func())
	// Cut makes the network between the nodes lose everything, silently, or heals it. nil where that cannot
	// be done.
	Cut func(on bool)
}

// Run runs the suite, with a new world for each test.
func Run(t *testing.T, make func(t *testing.T) World) {
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := make(t)
			if tt.cuts && w.Cut == nil {
				return // the simulator covers it
			}
			w.Run(func() { tt.f(&env{T: t, w: w}) })
		})
	}
}

// Storm runs the test "storm" alone, for a sweep over seeds.
func Storm(t *testing.T, w World) {
	w.Run(func() { storm(&env{T: t, w: w}) })
}

var tests = []struct {
	name string
	f    func(*env)
	cuts bool
}{
	{"transport: streams are whole and in order", streams, false},
	{"transport: identities are proved and refused", identities, false},
	{"transport: nobody answers", unreachable, false},
	{"transport: close ends what waits", transportClose, false},
	{"call: question and answer", callEcho, false},
	{"call: many at once, of all sizes", callMany, false},
	{"call: errors keep their meaning", callErrors, false},
	{"call: to the node itself", callSelf, false},
	{"call: clocks and layouts meet", callEnvelope, false},
	{"call: too much is refused", callOverload, false},
	{"call: the deadline arrives", callDeadline, false},
	{"call: giving up arrives", callCancel, false},
	{"body: large, both ways", bodyLarge, false},
	{"body: a slow reader holds up nobody and fills no memory", bodySlow, false},
	{"body: an answer ends the question", bodyAnsweredEarly, false},
	{"body: a broken one does not look whole", bodyBroken, false},
	{"body: closing early arrives", bodyClosed, false},
	{"failure: a lost connection is replaced", failReconnect, false},
	{"failure: a used-up connection is replaced", failRotate, false},
	{"failure: a peer that breaks the rules is cut", hostile, false},
	{"failure: a dead peer fails calls", failDead, false},
	{"failure: silence is noticed", failSilence, true},
	{"storm: nothing is left over", storm, false},
}

// env is a test at work.
type env struct {
	*testing.T
	w World
}

func (e *env) rt() rt.Env           { return e.w.Nodes[0].Env }
func (e *env) ctx() context.Context { return e.rt().Background() }

// together runs fs at once and waits for all.
func (e *env) together(fs ...func()) {
	g := rt.NewGroup(e.rt(), e.ctx())
	for i, f := range fs {
		g.Go(fmt.Sprintf("test %d", i), func(context.Context) error {
			f()
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		e.Errorf("a task of the test: %v", err)
	}
}

// pair is two endpoints that know each other.
type pair struct {
	a, b     *rpc.Endpoint
	ida, idb rt.NodeID
	clocks   [2]*clock
	seen     [2]atomic.Uint64 // the last foreign layout that each was told of
	permit   atomic.Bool
	done     atomic.Int64 // calls of the storm that succeeded
}

// clock is a counter.
type clock struct{ last atomic.Uint64 }

func (c *clock) Last() hlc.Stamp { return hlc.Stamp(c.last.Load()) }

func (c *clock) Merge(s hlc.Stamp) {
	for {
		old := c.last.Load()
		if uint64(s) <= old || c.last.CompareAndSwap(old, uint64(s)) {
			return
		}
	}
}

// pair makes the endpoints; setup gives them their handlers before they start.
func (e *env) pair(setup func(p *pair), tune func(*rpc.Config)) *pair {
	p := &pair{}
	p.permit.Store(true)
	var eps [2]*rpc.Endpoint
	for i, n := range e.w.Nodes {
		other := e.w.Nodes[1-i].Transport
		p.clocks[i] = &clock{}
		p.clocks[i].last.Store(uint64(1000 * (i + 1)))
		cfg := rpc.DefaultConfig()
		cfg.Clock, cfg.Feature = p.clocks[i], uint32(10+i)
		if tune != nil {
			tune(&cfg)
		}
		n.Transport.Admit(func(id rt.NodeID) bool { return id == other.Self() })
		eps[i] = rpc.New(n.Env, n.Transport, cfg)
		eps[i].SetHooks(rpc.Hooks{
			Route: func(id rt.NodeID) (rpc.Route, bool) {
				return rpc.Route{Addr: other.Addr()}, id == other.Self()
			},
			Permit:   func(rt.NodeID, string) bool { return p.permit.Load() },
			Layout:   func() uint64 { return uint64(7 + i) },
			OnLayout: func(_ rt.NodeID, v uint64) { p.seen[i].Store(v) },
		})
	}
	p.a, p.b = eps[0], eps[1]
	p.ida, p.idb = p.a.Self(), p.b.Self()
	if setup != nil {
		setup(p)
	}
	p.a.Start()
	p.b.Start()
	return p
}

// close closes both ends and checks that nothing is left in hand.
func (e *env) close(p *pair) {
	p.a.Close()
	p.b.Close()
	for _, ep := range []*rpc.Endpoint{p.a, p.b} {
		if s := ep.Stats(); s != (rpc.Stats{}) {
			e.Errorf("left over after Close: %+v", s)
		}
	}
}

// guest is an identity that is no node's.
func guest() (rpc.Identity, rt.NodeID) {
	id := rpc.Identity{Seed: [32]byte{1, 2, 3}}
	return id, rt.NodeID(ed25519.NewKeyFromSeed(id.Seed[:]).Public().(ed25519.PublicKey))
}

// pattern is n bytes that differ from place to place and from seed to seed.
func pattern(seed, n int) []byte {
	p := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return p
}
