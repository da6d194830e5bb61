package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"granary/core/codec"
	"granary/core/crdt"
	"granary/core/hlc"
	"granary/core/kv"
	"granary/core/layout"
	"granary/core/rpc"
	"granary/core/rt"
)

// Local keys of this package; rows of tables have greater ones.
var (
	keyDocument = []byte("\x01cluster/document")
	keyTokens   = []byte("\x01cluster/token/")
)

// Kinds of errors, for errors.Is.
var (
	ErrNoCluster = errors.New("this node belongs to no cluster")
	ErrNoLayout  = errors.New("the cluster has no layout yet")
	ErrInCluster = errors.New("this node belongs to a cluster already")
	ErrNotMember = errors.New("no such member")
	ErrHasData   = rpc.RegisterError("cluster.has_data",
		errors.New("the cluster holds data, and its layout cannot be changed any more"))
	ErrNotReady   = rpc.RegisterError("cluster.not_ready", errors.New("the cluster is not complete"))
	ErrUnsuitable = rpc.RegisterError("cluster.unsuitable", errors.New("unsuitable layout"))
)

// Config is what a node's cluster membership is made of.
type Config struct {
	Env      rt.Env
	Store    kv.Store
	Clock    *hlc.Clock
	Group    *rt.Group    // of the node
	Identity rpc.Identity // the node's own seed
	Self     Member       // how this node is reached and called
}

// Cluster is one node's membership. Safe for concurrent use.
type Cluster struct {
	env      rt.Env
	store    kv.Store
	clock    *hlc.Clock
	group    *rt.Group
	identity rpc.Identity
	self     Member
	endpoint *rpc.Endpoint

	write    *rt.Mutex // one change of the document at a time
	lock     rt.Locker // of what follows
	doc      document
	cache    *derived
	tokens   map[rt.NodeID]time.Time // expiry by key
	joining  map[rt.NodeID]rpc.Route // peers reached with a token's identity
	holds    func() (bool, error)
	onLayout func()
	kick     rt.Waiter // wakes the gossip
}

// Open loads what the node knows of its cluster. The result serves look-ups at once; Start begins gossip.
//
// Errors: of the store; codec.ErrCorrupt if the document is damaged.
func Open(c Config) (*Cluster, error) {
	cl := &Cluster{env: c.Env, store: c.Store, clock: c.Clock, group: c.Group, identity: c.Identity,
		self:  c.Self,
		write: rt.NewMutex(c.Env), lock: c.Env.NewLock(), tokens: map[rt.NodeID]time.Time{},
		joining: map[rt.NodeID]rpc.Route{}, kick: c.Env.NewWaiter()}
	err := c.Store.View(func(r kv.Reader) error {
		if data := r.Get(keyDocument); data != nil {
			doc, err := codec.Load[document](data, kindDocument)
			if err != nil {
				return fmt.Errorf("cluster document: %w", err)
			}
			cl.doc = doc
		}
		return cl.loadTokens(r)
	})
	if err != nil {
		return nil, err
	}
	cl.cache = derive(cl.doc)
	return cl, nil
}

// Hooks are what the endpoint asks of the cluster.
func (c *Cluster) Hooks() rpc.Hooks {
	return rpc.Hooks{Route: c.route, Permit: c.permit, Layout: c.LayoutNumber,
		OnLayout: func(rt.NodeID, uint64) { c.kick.Unpark() }}
}

// Start registers the cluster's methods and begins gossip. holds reports whether this node stores objects;
// onLayout is called whenever a layout becomes known, and must not wait.
func (c *Cluster) Start(endpoint *rpc.Endpoint, holds func() (bool, error), onLayout func()) {
	c.endpoint, c.holds, c.onLayout = endpoint, holds, onLayout
	rpc.Handle(endpoint, methodGossip, c.handleGossip)
	rpc.Handle(endpoint, methodJoin, c.handleJoin)
	rpc.Handle(endpoint, methodApply, c.handleApply)
	rpc.Handle(endpoint, methodHolds, c.handleHolds)
	rpc.Handle(endpoint, methodToken, c.handleToken)
	c.group.Go("cluster gossip", c.runGossip)
}

// Admits reports whether a key may connect: a member's, or an unexpired token's.
func (c *Cluster) Admits(peer rt.NodeID) bool {
	c.lock.Lock()
	defer c.lock.Unlock()
	if m, ok := c.doc.Members.Get(peer); ok {
		return !m.Value.Removed
	}
	_, ok := c.tokens[peer]
	return ok
}

func (c *Cluster) route(peer rt.NodeID) (rpc.Route, bool) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if r, ok := c.joining[peer]; ok {
		return r, true
	}
	m, ok := c.doc.Members.Get(peer)
	return rpc.Route{Addr: m.Value.Addr}, ok && !m.Value.Removed
}

func (c *Cluster) permit(peer rt.NodeID, method string) bool {
	c.lock.Lock()
	defer c.lock.Unlock()
	if m, ok := c.doc.Members.Get(peer); ok {
		return !m.Value.Removed
	}
	_, ok := c.tokens[peer]
	return ok && method == methodJoin.Name()
}

// snapshot returns the document and what follows from it.
func (c *Cluster) snapshot() (document, *derived) {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.doc, c.cache
}

// change joins what f returns into the document, stores it, and sends it round.
func (c *Cluster) change(ctx context.Context, f func(document) (document, error)) error {
	if err := c.write.Lock(ctx); err != nil {
		return err
	}
	defer c.write.Unlock()
	doc, _ := c.snapshot()
	delta, err := f(doc)
	if err != nil {
		return err
	}
	changed, err := c.commit(ctx, doc, doc.Join(delta))
	if err != nil || !changed {
		return err
	}
	c.broadcast()
	c.kick.Unpark()
	return nil
}

// merge joins a peer's document into ours and reports whether ours changed.
func (c *Cluster) merge(ctx context.Context, theirs document) (bool, error) {
	if err := c.write.Lock(ctx); err != nil {
		return false, err
	}
	defer c.write.Unlock()
	doc, _ := c.snapshot()
	if len(doc.ID) > 0 && len(theirs.ID) > 0 && string(doc.ID) != string(theirs.ID) {
		return false, fmt.Errorf("peer belongs to cluster %x, this node to %x", theirs.ID, doc.ID)
	}
	if theirs.Layout != nil {
		if err := theirs.Layout.Validate(); err != nil {
			return false, fmt.Errorf("layout version %d of a peer: %w", theirs.Layout.Number, err)
		}
	}
	return c.commit(ctx, doc, doc.Join(theirs))
}

func (c *Cluster) commit(ctx context.Context, before, after document) (changed bool, err error) {
	sealed, err := codec.Seal(kindDocument, 1, after)
	if err != nil {
		return false, err
	}
	old, err := codec.Seal(kindDocument, 1, before)
	if err != nil || string(old) == string(sealed) {
		return false, err
	}
	err = c.store.Update(ctx, func(w kv.Writer) error { w.Put(keyDocument, sealed); return nil })
	if err != nil {
		return false, fmt.Errorf("store the cluster document: %w", err)
	}
	next := derive(after)
	c.lock.Lock()
	c.doc, c.cache = after, next
	c.lock.Unlock()
	c.dropRemoved(before, after)
	if after.number() != before.number() && c.onLayout != nil {
		c.onLayout()
	}
	return true, nil
}

// dropRemoved cuts the connections of members that were removed.
func (c *Cluster) dropRemoved(before, after document) {
	for id, m := range after.Members.All() {
		if old, ok := before.Members.Get(id); m.Value.Removed && (!ok || !old.Value.Removed) &&
			c.endpoint != nil {
			c.endpoint.Disconnect(id)
		}
	}
}

// Found makes this node the first of a new cluster, with params for its layouts and its own role staged.
//
// Errors: ErrInCluster, ErrUnsuitable.
func (c *Cluster) Found(ctx context.Context, params layout.Params, role layout.Role) error {
	stamp, err := c.clock.Now(ctx)
	if err != nil {
		return err
	}
	return c.change(ctx, func(doc document) (document, error) {
		if len(doc.ID) > 0 {
			return doc, ErrInCluster
		}
		if err := params.Validate(); err != nil {
			return doc, fmt.Errorf("%w: %w", ErrUnsuitable, err)
		}
		self := c.env.Self()
		role.Node = self
		if err := role.Validate(); err != nil {
			return doc, fmt.Errorf("%w: %w", ErrUnsuitable, err)
		}
		return document{ID: c.env.Secret(16), Founder: self,
			Members: crdt.Map[rt.NodeID, crdt.LWW[Member]]{}.With(self,
				crdt.LWW[Member]{Stamp: stamp, Value: c.self}),
			Staged: layout.Staged{}.WithParams(stamp, params).WithRole(stamp, role)}, nil
	})
}

// Stage adds a role, or its change, to the next layout.
func (c *Cluster) Stage(ctx context.Context, role layout.Role) error {
	stamp, err := c.clock.Now(ctx)
	if err != nil {
		return err
	}
	return c.change(ctx, func(doc document) (document, error) {
		if m, ok := doc.Members.Get(role.Node); !ok || m.Value.Removed {
			return doc, fmt.Errorf("node %s: %w", role.Node.Short(), ErrNotMember)
		}
		if err := role.Validate(); err != nil {
			return doc, fmt.Errorf("%w: %w", ErrUnsuitable, err)
		}
		return document{Staged: layout.Staged{}.WithRole(stamp, role)}, nil
	})
}

// Remove marks a member as removed, for good. It refuses a member that the live layout gives partitions to.
func (c *Cluster) Remove(ctx context.Context, node rt.NodeID) error {
	stamp, err := c.clock.Now(ctx)
	if err != nil {
		return err
	}
	return c.change(ctx, func(doc document) (document, error) {
		m, ok := doc.Members.Get(node)
		if !ok {
			return doc, fmt.Errorf("node %s: %w", node.Short(), ErrNotMember)
		}
		if doc.Layout != nil && slices.Contains(doc.Layout.StorageNodes(), node) {
			return doc, fmt.Errorf("node %s stores data in layout version %d: %w", node.Short(), doc.number(),
				ErrHasData)
		}
		m.Value.Removed = true
		return document{
			Members: crdt.Map[rt.NodeID, crdt.LWW[Member]]{}.With(node,
				crdt.LWW[Member]{Stamp: stamp, Value: m.Value}),
			Staged: layout.Staged{}.WithoutRole(stamp, node)}, nil
	})
}

// Update tells the cluster of this node's present address and name, if they changed.
func (c *Cluster) Update(ctx context.Context) error {
	stamp, err := c.clock.Now(ctx)
	if err != nil {
		return err
	}
	return c.change(ctx, func(doc document) (document, error) {
		m, ok := doc.Members.Get(c.env.Self())
		if !ok || m.Value == c.self || m.Value.Removed {
			return doc, nil
		}
		return document{Members: crdt.Map[rt.NodeID, crdt.LWW[Member]]{}.With(c.env.Self(),
			crdt.LWW[Member]{Stamp: stamp, Value: c.self})}, nil
	})
}
