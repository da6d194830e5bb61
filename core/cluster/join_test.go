package cluster

import (
	"context"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"granary/core/rpc"
	"granary/core/rt"
	simnet "granary/sim/net"
)

// TestFirstLayout: a cluster says what it waits for, and lays itself out once it is complete and not before.
func TestFirstLayout(t *testing.T) {
	for seed := range uint64(4) {
		w := newTown(t, seed, 3)
		says := func(m *machine, want string) {
			t.Helper()
			if got := m.c.Missing(); got != want {
				t.Errorf("%v misses %q, want %q", m, got, want)
			}
		}
		says(w.machines[1], "this node belongs to no cluster yet: run granary init or granary join")
		w.found(3, 0)
		w.run(10 * time.Second)
		says(w.machines[0], "2 more nodes needed: 1 of 3 storage nodes have joined")
		w.join(w.machines[1], w.machines[1].role())
		w.run(10 * time.Second)
		says(w.machines[0], "1 more node needed: 2 of 3 storage nodes have joined")
		says(w.machines[1], "1 more node needed: 2 of 3 storage nodes have joined")
		if _, err := w.machines[1].c.View(0); !errors.Is(err, ErrNoLayout) ||
			!strings.Contains(err.Error(), "1 more node") {
			t.Errorf("a view before the layout: %v", err)
		}
		err := w.on(w.machines[1], func(ctx context.Context, c *Cluster) error {
			_,
				err := c.Apply(ctx)
			return err
		})
		if !errors.Is(err, ErrNotReady) || !strings.Contains(err.Error(), "1 more node needed") {
			t.Errorf("apply of an incomplete cluster: %v", err)
		}
		w.join(w.machines[2], w.machines[2].role())
		w.within(500*time.Millisecond, func() bool {
			return w.agree(3) &&
				w.machines[2].c.LayoutNumber() == 1
		})
		for _, m := range w.machines {
			says(m, "")
			view, err := m.c.View(12345)
			if err != nil || len(view.Live) != 1 || len(view.ReadSet().Nodes) != 3 ||
				view.Live[0].Write != 2 {
				t.Errorf("%v: view %v, %v", m, view, err)
			}
			full, err := m.c.FullView()
			if err != nil || len(full.Live[0].Nodes) != 3 || len(full.Learners) != 0 {
				t.Errorf("%v: full view %v, %v", m, full, err)
			}
		}
	}
}

func TestMissingZones(t *testing.T) {
	w := newTown(t, 1, 3)
	w.found(2, 2)
	role := w.machines[1].role()
	role.Zone = w.machines[0].role().Zone
	w.join(w.machines[1], role)
	w.run(5 * time.Second)
	want := "1 more zone needed: the storage nodes are in 1 of 2 zones"
	if got := w.machines[0].c.Missing(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	w.join(w.machines[2], w.machines[2].gateway())
	w.run(5 * time.Second)
	if w.machines[0].c.LayoutNumber() != 0 {
		t.Error("a gateway's zone counted")
	}
	w.must(w.machines[2], func(ctx context.Context, c *Cluster) error {
		role := w.machines[2].role()
		role.Node = c.env.Self()
		return c.Stage(ctx, role)
	})
	w.within(10*time.Second, func() bool { return w.machines[0].c.LayoutNumber() == 1 })
}

func joinWith(token Token, m *machine) func(context.Context, *Cluster) error {
	return func(ctx context.Context, c *Cluster) error { return c.JoinWith(ctx, token, m.role()) }
}

func TestTokensThatAreRefused(t *testing.T) {
	w := newTown(t, 2, 4)
	w.found(4, 0)
	first, second := w.machines[0], w.machines[1]
	used := w.token(first)
	w.must(second, joinWith(used, second))
	expired := w.token(first)
	first.env.SetWallOffset(TokenTTL)
	wrongNode, wrongSecret := w.token(first), w.token(first)
	wrongNode.Node = simnet.PeerOf(w.machines[3].id)
	wrongSecret.Secret = make([]byte, ed25519.SeedSize)
	third := w.machines[2]
	for name, token := range map[string]Token{"used": used, "expired": expired, "wrong node": wrongNode,
		"wrong secret": wrongSecret} {
		err := w.on(third, joinWith(token, third))
		if !errors.Is(err, rpc.ErrIdentity) || !strings.Contains(err.Error(), "ask a member for a new one") {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(err.Error(), token.String()) {
			t.Errorf("%s: the error tells the token: %v", name, err)
		}
		w.run(time.Second)
	}
	if err := w.on(third, joinWith(Token{Addr: "x"}, third)); !errors.Is(err, ErrBadToken) {
		t.Errorf("half a token: %v", err)
	}
	if err := w.on(second, joinWith(w.token(first), second)); !errors.Is(err, ErrInCluster) {
		t.Errorf("a second join: %v", err)
	}
	if err := w.on(third, func(ctx context.Context, c *Cluster) error {
		_,
			err := c.NewToken(ctx)
		return err
	}); !errors.Is(err, ErrNoCluster) {
		t.Errorf("a token of an outsider: %v", err)
	}
	if n := len(first.c.doc.members()); n != 2 {
		t.Errorf("%d members", n)
	}
}

// TestTokensSurviveARestart: an unused one does, a used or expired one does not.
func TestTokensSurviveARestart(t *testing.T) {
	w := newTown(t, 3, 3)
	w.found(3, 0)
	first := w.machines[0]
	used, unused := w.token(first), w.token(first)
	w.must(w.machines[1], joinWith(used, w.machines[1]))
	first.env.Kill()
	w.boot(first)
	if err := w.on(w.machines[2], joinWith(used, w.machines[2])); !errors.Is(err, rpc.ErrIdentity) {
		t.Errorf("the used token: %v", err)
	}
	w.run(time.Second)
	w.must(w.machines[2], joinWith(unused, w.machines[2]))
	w.token(first)
	first.env.Kill()
	w.boot(first)
	first.env.SetWallOffset(TokenTTL)
	w.run(5 * time.Second)
	first.env.Kill()
	w.boot(first)
	if len(first.c.tokens) != 0 {
		t.Errorf("%d tokens are left in the store", len(first.c.tokens))
	}
}

func TestTokensAreFew(t *testing.T) {
	w := newTown(t, 4, 1)
	w.found(1, 0)
	first := w.machines[0]
	many := make([]*machine, tokensMax+10)
	for i := range many {
		many[i] = first
	}
	refused := 0
	for _, err := range w.all(many, func(ctx context.Context, c *Cluster) error {
		_,
			err := c.NewToken(ctx)
		return err
	}) {
		if errors.Is(err, ErrManyTokens) {
			refused++
		} else if err != nil {
			t.Error(err)
		}
	}
	if refused != 10 || len(first.c.tokens) != tokensMax {
		t.Errorf("%d refused, %d outstanding", refused, len(first.c.tokens))
	}
	first.env.SetWallOffset(TokenTTL)
	w.token(first)
}

// TestBadRequestKeepsTheToken: what is wrong with the request does not use the token up.
func TestBadRequestKeepsTheToken(t *testing.T) {
	w := newTown(t, 5, 2)
	w.found(2, 0)
	token, second := w.token(w.machines[0]), w.machines[1]
	role := second.role()
	role.Zone = ""
	if err := w.on(second, func(ctx context.Context,
		c *Cluster) error {
		return c.JoinWith(ctx, token, role)
	}); !errors.Is(err, ErrUnsuitable) {
		t.Errorf("without a zone: %v", err)
	}
	w.must(second, joinWith(token, second))
}

// TestConcurrentJoins: several nodes join at once; of two with one token, one does.
func TestConcurrentJoins(t *testing.T) {
	for seed := range uint64(8) {
		w := newTown(t, seed, 5)
		w.found(3, 0)
		shared, own := w.token(w.machines[0]), w.token(w.machines[0])
		errs := w.all(w.machines[1:4], func(ctx context.Context, c *Cluster) error {
			if c.env.Self() == simnet.PeerOf(w.machines[3].id) {
				return c.JoinWith(ctx, own, w.machines[3].role())
			}
			return c.JoinWith(ctx, shared, w.machines[1].role())
		})
		if errs[2] != nil || (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("seed %d: %v", seed, errs)
		}
		loser := errs[0]
		if loser == nil {
			loser = errs[1]
		}
		if !errors.Is(loser, ErrTokenRefused) && !errors.Is(loser, rpc.ErrIdentity) &&
			!errors.Is(loser, rpc.ErrRefused) {
			t.Errorf("seed %d: the loser is told %v", seed, loser)
		}
		w.within(time.Minute, func() bool { return w.machines[0].c.LayoutNumber() == 1 })
		if n := len(w.machines[0].c.doc.members()); n != 3 {
			t.Errorf("seed %d: %d members", seed, n)
		}
	}
}

// TestTwoJoinsOfOneNode: a node enters one cluster, whoever asks it at once.
func TestTwoJoinsOfOneNode(t *testing.T) {
	w := newTown(t, 6, 2)
	w.found(2, 0)
	tokens := []Token{w.token(w.machines[0]), w.token(w.machines[0])}
	second := w.machines[1]
	next := 0
	errs := w.all([]*machine{second, second}, func(ctx context.Context, c *Cluster) error {
		next++
		return c.JoinWith(ctx, tokens[next-1], second.role())
	})
	if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs...), ErrInCluster) {
		t.Errorf("got %v", errs)
	}
}

// visitor puts an endpoint with an identity of its own in the place of machine m, and calls f with it.
func (w *town) visitor(m *machine, as rpc.Identity,
	f func(ctx context.Context, ep *rpc.Endpoint, to rt.NodeID)) {
	w.t.Helper()
	m.env.Kill()
	env := w.s.NewEnv(simnet.PeerOf(as), "visitor")
	tr, err := w.net.NewTransport(env, m.name, as)
	if err != nil {
		w.t.Fatal(err)
	}
	host, done := w.machines[0], false
	addr := host.c.self.Addr
	env.Go("visit", func() {
		cfg := rpc.DefaultConfig()
		cfg.Clock = host.c.clock
		ep := rpc.New(env, tr, cfg)
		ep.SetHooks(rpc.Hooks{Route: func(rt.NodeID) (rpc.Route, bool) {
			return rpc.Route{Addr: addr},
				true
		}})
		ep.Start()
		f(env.Background(), ep, simnet.PeerOf(host.id))
		done = true
	})
	w.within(10*time.Minute, func() bool { return done })
	env.Kill()
}

type nothing struct{}

// TestStrangersAreCut: a key that is nobody's does not get beyond the handshake (invariant 1).
func TestStrangersAreCut(t *testing.T) {
	w := newTown(t, 7, 2)
	w.found(1, 0)
	w.visitor(w.machines[1], rpc.Identity{Seed: [32]byte{99}},
		func(ctx context.Context, ep *rpc.Endpoint, to rt.NodeID) {
			_, err := methodJoin.Call(ctx, ep, to, &joinRequest{})
			if !errors.Is(err, rpc.ErrIdentity) {
				t.Errorf("got %v", err)
			}
		})
	if n := w.machines[0].ep.Stats().Connections; n != 0 {
		t.Errorf("%d connections", n)
	}
}

// TestTokenKeyMayOnlyJoin: a token's key connects, may call cluster.join and nothing else, not with the proof
// of another, and is cut when its time is over (invariant 1).
func TestTokenKeyMayOnlyJoin(t *testing.T) {
	w := newTown(t, 8, 2)
	w.found(1, 0)
	host := w.machines[0]
	token := w.token(host)
	as := rpc.Identity{Seed: [32]byte(token.Secret)}
	w.visitor(w.machines[1], as, func(ctx context.Context, ep *rpc.Endpoint, to rt.NodeID) {
		for _, name := range []string{"cluster.gossip", "cluster.apply", "cluster.holds", "table.write",
			"unknown"} {
			method := rpc.NewMethod[nothing, nothing](name, rpc.Meta)
			if _, err := method.Call(ctx, ep, to, &nothing{}); !errors.Is(err, rpc.ErrRefused) {
				t.Errorf("%s: %v", name, err)
			}
		}
		req := &joinRequest{Node: rt.NodeID{5}, Member: Member{Addr: "x"}, Proof: []byte("no proof")}
		if _, err := methodJoin.Call(ctx, ep, to, req); !errors.Is(err, ErrTokenRefused) {
			t.Errorf("without a proof: %v", err)
		}
		if !ep.Connected(to) || len(host.c.tokens) != 1 {
			t.Errorf("connected %v, %d tokens", ep.Connected(to), len(host.c.tokens))
		}
		host.env.SetWallOffset(TokenTTL)
		if _, err := methodJoin.Call(ctx, ep, to, req); !errors.Is(err, rpc.ErrRefused) {
			t.Errorf("when the time is over: %v", err)
		}
		ep.Close()
	})
	w.run(partingTime + 10*time.Second)
	if n := host.ep.Stats().Connections; n != 0 || len(host.c.tokens) != 0 {
		t.Errorf("%d connections and %d tokens are left", n, len(host.c.tokens))
	}
}

// TestRemoved: a removed member is cut and refused wherever the mark has arrived, and its key never comes
// back (invariant 2).
func TestRemoved(t *testing.T) {
	for seed := range uint64(4) {
		w := newTown(t, seed, 4)
		w.form(3)
		gone := w.machines[3]
		w.join(gone, gone.gateway())
		w.within(time.Minute, func() bool { return w.agree(4) })
		id := simnet.PeerOf(gone.id)
		remove := func(node rt.NodeID) func(context.Context, *Cluster) error {
			return func(ctx context.Context, c *Cluster) error { return c.Remove(ctx, node) }
		}
		if err := w.on(w.machines[1], remove(simnet.PeerOf(w.machines[0].id))); !errors.Is(err, ErrHasData) {
			t.Errorf("removal of a storage node: %v", err)
		}
		if err := w.on(w.machines[1], remove(rt.NodeID{1})); !errors.Is(err, ErrNotMember) {
			t.Errorf("removal of nobody: %v", err)
		}
		// At the same moment the node announces another name, by a clock that is ahead.
		gone.env.SetWallOffset(30 * time.Second)
		gone.c.self.Name = "new name"
		errs := w.all([]*machine{gone, w.machines[1]}, func(ctx context.Context, c *Cluster) error {
			if c == gone.c {
				return c.Update(ctx)
			}
			return c.Remove(ctx, id)
		})
		if errors.Join(errs...) != nil {
			t.Fatal(errs)
		}
		w.within(time.Minute, func() bool { return w.agree(3) && w.machines[0].c.doc.removed(id) })
		w.run(5 * time.Second)
		for _, m := range w.machines[:3] {
			if m.c.Admits(id) || m.ep.Connected(id) {
				t.Errorf("seed %d: %v still speaks to it", seed, m)
			}
		}
		for _, m := range w.machines[:3] {
			err := w.on(gone, func(ctx context.Context,
				c *Cluster) error {
				return c.exchange(ctx, simnet.PeerOf(m.id), true)
			})
			if err == nil {
				t.Errorf("seed %d: %v answers it", seed, m)
			}
		}
		stage := func(ctx context.Context, c *Cluster) error {
			role := gone.role()
			role.Node = id
			return c.Stage(ctx, role)
		}
		if err := w.on(w.machines[2], stage); !errors.Is(err, ErrNotMember) {
			t.Errorf("a role for it: %v", err)
		}
		w.checkNoReturn(id, gone)
	}
}

// checkNoReturn holds machine 0 to refuse a removed key that comes with a good token, and to keep the token.
func (w *town) checkNoReturn(id rt.NodeID, gone *machine) {
	w.t.Helper()
	token := w.token(w.machines[0])
	key := keyOf(token.Secret)
	seed := ed25519.NewKeyFromSeed(gone.id.Seed[:])
	role := gone.role()
	role.Node = id
	req := &joinRequest{Node: id, Member: Member{Addr: "x"}, Role: role,
		Proof: ed25519.Sign(seed, joinProof(key, id))}
	err := w.on(w.machines[0], func(ctx context.Context, c *Cluster) error {
		_,
			err := c.handleJoin(ctx, key, req)
		return err
	})
	if !errors.Is(err, ErrRemoved) || len(w.machines[0].c.tokens) != 1 {
		w.t.Errorf("a removed key joins again: %v", err)
	}
}

func TestFounderStays(t *testing.T) {
	w := newTown(t, 9, 2)
	w.found(2, 0)
	w.join(w.machines[1], w.machines[1].gateway())
	err := w.on(w.machines[1], func(ctx context.Context,
		c *Cluster) error {
		return c.Remove(ctx, c.doc.Founder)
	})
	if !errors.Is(err, ErrFounder) {
		t.Errorf("got %v", err)
	}
}
