// Package node composes one node of the cluster out of the packages of core: everything that the product
// does, given a runtime, a transport, a store and a disk. The simulator's world and the production daemon
// build it alike.
package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"time"

	k2vapi "granary/core/api/k2v"
	"granary/core/api/s3"
	"granary/core/block"
	"granary/core/bucket"
	"granary/core/cluster"
	"granary/core/codec"
	"granary/core/hlc"
	"granary/core/job"
	"granary/core/k2v"
	"granary/core/kv"
	"granary/core/object"
	"granary/core/quorum"
	"granary/core/register"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
	"granary/core/transition"
)

// Local keys of this package.
var (
	keyCeiling = []byte("\x01node/hlc ceiling")
	keyStore   = []byte("\x01node/store")
)

var kindStore = codec.Register(0x02, 1, "store identity")

// storeIdentity names a node's local store, so that a lost or restored one can be told from the one that
// voted.
type storeIdentity struct {
	ID   []byte `cbor:"1,keyasint"` // 16 random bytes
	Boot uint64 `cbor:"2,keyasint"` // counts the starts
	// Nonce is random, another one at each start.
	Nonce uint64 `cbor:"3,keyasint,omitempty"`
	// Base is how many commits it had when it was first started since it was trusted.
	Base uint64 `cbor:"5,keyasint,omitempty"`
	// Forget says that the store was set back, and does not know yet which blocks the disk has.
	Forget bool `cbor:"4,keyasint,omitempty"`
}

// Config is what a node is made of.
type Config struct {
	Env       rt.Env
	Transport rpc.Transport
	KV        kv.Store
	Disk      block.Disk
	Identity  rpc.Identity // the node's own seed; its key is Env.Self
	Name      string       // for people
	Addr      string       // where peers reach this node; empty: Transport.Addr
	Region    string       // of the S3 endpoint
	Domains   []string     // roots of virtual-host style names
	Compress  bool         // compress blocks
	ValueMax  int          // of one K2V value, in bytes; 0: k2v.ValueMax
	RPC       *rpc.Config  // nil: rpc.DefaultConfig
	Room      func() error // as table.Config has it; nil: there is always room for metadata
	// Reclaim says when space is freed; nil: object.DefaultReclaim.
	Reclaim *object.Reclaim
	// Tombstones says when deletion markers go; zero: never.
	Tombstones table.Tombstones
	// RemoveDelay is how long a block stays after its last reference has gone; 0: as block.Config says.
	RemoveDelay time.Duration
	// RolledBack is told when the store turns out to be older than others have seen it. By then it has a new
	// identity; the node answers for nothing, and is to be stopped and opened anew. nil: it stays like that.
	RolledBack func(error)
}

// Node is a running node. Open makes it, Start lets it serve, Stop ends it.
type Node struct {
	env       rt.Env
	kv        *counted
	end       func(error)
	group     *rt.Group
	clock     *hlc.Clock
	endpoint  *rpc.Endpoint
	cluster   *cluster.Cluster
	quorum    *quorum.Engine
	tables    *table.Tables
	registers *register.Registers
	mover     *transition.Mover
	blocks    *block.Store
	buckets   *bucket.Store
	objects   *object.Store
	items     *k2v.Store
	jobs      *job.Book
	s3        http.Handler
	k2v       http.Handler
	store     storeIdentity
}

// Open loads a node's state and composes it. It opens no connection and starts no task that reaches outside.
//
// Errors: of the store; codec.ErrCorrupt if a record of the node is damaged.
func Open(ctx context.Context, c Config) (*Node, error) {
	n := &Node{env: c.Env, kv: &counted{Store: c.KV}, end: c.RolledBack,
		group: rt.NewGroup(c.Env, c.Env.Background())}
	if n.end == nil {
		n.end = func(error) {}
	}
	var ceiling hlc.Stamp
	err := c.KV.View(func(r kv.Reader) (err error) {
		if raw := r.Get(keyCeiling); len(raw) == 8 {
			ceiling = hlc.Stamp(binary.BigEndian.Uint64(raw))
		}
		n.kv.commits.Store(commitsOf(r))
		if raw := r.Get(keyStore); raw != nil {
			n.store, err = codec.Load[storeIdentity](raw, kindStore)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load the node's own records: %w", err)
	}
	if err := n.countBoot(ctx); err != nil {
		return nil, err
	}
	n.clock = hlc.New(c.Env, ceiling, n.storeCeiling)
	addr := c.Addr
	if addr == "" {
		addr = c.Transport.Addr()
	}
	n.cluster, err = cluster.Open(cluster.Config{Env: c.Env, Store: n.kv, Clock: n.clock, Group: n.group,
		Identity: c.Identity, Self: cluster.Member{Addr: addr, Name: c.Name},
		StoreID: n.store.ID, Incarnation: n.incarnation, Base: n.store.Base, Kept: c.KV,
		RolledBack: n.rolledBack})
	if err != nil {
		return nil, err
	}
	if err := n.compose(c); err != nil {
		return n, err
	}
	if err := n.forget(ctx, c.Disk); err != nil {
		return n, err
	}
	if err := n.blocks.Prepare(); err != nil {
		return n, err
	}
	return n, n.tables.Prepare(ctx)
}

func (n *Node) compose(c Config) error {
	cfg := rpc.DefaultConfig()
	if c.RPC != nil {
		cfg = *c.RPC
	}
	cfg.Clock = heard{n.clock}
	if err := cfg.Validate(); err != nil {
		return err
	}
	if c.Reclaim != nil {
		if err := c.Reclaim.Validate(); err != nil {
			return err
		}
	}
	n.endpoint = rpc.New(c.Env, c.Transport, cfg)
	hooks := n.cluster.Hooks()
	hooks.News, hooks.OnNews = n.news, n.onNews
	n.endpoint.SetHooks(hooks)
	c.Transport.Admit(n.cluster.Admits)
	n.quorum = quorum.New(c.Env, n.group)
	n.jobs = job.NewBook(c.Env)

	rows := registerTables(c.Env)
	n.tables = table.New(table.Config{Env: c.Env, Store: n.kv, Clock: n.clock, Topology: n.cluster,
		Quorum:   n.quorum,
		Endpoint: n.endpoint, Registry: &rows.registry, Group: n.group, Jobs: n.jobs,
		Room: c.Room, Tombstones: c.Tombstones})
	n.blocks = block.New(block.Config{Env: c.Env, KV: n.kv, Disk: c.Disk, Tables: n.tables, Rows: rows.blocks,
		Topology: n.cluster, Quorum: n.quorum, Endpoint: n.endpoint, Group: n.group, Jobs: n.jobs,
		RemoveDelay: c.RemoveDelay, Compress: c.Compress})
	n.registers = register.New(register.Config{Env: c.Env, Store: n.kv, Topology: n.cluster, Quorum: n.quorum,
		Endpoint: n.endpoint})
	n.buckets = bucket.New(bucket.Config{Env: c.Env, Tables: n.tables, Rows: rows.buckets,
		Registers: n.registers, Clock: n.clock, Group: n.group})
	n.objects = object.New(object.Config{Env: c.Env, Tables: n.tables, Rows: rows.objects, Blocks: n.blocks,
		Clock: n.clock, Topology: n.cluster, Endpoint: n.endpoint, Group: n.group, Jobs: n.jobs,
		Reclaim: c.Reclaim})
	n.mover = transition.New(transition.Config{Env: c.Env, Cluster: n.cluster, Tables: n.tables,
		Registers: n.registers, Blocks: n.blocks, Endpoint: n.endpoint, Group: n.group, Jobs: n.jobs})
	n.items = k2v.New(k2v.Config{Env: c.Env, KV: n.kv, Tables: n.tables, Rows: rows.items, Clock: n.clock,
		Topology: n.cluster, Quorum: n.quorum, Endpoint: n.endpoint, Group: n.group, StoreID: n.store.ID,
		ValueMax: c.ValueMax})
	n.buckets.SetObjects(contents{n.objects, n.items})
	n.s3 = s3.New(s3.Config{Env: c.Env, Objects: s3.Over(n.objects), Buckets: n.buckets, Region: c.Region,
		Domain: c.Domains, Ready: n.Ready})
	n.k2v = k2vapi.New(k2vapi.Config{Env: c.Env, Items: n.items, Buckets: n.buckets, Region: c.Region,
		Ready: n.Ready})
	return nil
}

// rows are the tables of every node.
type rows struct {
	registry table.Registry
	objects  *object.Rows
	blocks   *block.Rows
	buckets  *bucket.Rows
	items    *k2v.Rows
}

func registerTables(env rt.Env) *rows {
	r := &rows{}
	r.buckets = bucket.RegisterTables(&r.registry)
	r.objects = object.RegisterTables(&r.registry, r.buckets)
	r.blocks = block.RegisterTables(&r.registry)
	r.items = k2v.RegisterTables(&r.registry, env, r.buckets)
	return r
}

// contents are the two collections that a bucket may hold.
type contents struct {
	objects *object.Store
	items   *k2v.Store
}

// Empty implements bucket.Objects.
func (c contents) Empty(ctx context.Context, b bucket.BucketID) (bool, error) {
	if empty, err := c.objects.Empty(ctx, b); err != nil || !empty {
		return false, err
	}
	return c.items.Empty(ctx, b)
}

// heard is the clock as messages move it.
type heard struct{ *hlc.Clock }

// Merge implements rpc.Clock.
func (h heard) Merge(s hlc.Stamp) { h.Hear(s) }

// countBoot notes one more start of the store, giving it an identity at the first.
func (n *Node) countBoot(ctx context.Context) error {
	if len(n.store.ID) == 0 {
		n.store.ID = n.env.Secret(16)
	}
	n.store.Boot++
	n.store.Nonce = binary.BigEndian.Uint64(n.env.Secret(8))
	return n.storeIdentity(ctx)
}

// storeIdentity stores the identity of the store, which is to be compared before it answers.
func (n *Node) storeIdentity(ctx context.Context) error {
	err := n.kv.Store.Update(ctx, func(w kv.Writer) error {
		trusted, err := cluster.Started(w, n.env.Self())
		if trusted {
			n.store.Base = commitsOf(w)
		}
		if err != nil {
			return err
		}
		sealed, err := codec.Seal(kindStore, 1, n.store)
		if err == nil {
			w.Put(keyStore, sealed)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("note the start in the store: %w", err)
	}
	return nil
}

func (n *Node) storeCeiling(ctx context.Context, ceiling hlc.Stamp) error {
	raw := binary.BigEndian.AppendUint64(nil, uint64(ceiling))
	return n.kv.Store.Update(ctx, func(w kv.Writer) error { w.Put(keyCeiling, raw); return nil })
}

// Start lets the node speak with its peers and begin its background work.
func (n *Node) Start() {
	n.cluster.Start(n.endpoint, n.registers)
	n.endpoint.Start()
	n.tables.Start()
	n.blocks.Start()
	n.mover.Start()
	n.buckets.Start()
	n.objects.Start()
	n.items.Start()
	n.group.Keep("renew clock", n.renewClock)
	n.group.Go("announce", func(ctx context.Context) error {
		if err := n.cluster.Update(ctx); err != nil && !errors.Is(err, context.Canceled) {
			n.env.Warn("the node's address could not be announced", "err", err)
		}
		return nil
	})
}

func (n *Node) renewClock(ctx context.Context) error {
	for n.env.Sleep(ctx, hlc.RenewEvery) == nil {
		if err := n.clock.Renew(ctx); err != nil && ctx.Err() == nil {
			n.env.Error("the clock's ceiling could not be stored", "err", err)
		}
	}
	return nil
}

// Stop ends the node: background writes get until ctx ends to finish, then everything is cut.
func (n *Node) Stop(ctx context.Context) {
	for n.quorum.Background() > 0 && n.env.Sleep(ctx, 10*time.Millisecond) == nil {
	}
	n.group.Cancel()
	if err := n.endpoint.Close(); err != nil {
		n.env.Warn("closing the endpoint", "err", err)
	}
	n.group.Wait()
}

// Ready says, with the reason, whether the node can serve requests.
func (n *Node) Ready() error {
	if why := n.cluster.Missing(); why != "" {
		return fmt.Errorf("%w: %s", cluster.ErrNotReady, why)
	}
	return nil
}

// S3 is the S3 endpoint.
func (n *Node) S3() http.Handler { return n.s3 }

// K2V is the K2V endpoint.
func (n *Node) K2V() http.Handler { return n.k2v }

// Items are the node's view of K2V items.
func (n *Node) Items() *k2v.Store { return n.items }

// Cluster is the node's membership.
func (n *Node) Cluster() *cluster.Cluster { return n.cluster }

// Tables are the node's replicated rows.
func (n *Node) Tables() *table.Tables { return n.tables }

// Blocks are the node's blocks.
func (n *Node) Blocks() *block.Store { return n.blocks }

// Objects are the node's view of objects.
func (n *Node) Objects() *object.Store { return n.objects }

// Jobs is the node's background work.
func (n *Node) Jobs() *job.Book { return n.jobs }

// Buckets is the node's view of buckets and keys.
func (n *Node) Buckets() *bucket.Store { return n.buckets }
