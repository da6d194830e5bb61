package k2v

import (
	"context"
	"encoding/binary"

	"github.com/zeebo/blake3"

	"granary/core/hlc"
	"granary/core/kv"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
)

// Config is what a node's K2V store is made of. All fields but ValueMax are needed.
type Config struct {
	Env      rt.Env
	KV       kv.Store
	Tables   *table.Tables
	Rows     *Rows
	Clock    *hlc.Clock
	Topology table.Topology
	Quorum   *quorum.Engine
	Endpoint *rpc.Endpoint
	Group    *rt.Group // of the node
	StoreID  []byte    // names the local store; a new or restored one has another
	// ValueMax bounds one value in bytes; 0 means the constant of that name.
	ValueMax int
}

// Store keeps the items of a cluster, seen from one node. Safe for concurrent use.
type Store struct {
	env      rt.Env
	store    kv.Store
	tables   *table.Tables
	rows     *Rows
	clock    *hlc.Clock
	topology table.Topology
	quorum   *quorum.Engine
	endpoint *rpc.Endpoint
	group    *rt.Group
	valueMax int
	actor    uint64 // this node with this store, in dots
	watchers *watchers
	watched  *watched
}

// New returns a node's store and registers its methods with the endpoint.
func New(c Config) *Store {
	s := &Store{env: c.Env, store: c.KV, tables: c.Tables, rows: c.Rows, clock: c.Clock, topology: c.Topology,
		quorum: c.Quorum, endpoint: c.Endpoint, group: c.Group, valueMax: c.ValueMax,
		actor: actorOf(c.Env.Self(), c.StoreID)}
	if s.valueMax == 0 {
		s.valueMax = ValueMax
	}
	s.watchers, s.watched = newWatchers(c.Env), newWatched(c.Env)
	s.rows.store = s
	s.readers()
	rpc.Handle(c.Endpoint, methodStore, s.handleStore)
	rpc.Handle(c.Endpoint, methodMerge, s.handleMerge)
	rpc.Handle(c.Endpoint, methodNews, s.handleNews)
	rpc.Handle(c.Endpoint, methodWatch, s.handleWatch)
	rpc.Handle(c.Endpoint, methodNotify, s.handleNotify)
	return s
}

// actorOf names a node and its store in dots, so that a store that forgot what it wrote is another writer.
func actorOf(node rt.NodeID, storeID []byte) uint64 {
	sum := blake3.Sum256(append(node[:], storeID...))
	return binary.BigEndian.Uint64(sum[:])
}

// Start begins the background work: sending counts to the index.
func (s *Store) Start() {
	s.group.Keep("k2v index", func(ctx context.Context) error { return s.runIndex(ctx) })
}

// ValueMax is the longest value in bytes.
func (s *Store) ValueMax() int { return s.valueMax }

// Waiting is the number of polls that wait at this node.
func (s *Store) Waiting() int { return s.watchers.waiting() }
