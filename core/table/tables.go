package table

import (
	"context"
	"slices"
	"time"

	"granary/core/cluster"
	"granary/core/hlc"
	"granary/core/job"
	"granary/core/kv"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
)

// Topology is what tables need to know of the cluster.
type Topology interface {
	// View returns the live replica sets of a partition. It fails while the cluster has no layout.
	View(layout.Prefix) (cluster.View, error)
	// EachView calls f for every partition, in order, with its first and last prefix and its live replica
	// sets.
	EachView(f func(first, last layout.Prefix, v cluster.View))
	// FullView returns the voters of full-copy tables, and the learners.
	FullView() (cluster.View, error)
	// Nearest returns nodes ordered by measured distance, this node first.
	Nearest([]rt.NodeID) []rt.NodeID
	// Patience is how long an answer from the nodes usually takes at most: silence beyond it is worth acting
	// on.
	Patience([]rt.NodeID) time.Duration
	// Describe names a node for people.
	Describe(rt.NodeID) string
	// Learn fetches the layout that a node knows.
	Learn(context.Context, rt.NodeID) error
}

// Config is what a node's tables are made of.
type Config struct {
	Env      rt.Env
	Store    kv.Store
	Clock    *hlc.Clock
	Topology Topology
	Quorum   *quorum.Engine
	Endpoint *rpc.Endpoint
	Registry *Registry
	Group    *rt.Group // of the node
	// Jobs shows and steers the background work.
	Jobs *job.Book
	// Room says why the node can take no more data, by an error that wraps ErrFull; it must not wait. nil:
	// there is always room.
	Room func() error
	// Tombstones says when deletion markers go.
	Tombstones Tombstones
}

// Tables are the replicated rows of one node, and its way to those of others.
type Tables struct {
	env      rt.Env
	store    kv.Store
	clock    *hlc.Clock
	topology Topology
	quorum   *quorum.Engine
	endpoint *rpc.Endpoint
	registry *Registry
	group    *rt.Group
	fetchers map[string]Fetcher
	pruners  map[string]func(*Fetched)
	compares *rt.Semaphore
	room     func() error
	needs    func(context.Context, []byte) error
	ahead    *rt.Semaphore
	entropy  *entropy
	lease    *lease
	mender   *mender
	scrub    *scrub

	tombstones Tombstones
	floors     *floors
	collector  *collector
}

// New returns a node's tables and registers their methods with the endpoint.
func New(c Config) *Tables {
	t := &Tables{env: c.Env, clock: c.Clock, topology: c.Topology, quorum: c.Quorum,
		endpoint: c.Endpoint, registry: c.Registry, group: c.Group,
		room: c.Room, fetchers: map[string]Fetcher{}, pruners: map[string]func(*Fetched){},
		tombstones: c.Tombstones, floors: newFloors(c.Env),
		compares: rt.NewSemaphore(c.Env, comparesMax), ahead: rt.NewSemaphore(c.Env, aheadMax)}
	rpc.Handle(c.Endpoint, methodWrite, t.handleWrite)
	rpc.Handle(c.Endpoint, methodAhead, t.handleAhead)
	rpc.Handle(c.Endpoint, methodFetch, t.handleFetch)
	rpc.Handle(c.Endpoint, methodPage, t.handlePage)
	rpc.Handle(c.Endpoint, methodRanges, t.handleRanges)
	rpc.Handle(c.Endpoint, methodCompare, t.handleCompare)
	rpc.Handle(c.Endpoint, methodPull, t.handlePull)
	rpc.Handle(c.Endpoint, methodPush, t.handlePush)
	rpc.Handle(c.Endpoint, methodHint, t.handleHint)
	rpc.Handle(c.Endpoint, methodRow, t.handleRow)
	rpc.Handle(c.Endpoint, methodFloors, t.handleFloors)
	rpc.Handle(c.Endpoint, methodPromise, t.handlePromise)
	rpc.Handle(c.Endpoint, methodFloor, t.handleFloor)
	t.floors.slack = hlc.Stamp(0).Add(c.Tombstones.Keep / 2)
	t.entropy, t.lease, t.mender = newEntropy(t, c.Jobs), newLease(t), newMender(t, c.Jobs)
	t.scrub = newScrub(t, c.Jobs)
	t.store = watchedStore{c.Store, t.mender.found}
	if c.Tombstones.Keep > 0 {
		t.collector = newCollector(t, c.Jobs)
	}
	return t
}

// Start begins the background work: anti-entropy, the exchanges that the lease of full-copy rows needs, and
// the search for rows that cannot be read, and their repair.
func (t *Tables) Start() {
	t.group.Keep("anti-entropy", t.entropy.run)
	t.group.Keep("full-copy lease", t.lease.run)
	t.group.Keep(MendJob, t.mender.run)
	t.group.Keep(ScrubJob, t.scrub.run)
	if t.collector != nil {
		t.group.Keep(TombstoneJob, t.collector.run)
	}
}

// Local reads this node's own rows of a partition key, 0 round trips; f must not wait.
func (t *Tables) Local(pk []byte, f func(*Reader) error) error {
	return t.store.View(func(r kv.Reader) error { return f(newReader(r, pk)) })
}

// Apply merges rows that are known to be good, such as what a register decided, into this node's own,
// durably.
func (t *Tables) Apply(ctx context.Context, pk []byte, rows []Row) error {
	return t.store.Update(ctx, func(w kv.Writer) error { return t.ApplyIn(w, pk, rows) })
}

// ApplyIn merges a coordinator's unvoted rows into this node's own, inside a transaction of the caller's.
func (t *Tables) ApplyIn(w kv.Writer, pk []byte, rows []Row) error {
	tx := &Tx{Reader: *newReader(w, pk), w: w, registry: t.registry, stampMax: hlc.StampMax, room: t.room}
	_, err := tx.applyItem(rows)
	return err
}

// viewOf returns the live sets that a write goes to.
func (t *Tables) viewOf(w Write) (cluster.View, error) {
	if w.Full {
		return t.topology.FullView()
	}
	return t.view(w.PK)
}

// view returns the live sets of a partition key.
func (t *Tables) view(pk []byte) (cluster.View, error) {
	v, err := t.topology.View(layout.PrefixOf(pk))
	if err == nil && t.env.Mutant("quorum of one") {
		live := slices.Clone(v.Live)
		for i := range live {
			live[i].Write, live[i].Read = 1, 1
		}
		v.Live = live
	}
	return v, err
}
