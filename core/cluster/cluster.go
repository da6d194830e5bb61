package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"granary/core/codec"
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
	ErrBadMember = rpc.RegisterError("cluster.bad_member", errors.New("malformed member"))
	ErrRemoved   = rpc.RegisterError("cluster.removed", errors.New("the node was removed for good"))
	ErrFounder   = errors.New("the founder of a cluster cannot be removed")
	// ErrHasData means that a layout is not changed because data would have to move, which is not there yet.
	ErrHasData = rpc.RegisterError("cluster.has_data",
		errors.New("the cluster holds data, and data cannot be moved to another layout yet"))
	// ErrChanged means that a layout was made from what is not so any more; it is to be looked at again.
	ErrChanged = rpc.RegisterError("cluster.layout_changed",
		errors.New("the layout, or what is staged, changed meanwhile"))
	// ErrNoVersion means that the history does not have a layout version.
	ErrNoVersion  = errors.New("the history has no such layout version")
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
	holds    func() (bool, error)

	entering   *rt.Mutex     // one Found or JoinWith at a time
	applying   *rt.Mutex     // one apply at a time
	write      *rt.Mutex     // one change of the document at a time
	broadcasts *rt.Semaphore // exchanges that are being made because of a change
	kick       rt.Waiter     // wakes the gossip

	lock    rt.Locker // of what follows
	doc     document
	cache   *derived
	tokens  map[rt.NodeID]time.Time // expiry by key
	joining map[rt.NodeID]rpc.Route // peers reached with a token's identity
	ahead   rt.NodeID               // a peer that knows a newer layout, zero if none is known
	clocks  clocks
}

// Open loads what the node knows of its cluster. The result serves look-ups at once; Start begins gossip.
//
// Errors: of the store; codec.ErrCorrupt if the document is damaged.
func Open(c Config) (*Cluster, error) {
	cl := &Cluster{env: c.Env, store: c.Store, clock: c.Clock, group: c.Group, identity: c.Identity,
		self:     c.Self,
		entering: rt.NewMutex(c.Env), applying: rt.NewMutex(c.Env), write: rt.NewMutex(c.Env),
		broadcasts: rt.NewSemaphore(c.Env, broadcastsMax), kick: c.Env.NewWaiter(),
		lock: c.Env.NewLock(), tokens: map[rt.NodeID]time.Time{}, joining: map[rt.NodeID]rpc.Route{},
		clocks: clocks{readings: map[rt.NodeID]clockReading{}}}
	err := c.Store.View(func(r kv.Reader) error {
		if data := r.Get(keyDocument); data != nil {
			doc, err := codec.Load[document](data, kindDocument)
			if err != nil {
				return fmt.Errorf("cluster document: %w", err)
			}
			cl.doc = doc
		}
		cl.loadTokens(r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	cl.cache = derive(cl.doc, digestOf(cl.doc))
	return cl, nil
}

// Hooks are what the endpoint asks of the cluster.
func (c *Cluster) Hooks() rpc.Hooks {
	return rpc.Hooks{Route: c.route, Permit: c.permit, Layout: c.LayoutNumber, OnLayout: c.heardLayout}
}

// Start registers the cluster's methods and begins gossip. holds reports whether this node stores objects;
func (c *Cluster) Start(endpoint *rpc.Endpoint, holds func() (bool, error)) {
	c.endpoint, c.holds = endpoint, holds
	rpc.Handle(endpoint, methodGossip, c.handleGossip)
	rpc.Handle(endpoint, methodJoin, c.handleJoin)
	rpc.Handle(endpoint, methodApply, c.handleApply)
	rpc.Handle(endpoint, methodHolds, c.handleHolds)
	c.group.Keep("cluster gossip", c.runGossip)
}

// Admits reports whether a key may connect: a member's, or an unexpired token's.
func (c *Cluster) Admits(peer rt.NodeID) bool { return c.permit(peer, methodJoin.Name()) }

// permit says which methods a peer may call: a member all of them, a token's key only cluster.join.
func (c *Cluster) permit(peer rt.NodeID, method string) bool {
	c.lock.Lock()
	m, ok := c.doc.Members.Get(peer)
	until, issued := c.tokens[peer]
	c.lock.Unlock()
	if ok {
		return !m.Removed
	}
	return issued && method == methodJoin.Name() && until.After(c.env.Wall())
}

func (c *Cluster) route(peer rt.NodeID) (rpc.Route, bool) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if r, ok := c.joining[peer]; ok {
		return r, true
	}
	m, ok := c.doc.Members.Get(peer)
	return rpc.Route{Addr: m.Info.Value.Addr}, ok && !m.Removed
}

// snapshot returns the document and what follows from it.
func (c *Cluster) snapshot() (document, *derived) {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.doc, c.cache
}

// change joins what f returns into the document, stores it, and sends it round. f is given the document and a
// stamp above all that are in it; a document without anything changes nothing.
func (c *Cluster) change(ctx context.Context, f func(document, hlc.Stamp) (document, error)) error {
	if err := c.write.Lock(ctx); err != nil {
		return err
	}
	defer c.write.Unlock()
	doc, _ := c.snapshot()
	stamp, err := c.clock.After(ctx, doc.stamp())
	if err != nil {
		return err
	}
	delta, err := f(doc, stamp)
	if err != nil {
		return err
	}
	changed, err := c.commit(ctx, doc.Join(delta))
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
	if newer(theirs.Layout, doc.Layout) {
		if err := theirs.Layout.Validate(); err != nil {
			return false, fmt.Errorf("layout version %d of a peer: %w", theirs.Layout.Number, err)
		}
		c.verify(theirs.Layout, doc.Layout)
	}
	return c.commit(ctx, doc.Join(theirs))
}

// verify computes a peer's layout anew, if it follows the one that is known. If something else comes out, the
// layout is valid all the same, but one of the two programs has a fault.
func (c *Cluster) verify(theirs, ours *layout.Version) {
	if ours == nil && theirs.Number != 1 || ours != nil && theirs.Parent != ours.Hash() {
		return
	}
	if err := theirs.Verify(ours); err != nil {
		c.env.Always(false, fmt.Sprintf("a peer computed another layout than this node: %v", err))
	}
}

// commit makes after the document, durably first. The caller holds write.
func (c *Cluster) commit(ctx context.Context, after document) (changed bool, err error) {
	_, cache := c.snapshot()
	digest := digestOf(after)
	if digest == cache.digest {
		return false, nil
	}
	sealed, err := codec.Seal(kindDocument, 1, after)
	if err != nil {
		return false, err
	}
	err = c.store.Update(ctx, func(w kv.Writer) error { w.Put(keyDocument, sealed); return nil })
	if err != nil {
		return false, fmt.Errorf("store the cluster document: %w", err)
	}
	next := derive(after, digest)
	c.lock.Lock()
	c.doc, c.cache = after, next
	c.lock.Unlock()
	c.cutRemoved()
	return true, nil
}

// cutRemoved closes the connections with members that were removed.
func (c *Cluster) cutRemoved() {
	if c.endpoint == nil {
		return
	}
	doc, _ := c.snapshot()
	for id, m := range doc.Members.All() {
		if m.Removed && id != c.env.Self() {
			c.endpoint.Disconnect(id)
		}
	}
}
