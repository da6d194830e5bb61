package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"

	"granary/core/hlc"
	"granary/core/kv/memkv"
	"granary/core/layout"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/netsim"
	simnet "granary/sim/net"
	"granary/sim/sched"
)

// town is a few machines, each of which runs a Cluster and an endpoint and nothing else.
type town struct {
	t        *testing.T
	s        *sched.Sched
	net      *simnet.Net
	machines []*machine
	// decided are the registers, as if their voters were always there.
	decided map[string][]byte
	// stay keeps machines from doing their part in a change of the layout.
	stay bool
}

// Decide implements Agreement.
func (w *town) Decide(_ context.Context, key string, value []byte) ([]byte, error) {
	if w.decided[key] == nil {
		w.decided[key] = value
	}
	return w.decided[key], nil
}

// follow does a machine's part in changes of the layout at once, as if it had nothing to move.
func (w *town) follow(ctx context.Context, m *machine, wake rt.Waiter) error {
	for {
		g, far := m.c.Goal()
		var err error
		switch {
		case !far || w.stay:
			err = wake.Park(ctx)
		case g.Carry:
			err = m.c.MarkCarried(ctx, g.Newest)
		default:
			err = m.c.MarkSynced(ctx, g.Version)
		}
		if err != nil {
			return err
		}
	}
}

type machine struct {
	name  string
	zone  string
	id    rpc.Identity
	image *memkv.Image
	label string // in Member.Name
	store []byte // id
	env   *sched.Env
	ep    *rpc.Endpoint
	c     *Cluster
}

// newTown starts n machines, each in a zone of its own, 20 ms apart, that belong to no cluster.
func newTown(t *testing.T, seed uint64, n int, mutants ...string) *town {
	t.Helper()
	topology := netsim.Regular("town", n, 1, netsim.Path{Delay: 10 * time.Millisecond}, netsim.Path{})
	model, err := netsim.NewModel(topology)
	if err != nil {
		t.Fatal(err)
	}
	w := &town{t: t, decided: map[string][]byte{},
		s: sched.New(sched.Options{Seed: seed, Shuffle: seed%2 == 1,
			YieldPerMille: int(seed%3) * 50, Mutants: mutants})}
	t.Cleanup(w.s.Stop)
	if w.net, err = simnet.New(w.s, model, simnet.DefaultOptions()); err != nil {
		t.Fatal(err)
	}
	for i, node := range topology.Nodes {
		m := &machine{name: node.Name, zone: node.Zone, image: memkv.NewImage(), label: "host-" + node.Name,
			store: []byte("store of " + node.Name)}
		m.id.Seed[0] = byte(i + 1)
		w.machines = append(w.machines, m)
		w.boot(m)
	}
	return w
}

func (w *town) boot(m *machine) {
	w.t.Helper()
	m.env = w.s.NewEnv(simnet.PeerOf(m.id), m.name)
	tr, err := w.net.NewTransport(m.env, m.name, m.id)
	if err != nil {
		w.t.Fatal(err)
	}
	env, booted := m.env, false
	env.Go("boot", func() {
		clock := hlc.New(env, 0, func(context.Context, hlc.Stamp) error { return nil })
		c, err := Open(Config{Env: env, Store: memkv.Open(env, m.image, memkv.Options{}), Clock: clock,
			Group: rt.NewGroup(env, env.Background()), Identity: m.id, StoreID: m.store,
			Self: Member{Addr: tr.Addr(), Name: m.label}})
		if err != nil {
			w.s.Fail(err)
			return
		}
		cfg := rpc.DefaultConfig()
		cfg.Clock = heard{clock}
		m.c, m.ep = c, rpc.New(env, tr, cfg)
		m.ep.SetHooks(c.Hooks())
		tr.Admit(c.Admits)
		wake := env.NewWaiter()
		c.OnChange(wake)
		c.Start(m.ep, w)
		m.ep.Start()
		env.Go("follow", func() { _ = w.follow(env.Background(), m, wake) })
		booted = true
	})
	if err := w.s.RunUntil(time.Second, func() bool { return booted }); err != nil {
		w.t.Fatal(err)
	}
}

type heard struct{ *hlc.Clock }

func (h heard) Merge(s hlc.Stamp) { h.Hear(s) }

// on runs f as a task of m and waits for it.
func (w *town) on(m *machine, f func(ctx context.Context, c *Cluster) error) error {
	w.t.Helper()
	return w.all([]*machine{m}, f)[0]
}

// all runs f on several machines at once, and waits for all of them.
func (w *town) all(ms []*machine, f func(ctx context.Context, c *Cluster) error) []error {
	w.t.Helper()
	errs, left := make([]error, len(ms)), len(ms)
	for i, m := range ms {
		m.env.Go("test", func() { errs[i] = f(m.env.Background(), m.c); left-- })
	}
	if err := w.s.RunUntil(10*time.Minute, func() bool { return left == 0 }); err != nil {
		w.t.Fatal(err)
	}
	return errs
}

// must is on for what has to work.
func (w *town) must(m *machine, f func(ctx context.Context, c *Cluster) error) {
	w.t.Helper()
	if err := w.on(m, f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *town) run(d time.Duration) {
	w.t.Helper()
	if err := w.s.Run(d); err != nil {
		w.t.Fatal(err)
	}
}

// within runs until cond holds.
func (w *town) within(limit time.Duration, cond func() bool) {
	w.t.Helper()
	if err := w.s.RunUntil(limit, cond); err != nil {
		w.t.Fatal(err)
	}
}

func (m *machine) role() layout.Role {
	return layout.Role{Zone: layout.ZoneName(m.zone), Capacity: 1 << 40}
}

func (m *machine) gateway() layout.Role { return layout.Role{Zone: layout.ZoneName(m.zone)} }

func (w *town) found(replicas, zones int) {
	w.t.Helper()
	params := layout.DefaultParams()
	params.Replicas, params.MinZones = replicas, zones
	m := w.machines[0]
	w.must(m, func(ctx context.Context, c *Cluster) error { return c.Found(ctx, params, m.role()) })
}

func (w *town) token(m *machine) (token Token) {
	w.t.Helper()
	w.must(m, func(ctx context.Context, c *Cluster) (err error) {
		token, err = c.NewToken(ctx)
		return err
	})
	return token
}

// join adds machine m with a fresh token of machine 0.
func (w *town) join(m *machine, role layout.Role) {
	w.t.Helper()
	token := w.token(w.machines[0])
	w.must(m, func(ctx context.Context, c *Cluster) error { return c.JoinWith(ctx, token, role) })
}

// form makes a cluster of n machines with n replicas, and waits for the layout.
func (w *town) form(n int) {
	w.t.Helper()
	w.found(n, 0)
	for _, m := range w.machines[1:n] {
		w.join(m, m.role())
	}
	w.within(time.Minute, func() bool { return w.agree(n) && w.machines[0].c.LayoutNumber() > 0 })
}

// agree reports whether the first n machines have the same document, and its layout is the only live one.
func (w *town) agree(n int) bool {
	if doc := w.machines[0].c.doc; doc.Settled < doc.number() && !w.stay {
		return false
	}
	for _, m := range w.machines[:n] {
		if m.c.cache.digest != w.machines[0].c.cache.digest {
			return false
		}
	}
	return true
}

func (m *machine) String() string { return fmt.Sprintf("machine %s", m.name) }
