package block

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"granary/core/cluster"
	"granary/core/job"
	"granary/core/kv"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
)

const (
	// putTimeout bounds the sending of one block to one replica.
	putTimeout = 60 * time.Second
)

// Topology is what blocks need to know of the cluster.
type Topology interface {
	View(layout.Prefix) (cluster.View, error)
	// EachView calls f for every partition, in order, with its first and last prefix.
	EachView(f func(first, last layout.Prefix, v cluster.View))
	Nearest([]rt.NodeID) []rt.NodeID
	Patience([]rt.NodeID) time.Duration
	SameZone(rt.NodeID) bool
	Describe(rt.NodeID) string
	// Holders are the members that may have blocks, of whatever layout: all that were not given up.
	Holders() []rt.NodeID
	Learn(context.Context, rt.NodeID) error
}

// Config is what a node's block store is made of. All fields are needed but for Jobs,
// RemoveDelay and Compress.
type Config struct {
	Env      rt.Env
	KV       kv.Store
	Disk     Disk
	Tables   *table.Tables
	Rows     *Rows
	Topology Topology
	Quorum   *quorum.Engine
	Endpoint *rpc.Endpoint
	Group    *rt.Group // of the node
	// Jobs shows and steers the background work; nil: nobody asks.
	Jobs *job.Book
	// RemoveDelay is how long a block stays after its last reference has gone: who uploads the same again
	// finds it. 0: ten minutes.
	RemoveDelay time.Duration
	// Compress turns compression of blocks on, for those that it makes smaller.
	Compress bool
}

// Store is one node's blocks, and its way to those of others. Safe for concurrent use.
type Store struct {
	env      rt.Env
	kv       kv.Store
	disk     Disk
	tables   *table.Tables
	rows     *Rows
	topology Topology
	quorum   *quorum.Engine
	endpoint *rpc.Endpoint
	group    *rt.Group
	former   *former
	writing  *pool // of uploads that this node coordinates
	reading  *pool // of downloads
	inbound  *pool // blocks that arrive here to stay
	serving  *pool // blocks on their way to other nodes
	checking *pool // stored blocks being verified
	healing  *pool // blocks that resync fetches
	helping  *pool // blocks on their way to other nodes' resync
	resync   *resync
	removal  *removal
	scrub    *scrub

	removeDelay time.Duration

	lock   rt.Locker
	hashes map[Hash]*hashLock

	arrivals map[Hash]*arrivals // under lock
	awaited  *rt.Semaphore

	transfers map[transferID]*transfer
	loans     map[transferID]*loan
	sources   map[rt.NodeID]*source
	leaving   map[rt.NodeID]int // bytes of blocks on their way to nodes
}

type putRequest struct {
	Hash Hash         `cbor:"1,keyasint"`
	Ref  table.Row    `cbor:"2,keyasint"`
	Plan cluster.Plan `cbor:"3,keyasint,omitzero"`
}

type putResponse struct{}

type getRequest struct {
	Hash Hash `cbor:"1,keyasint"`
	// Heal says that no client waits for the block.
	Heal bool `cbor:"2,keyasint,omitempty"`
}

type getResponse struct{}

var (
	methodPut   = rpc.NewMethod[putRequest, putResponse]("block.put", rpc.Bulk)
	methodRefer = rpc.NewMethod[putRequest, putResponse]("block.refer", rpc.Meta)
	methodGet   = rpc.NewMethod[getRequest, getResponse]("block.get", rpc.Bulk)
)

// New returns a node's block store and registers its methods with the endpoint.
func New(c Config) *Store {
	s := &Store{env: c.Env, kv: c.KV, disk: c.Disk, tables: c.Tables, rows: c.Rows, topology: c.Topology,
		quorum: c.Quorum, endpoint: c.Endpoint, former: newFormer(c.Env, c.Compress),
		writing: newPool(c.Env, "writing", writingMax), reading: newPool(c.Env, "reading", readingMax),
		inbound: newPool(c.Env, "inbound", inboundMax), serving: newPool(c.Env, "serving", servingMax),
		checking: newPool(c.Env, "checking",
			checkingMax), healing: newPool(c.Env, "healing", resyncTasks),
		helping: newPool(c.Env, "helping", helpingMax), lock: c.Env.NewLock(), hashes: map[Hash]*hashLock{},
		transfers: map[transferID]*transfer{}, loans: map[transferID]*loan{}, group: c.Group,
		sources: map[rt.NodeID]*source{}, leaving: map[rt.NodeID]int{}, arrivals: map[Hash]*arrivals{},
		awaited: rt.NewSemaphore(c.Env, heldMax)}
	rpc.HandleBody(c.Endpoint, methodPut, s.handlePut)
	rpc.HandleBody(c.Endpoint, methodGet, s.handleGet)
	rpc.Handle(c.Endpoint, methodPiece, s.handlePiece)
	rpc.Handle(c.Endpoint, methodLend, s.handleLend)
	rpc.Handle(c.Endpoint, methodRefer, s.handleRefer)
	rpc.Handle(c.Endpoint, methodHave, s.handleHave)
	rpc.Handle(c.Endpoint, methodRelease, s.handleRelease)
	rpc.Handle(c.Endpoint, methodHeld, s.handleHeld)
	c.Tables.Needs(s.met)
	rpc.Handle(c.Endpoint, methodSeek, s.handleSeek)
	rpc.Handle(c.Endpoint, methodGiveUp, s.handleGiveUp)
	if c.Jobs == nil {
		c.Jobs = job.NewBook(c.Env)
	}
	if s.removeDelay = c.RemoveDelay; s.removeDelay == 0 {
		s.removeDelay = removeDelay
	}
	s.resync, s.removal = newResync(s, c.Jobs), newRemoval(s, c.Jobs)
	s.scrub = newScrub(s, c.Jobs)
	c.Rows.store = s
	return s
}

// Prepare takes over the queues that an earlier life of the node has left. It is called once, before
// anything else.
//
// Errors: those of the store. Cost: a scan of the queues.
func (s *Store) Prepare() error {
	missing, err := s.countKeys(keyWanted, behind(keyWanted), nil)
	if err != nil {
		return err
	}
	unwanted, err := s.countKeys(keyUnwanted, behind(keyUnwanted), nil)
	if err != nil {
		return err
	}
	s.resync.found(missing)
	s.removal.found(unwanted)
	return s.scrub.load()
}

// Start begins the background work: fetching what is missing, removing what nobody refers to, and
// looking after the disks.
func (s *Store) Start() {
	s.group.Go(ResyncJob, s.resync.run)
	s.group.Go(RemovalJob, s.removal.run)
	s.group.Go(ScrubJob, s.scrub.run)
}

// Buffer waits for the memory of one block to be written.
//
// Errors: rpc.ErrOverloaded when there is none for long, that of ctx.
func (s *Store) Buffer(ctx context.Context) (*Buffer, error) { return s.writing.take(ctx) }

// Ahead is how many blocks one download may hold besides the one it is delivering: fewer when memory for
// reading is short, so that those whose clients stall do not starve the others.
func (s *Store) Ahead() int {
	switch used := s.reading.limit.InUse(); {
	case used < readingMax/4:
		return readingMax / 4
	case used < readingMax/2:
		return readingMax / 16
	case used < readingMax*3/4:
		return 1
	}
	return 0
}

// Put stores a block and its reference on the replicas of its hash; it returns at a write quorum, and the
// rest goes on. It takes over the content of buf, not the caller's hold on it: Data is undefined afterwards.
// pending, if not nil, is told once the block lacks only one copy, a far one.
//
// Errors: *quorum.Error, never of an unknown outcome, since nothing refers to the block yet; through it the
// replicas' own, ErrDiskFull and ErrGivenUp among them.
func (s *Store) Put(ctx context.Context, h Hash, buf *Buffer, ref Ref, pending func(Pending)) error {
	row, err := s.rows.row(ref)
	if err != nil {
		return err
	}
	raw, err := s.former.form(ctx, buf)
	if err != nil {
		return err
	}
	return s.spread(ctx, &spreading{hash: h, owner: ref.Owner, row: row, raw: raw, held: buf,
		pending: pending})
}

// Refer adds a reference to a block that replicas hold already, without sending it. If too few of them hold
// it, all are sent it from one that does.
//
// Errors: as Put and Get.
func (s *Store) Refer(ctx context.Context, h Hash, ref Ref) error {
	row, err := s.rows.row(ref)
	if err != nil {
		return err
	}
	err = s.spread(ctx, &spreading{hash: h, owner: ref.Owner, row: row})
	if !errors.Is(err, ErrNeedBody) {
		return err
	}
	s.env.Sometimes("reference needed a body", true)
	buf, err := s.Get(ctx, h, SizeMax)
	if err != nil {
		return err
	}
	defer buf.Release()
	return s.Put(ctx, h, buf, ref, nil)
}

// spreading brings a reference, with its block or without, to every replica of the block in all live sets.
type spreading struct {
	hash  Hash
	owner Owner
	row   table.Row // the reference
	// raw is the stored form of the block, in the memory of held, which is kept while a call runs; both are
	// nil if the reference goes alone.
	raw  []byte
	held *Buffer
	// pending, if not nil, is told once the block lacks only one copy, a far one.
	pending func(Pending)
}

// bytes is the size of each call.
func (c *spreading) bytes() int64 {
	if c.held == nil {
		return int64(len(c.row.Value))
	}
	return int64(len(c.raw))
}

// spread calls all and returns when each set has its write quorum.
func (s *Store) spread(ctx context.Context, c *spreading) error {
	view := func() (cluster.View, error) { return s.topology.View(layout.PrefixOf(c.hash[:])) }
	return quorum.Planned(ctx, s.env, s.topology, view, func(v cluster.View) ([]quorum.Failure, error) {
		return s.spreadTo(ctx, c, v)
	})
}

func (s *Store) spreadTo(ctx context.Context, c *spreading, view cluster.View) ([]quorum.Failure, error) {
	targets := s.topology.Nearest(view.Targets())
	if c.held != nil {
		for range targets {
			c.held.Retain()
		}
	}
	round := quorum.Start(s.env.Background(), s.quorum, targets, 0,
		func(ctx context.Context, to rt.NodeID) (struct{}, error) {
			ctx, cancel := s.env.WithTimeout(ctx, putTimeout)
			defer cancel()
			if c.held == nil {
				return struct{}{}, s.referAt(ctx, c, to, view.Plan())
			}
			defer c.held.Release()
			if err := s.giveWay(ctx, view, targets, to); err != nil {
				return struct{}{}, err
			}
			return struct{}{}, s.keepAt(ctx, c, to, view.Plan())
		})
	tally := quorum.NewTally(view, false)
	err := gather(ctx, round, func() { s.watch(c, view, tally) }, tally)
	if err == nil && tally.Verdict(false) == quorum.Acked {
		round.Detach(c.bytes())
		if c.held != nil {
			c.held.lag(round.Close)
		}
		return nil, nil
	}
	round.Close()
	return tally.Failures(), s.missed(c.hash, tally, err)
}

// keepAt stores block and reference at one replica.
func (s *Store) keepAt(ctx context.Context, c *spreading, to rt.NodeID, p cluster.Plan) error {
	if to == s.env.Self() {
		return s.keep(ctx, c.hash, c.raw, c.row, p)
	}
	return s.send(ctx, to, c.hash, c.raw, c.row, p)
}

// referAt stores the reference at one replica that has the block.
func (s *Store) referAt(ctx context.Context, c *spreading, to rt.NodeID, p cluster.Plan) error {
	if to == s.env.Self() {
		return s.refer(ctx, c.hash, c.row, p)
	}
	_, err := methodRefer.Call(ctx, s.endpoint, to, &putRequest{Hash: c.hash, Ref: c.row, Plan: p})
	return err
}

// watch tells of a block that has become pending.
func (s *Store) watch(c *spreading, view cluster.View, tally *quorum.Tally) {
	if c.pending == nil {
		return
	}
	if p, ok := s.pendingOf(c.hash, c.owner, view, tally); ok {
		c.pending(p)
	}
}

// giveWay lets the copies that make the write quorum go first, if this one is for a far replica beyond it: on
// the line that they share, all of them together would arrive when the last one does.
func (s *Store) giveWay(ctx context.Context, view cluster.View, targets []rt.NodeID, to rt.NodeID) error {
	if len(view.Live) > 1 || slices.Index(targets, to) < view.Live[0].Write || !s.far(to) {
		return nil
	}
	return s.env.Sleep(ctx, blockTime)
}

// gather counts replies until they decide all tallies, or ctx ends. It calls watch, if that is not nil,
// before it waits.
func gather(ctx context.Context, round *quorum.Round[struct{}], watch func(),
	tallies ...*quorum.Tally) error {
	for slices.ContainsFunc(tallies, waiting) {
		if watch != nil {
			watch()
		}
		reply, err := round.Next(ctx, 0)
		if err != nil {
			return err
		}
		answer := quorum.Answer{Vote: quorum.Stored}
		if reply.Err != nil {
			answer = quorum.Answer{Vote: quorum.Failed, Err: reply.Err}
		}
		for _, tally := range tallies {
			tally.Add(reply.Node, answer)
		}
	}
	return nil
}

func waiting(t *quorum.Tally) bool { return t.Verdict(false) == quorum.Waiting }

// missed explains a write quorum that was not reached; own is why this node stopped waiting, if it did. The
// outcome is never called unknown: nothing depends yet on a block that was not acknowledged, and a release is
// repeated.
func (s *Store) missed(h Hash, tally *quorum.Tally, own error) error {
	s.quorum.Missed("write")
	e := tally.Missed(fmt.Sprintf("block %v", h), s.topology.Describe, false)
	e.Unknown = false
	if own != nil {
		e.Causes = append(e.Causes, quorum.Cause{Node: "this node", Err: own})
	}
	return e
}

// Near reports whether this node or another of its zone should hold h, so that reading it costs no round
// trip.
func (s *Store) Near(h Hash) bool {
	view, err := s.topology.View(layout.PrefixOf(h[:]))
	return err == nil && slices.ContainsFunc(view.Targets(), s.topology.SameZone)
}

// BuffersUsed is how many buffers of all kinds are in use.
func (s *Store) BuffersUsed() (n int64) {
	for _, p := range []*pool{s.writing, s.reading, s.inbound, s.serving, s.checking, s.healing,
		s.helping} {
		n += p.limit.InUse()
	}
	return n
}
