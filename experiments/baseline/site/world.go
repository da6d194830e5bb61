package site

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"granary/core/hlc"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/netsim"
	"granary/sim/net"
	"granary/sim/sched"
)

// World is a network with a node of a baseline at the first machine of every site.
type World struct {
	Sched *sched.Sched
	Net   *net.Net
	// Env is of those outside: clients, and who makes the faults.
	Env   *sched.Env
	Sites []*Site
	open  Open
}

// Site is where a node runs.
type Site struct {
	Name, Zone string
	Disk       Disk
	id         rpc.Identity
	addr       string
	env        *sched.Env // of the present or last incarnation
	store      Store      // nil while the node is down
}

// New starts a node in every site of the topology. Stop the world's Sched.
func New(o sched.Options, t netsim.Topology, open Open) (*World, error) {
	s := sched.New(o)
	model, err := netsim.NewModel(t)
	if err != nil {
		return nil, err
	}
	network, err := net.New(s, model, net.DefaultOptions())
	if err != nil {
		return nil, err
	}
	w := &World{Sched: s, Net: network, Env: s.NewEnv(rt.NodeID{}, "outside"), open: open}
	zones := map[string]bool{}
	for _, n := range t.Nodes {
		if !zones[n.Zone] {
			zones[n.Zone] = true
			x := &Site{Name: n.Name, Zone: n.Zone, addr: n.Addr()}
			binary.BigEndian.PutUint64(x.id.Seed[:], uint64(len(zones)))
			w.Sites = append(w.Sites, x)
		}
	}
	for i := range w.Sites {
		w.Boot(i)
	}
	return w, w.Sched.Run(0)
}

// Boot starts the node of a site that is down.
func (w *World) Boot(i int) {
	x := w.Sites[i]
	env := w.Sched.NewEnv(net.PeerOf(x.id), x.Name)
	x.env = env
	env.Go("boot", func() {
		store, err := w.start(x, env)
		if err != nil {
			w.Sched.Fail(fmt.Errorf("start of %s: %w", x.Name, err))
			return
		}
		x.store = store
	})
}

func (w *World) start(x *Site, env *sched.Env) (Store, error) {
	transport, err := w.Net.NewTransport(env, x.Name, x.id)
	if err != nil {
		return nil, err
	}
	n := &Node{Name: x.Name, Env: env, Disk: &x.Disk, group: rt.NewGroup(env, env.Background())}
	n.Engine = quorum.New(env, n.group)
	routes := map[rt.NodeID]rpc.Route{}
	for _, y := range w.Sites {
		id := net.PeerOf(y.id)
		n.Members = append(n.Members, id)
		routes[id] = rpc.Route{Addr: y.addr}
	}
	transport.Admit(func(peer rt.NodeID) bool { _, ok := routes[peer]; return ok })
	cfg := rpc.DefaultConfig()
	cfg.Clock = hlc.New(env, 0, func(context.Context, hlc.Stamp) error { return nil })
	n.Endpoint = rpc.New(env, transport, cfg)
	n.Endpoint.SetHooks(rpc.Hooks{Route: func(peer rt.NodeID) (rpc.Route, bool) {
		route, ok := routes[peer]
		return route, ok
	}})
	store, err := w.open(n)
	if err != nil {
		return nil, err
	}
	rpc.Handle(n.Endpoint, methodGreet, func(context.Context, rt.NodeID, *nothing) (*nothing, error) {
		return &nothing{}, nil
	})
	n.Endpoint.Start()
	for _, id := range n.Members {
		n.Go("greet", func(ctx context.Context) error { return n.greet(ctx, id) })
	}
	return store, nil
}

type nothing struct{}

var methodGreet = rpc.NewMethod[nothing, nothing]("site.greet", rpc.Meta)

// greet calls a member every second, so that the two are connected when they have something to say, as the
// members of a cluster are.
func (n *Node) greet(ctx context.Context, to rt.NodeID) error {
	for {
		// Who cannot be reached is greeted again.
		_, _ = methodGreet.Call(ctx, n.Endpoint, to, &nothing{})
		if err := n.Env.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

// Crash ends the node of a site at once.
func (w *World) Crash(i int) {
	w.Sites[i].store = nil
	w.Sites[i].env.Kill()
}

// Down reports whether a site has no node that serves.
func (w *World) Down(i int) bool { return w.Sites[i].store == nil }

// ErrDown is returned by On for a site without a node.
var ErrDown = errors.New("the site's node is down")

// On runs f at the node of a site, as a client does that waits for limit and no longer. Errors: ErrDown;
// context.DeadlineExceeded, also when the node crashes meanwhile; those of f.
func (w *World) On(i int, limit time.Duration, f func(ctx context.Context, s Store) error) error {
	x := w.Sites[i]
	if x.store == nil {
		return ErrDown
	}
	store, env := x.store, x.env
	answer := rt.NewFuture[struct{}](w.Env)
	env.Go("request", func() {
		ctx, cancel := env.WithTimeout(env.Background(), limit)
		defer cancel()
		answer.Set(struct{}{}, f(ctx, store))
	})
	ctx, cancel := w.Env.WithTimeout(w.Env.Background(), limit)
	defer cancel()
	_, err := answer.Get(ctx)
	return err
}

// Do runs f as a task outside, and the world until it has ended, for at most limit of virtual time.
func (w *World) Do(limit time.Duration, f func(ctx context.Context) error) error {
	done := false
	var result error
	w.Env.Go("do", func() {
		result = f(w.Env.Background())
		done = true
	})
	return errors.Join(w.Sched.RunUntil(limit, func() bool { return done }), result)
}
