package cluster

import (
	"bytes"
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
	keyGuard    = []byte("\x01cluster/guard")
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
	ErrFounder   = errors.New("the founder of a cluster without a layout cannot be removed")
	// ErrHasData means that a member is not removed because it may have the last copy of something.
	ErrHasData = errors.New("the node holds data: take its role, apply the layout, wait until it is settled")
	// ErrLost means that an operator gave a node up.
	ErrLost = errors.New("the node was given up for lost")
	// ErrUnsettled means that the layout is not changed because the last change is still going on.
	ErrUnsettled = errors.New("the last change of the layout is not finished")
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
	// StoreID names Store; another store of the same node has another id.
	StoreID []byte
	// Incarnation tells of which life and age the store is, durably; nil: it is not told apart from a store
	// that was set back, and Kept and RolledBack are not needed.
	Incarnation func() Incarnation
	// Base is the number of commits of the store when it was first started since it was trusted last, see
	// Started.
	Base uint64
	// Kept is Store, but what is written to it does not count as progress of the store.
	Kept kv.Store
	// RolledBack is told once that the store was set back. It must not wait. The node is to be opened anew,
	// as a node that has another store.
	RolledBack func(error)
}

// Agreement decides between values, once and for ever for each key; a *register.Registers over the voters of
// the live layout is one.
type Agreement interface {
	// Decide returns the value that key has for good: value, unless another was decided before.
	Decide(ctx context.Context, key string, value []byte) ([]byte, error)
}

// Cluster is one node's membership. Safe for concurrent use.
type Cluster struct {
	env      rt.Env
	store    kv.Store
	clock    *hlc.Clock
	group    *rt.Group
	identity rpc.Identity
	self     Member
	storeID  []byte
	endpoint *rpc.Endpoint
	agree    Agreement

	entering   *rt.Mutex     // one Found or JoinWith at a time
	applying   *rt.Mutex     // one apply at a time on this node
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
	life    life
	away    map[rt.NodeID]time.Duration // since when nodes that lag behind the layout are out of reach
	waiting []rt.Waiter                 // woken when the document changes
}

// Open loads what the node knows of its cluster, and guards the store accordingly. The result serves look-ups
// at once; Start begins gossip.
//
// Errors: of the store; codec.ErrCorrupt if the document is damaged.
func Open(c Config) (*Cluster, error) {
	cl := &Cluster{env: c.Env, store: c.Store, clock: c.Clock, group: c.Group, identity: c.Identity,
		self: c.Self, storeID: c.StoreID,
		entering: rt.NewMutex(c.Env), applying: rt.NewMutex(c.Env), write: rt.NewMutex(c.Env),
		broadcasts: rt.NewSemaphore(c.Env, broadcastsMax), kick: c.Env.NewWaiter(),
		lock: c.Env.NewLock(), tokens: map[rt.NodeID]time.Time{}, joining: map[rt.NodeID]rpc.Route{},
		away:   map[rt.NodeID]time.Duration{},
		clocks: clocks{readings: map[rt.NodeID]clockReading{}}, life: newLife(c)}
	var guard []byte
	err := c.Store.View(func(r kv.Reader) error {
		guard = bytes.Clone(r.Get(keyGuard))
		if data := r.Get(keyDocument); data != nil {
			doc, err := codec.Load[document](data, kindDocument)
			if err != nil {
				return fmt.Errorf("cluster document: %w", err)
			}
			cl.doc = doc
		}
		cl.loadTokens(r)
		return cl.life.load(r, cl.doc, c.Env.Self(), c.StoreID)
	})
	if err != nil {
		return nil, err
	}
	cl.cache = derive(cl.doc, digestOf(cl.doc), &derived{})
	if err := cl.reguard(guard); err != nil {
		return nil, err
	}
	return cl, nil
}

// reguard sets the guard right that a store was opened with: if the store was restored, it is that of another
// one.
func (c *Cluster) reguard(was []byte) error {
	now := c.guardOf(c.doc)
	if len(c.doc.ID) == 0 || bytes.Equal(now.encode(), was) {
		return nil
	}
	err := c.store.Update(c.env.Background(), func(w kv.Writer) error { now.Put(w); return nil })
	if err != nil {
		return fmt.Errorf("store the guard: %w", err)
	}
	return nil
}

// Hooks are what the endpoint asks of the cluster.
func (c *Cluster) Hooks() rpc.Hooks {
	return rpc.Hooks{Route: c.route, Permit: c.permit, Layout: c.LayoutNumber, OnLayout: c.heardLayout}
}

// Start registers the cluster's methods and begins gossip. agree decides what the next layout is.
func (c *Cluster) Start(endpoint *rpc.Endpoint, agree Agreement) {
	c.endpoint, c.agree = endpoint, agree
	rpc.Handle(endpoint, methodGossip, c.handleGossip)
	rpc.Handle(endpoint, methodJoin, c.handleJoin)
	c.group.Keep("cluster gossip", c.runGossip)
	c.group.Keep("cluster marks", c.keepMarks)
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

// document returns the document.
func (c *Cluster) document() document {
	doc, _ := c.snapshot()
	return doc
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
		if err := theirs.checkBefore(); err != nil {
			return false, err
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
//
// The guard is stored with it, in one transaction: a write of somebody who does not know this layout either
// came before, and whoever reads the store from now on sees it, or is refused.
func (c *Cluster) commit(ctx context.Context, after document) (changed bool, err error) {
	_, cache := c.snapshot()
	next := derive(after, digestOf(after), cache)
	if settled := after.settle(next); settled.Settled != after.Settled {
		after, next = settled, derive(settled, digestOf(settled), next)
	}
	if next.digest == cache.digest {
		return false, nil
	}
	sealed, err := codec.Seal(kindDocument, 1, after)
	if err != nil {
		return false, err
	}
	guard := c.guardOf(after)
	err = c.store.Update(ctx, func(w kv.Writer) error {
		w.Put(keyDocument, sealed)
		guard.Put(w)
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("store the cluster document: %w", err)
	}
	c.lock.Lock()
	c.doc, c.cache = after, next
	waiting := c.waiting
	c.lock.Unlock()
	for _, w := range waiting {
		w.Unpark()
	}
	if turn, _ := after.closable(next, c.env.Self(), c.awaits); turn > 0 {
		c.kick.Unpark()
	}
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
