package transition

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"granary/core/cluster"
	"granary/core/job"
	"granary/core/layout"
	"granary/core/register"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
)

const (
	// retryEvery is the mean pause between two attempts at what could not be done yet.
	retryEvery = 2 * time.Second
	// bytesPerSecond is the speed of the job at first.
	bytesPerSecond = 64 << 20
	// lostWait is how long a store that takes the place of a lost one waits before it takes anything over:
	// half as long again as the longest deadline, so that what counted an answer of the lost one is decided.
	lostWait = table.WriteTimeout * 3 / 2
	// dropMax is how many rows are dropped in one transaction, dropPause the rest between two.
	dropMax   = 256
	dropPause = 10 * time.Millisecond
	// dropEvery is the time after which what belongs to others is looked for again: what was on its way to
	// this node, as a replica of the version before, may come after the first look.
	dropEvery = 10 * time.Minute
)

// JobName is what the job of taking over is called.
const JobName = "layout"

// Blocks is what a transition needs to know of the node's blocks; a *block.Store is one.
type Blocks interface {
	// Awaited is how many blocks are not here that references in a range of prefixes name, and that some
	// replica may have.
	Awaited(first, last layout.Prefix) (int64, error)
}

// Config is what a Mover is made of. All fields are needed.
type Config struct {
	Env       rt.Env
	Cluster   *cluster.Cluster
	Tables    *table.Tables
	Registers *register.Registers
	Blocks    Blocks
	Endpoint  *rpc.Endpoint
	Group     *rt.Group // of the node
	Jobs      *job.Book
}

// Mover brings one node to where the layout wants it.
type Mover struct {
	Config
	job     *job.Job
	wake    rt.Waiter
	started time.Duration
	goal    cluster.Goal
	turns   map[layout.Partition]layout.Turn // of goal
	turnsOf uint64                           // version
	begun   time.Duration                    // when the newest version was heard of
	marked  mark                             // how far this node said that it is
	markAt  time.Duration                    // when it says that again
	dropped surplus                          // what was dropped
	dropAt  time.Duration                    // when it is looked for again
	lock    rt.Locker                        // of what follows
	taken   map[taking]bool                  // with the newest version fenced
	places  places
}

// mark is how far a node is in a change to a version.
type mark struct {
	version uint64
	turn    int
}

// surplus is in how many partitions this node has what a version gives to others: more and more of one
// version.
type surplus struct {
	version    uint64
	partitions int
}

// New returns a node's mover.
func New(c Config) *Mover {
	m := &Mover{Config: c, wake: c.Env.NewWaiter(), lock: c.Env.NewLock(), taken: map[taking]bool{},
		places: newPlaces(layout.TransfersPerNode),
		job:    c.Jobs.New(JobName, "parts of the keys taken over for the newest layout")}
	m.job.SetSpeed(bytesPerSecond)
	rpc.Handle(c.Endpoint, methodPlace, m.handlePlace)
	c.Cluster.OnChange(m.wake)
	return m
}

// Start begins to move.
func (m *Mover) Start() {
	m.started = m.Env.Now()
	m.Group.Go("layout", m.run)
}

func (m *Mover) run(ctx context.Context) error {
	for {
		goal, far := m.Cluster.Goal()
		var err error
		if far {
			err = rt.Guard(m.Env, "layout", func() error { return m.step(ctx, goal) })
			m.job.Hinder(err)
		} else {
			err = rt.Guard(m.Env, "layout", func() error { return m.drop(ctx) })
		}
		if err == nil {
			err = m.wake.ParkFor(ctx, dropEvery)
		} else {
			pause := retryEvery/2 + time.Duration(m.Env.Rand("transition").Int64N(int64(retryEvery)))
			err = m.wake.ParkFor(ctx, pause)
		}
		if err != nil && !errors.Is(err, rt.ErrTimeout) {
			return nil
		}
	}
}

// step does all that can be done towards a goal; an error is why it is not reached. Neither half waits for
// the other.
func (m *Mover) step(ctx context.Context, goal cluster.Goal) (err error) {
	if goal.Newest != m.goal.Newest { // another fence
		clear(m.taken)
		m.begun, m.markAt = m.Env.Now(), 0
	}
	m.goal = goal
	if goal.Carry {
		err = m.carry(ctx, goal.Newest)
	}
	if goal.Sync && ctx.Err() == nil {
		err = errors.Join(err, m.sync(ctx, goal))
	}
	return err
}

// sync takes over what the goal's version gives to this node.
func (m *Mover) sync(ctx context.Context, goal cluster.Goal) error {
	if s := m.shares(); len(s) > 0 && len(peersOf(s, m.Env.Self())) == 0 { // the only replica of everything
		return m.Cluster.MarkSynced(ctx, goal.Version)
	}
	if wait := m.started + lostWait - m.Env.Now(); goal.Lost && wait > 0 {
		m.Env.Sometimes("lost store waits before it syncs", true)
		if err := m.Env.Sleep(ctx, wait); err != nil {
			return err
		}
	}
	if err := m.takeOver(ctx); err != nil {
		return err
	}
	if err := errors.Join(m.markTurns(ctx), m.drop(ctx)); err != nil {
		return err
	}
	if err := m.missingBlocks(); err != nil {
		return err
	}
	m.Env.Info("this node holds all that the layout gives it", "version", goal.Version)
	m.Env.Sometimes("a lost store synced while a layout changed",
		goal.Lost && m.Cluster.Status().Before != nil)
	return m.Cluster.MarkSynced(ctx, goal.Version)
}

// carry has the registers decided among the voters of the new version too.
func (m *Mover) carry(ctx context.Context, version uint64) error {
	if err := m.Registers.Carry(ctx); err != nil {
		return fmt.Errorf("carry the registers to the new voters: %w", err)
	}
	return m.Cluster.MarkCarried(ctx, version)
}

// drop removes what belongs to other nodes, once nobody needs it here.
func (m *Mover) drop(ctx context.Context) error {
	version, ranges, partitions := m.Cluster.Surplus()
	found := surplus{version, partitions}
	again := found == m.dropped
	if partitions == 0 || again && m.Env.Now() < m.dropAt {
		return nil
	}
	total := 0
	for _, r := range ranges {
		n, err := m.dropRange(ctx, version, r)
		if err != nil {
			return err
		}
		total += n
	}
	m.Env.Sometimes("surplus rows dropped", total > 0)
	m.Env.Sometimes("surplus rows came late", total > 0 && again)
	m.dropped, m.dropAt = found, m.Env.Now()+dropEvery
	return nil
}

// dropRange drops a range in small transactions, with rests between them.
func (m *Mover) dropRange(ctx context.Context, version uint64, r cluster.Range) (total int, err error) {
	for {
		if err := m.job.Gate(ctx); err != nil {
			return total, err
		}
		n, err := m.Tables.DropSurplus(ctx, r.First, r.Last, version, dropMax)
		m.Env.Count("layout_dropped_rows_total", float64(n))
		if total += n; err != nil || n < dropMax {
			return total, err
		}
		if err := m.Env.Sleep(ctx, dropPause); err != nil {
			return total, err
		}
	}
}

// takeOver takes rows from as many replicas as each share needs.
func (m *Mover) takeOver(ctx context.Context) error {
	shares := m.shares()
	m.job.Begin(int64(len(shares)))
	if m.Env.Mutant("layout: taken over from nobody") {
		return nil
	}
	a := newAgenda(m.Env.Self(), shares, m.Cluster.Nearest(peersOf(shares, m.Env.Self())), m.taken)
	m.job.Add(int64(len(shares) - len(a.open)))
	err := m.whileMarking(ctx, func(ctx context.Context) error {
		return rt.Each(ctx, m.Env, "layout transfer", layout.TransfersPerNode, layout.TransfersPerNode,
			func(ctx context.Context, _ int) error { return m.transfers(ctx, a) })
	})
	if len(a.open) > 0 {
		left := fmt.Errorf("%d of %d parts of the keys are not taken over yet: %w", len(a.open), len(shares),
			cluster.ErrSyncing)
		return errors.Join(err, a.failures(), left)
	}
	return err
}

// transfers makes one transfer after the other, as long as there is one to make, or may be soon.
func (m *Mover) transfers(ctx context.Context, a *agenda) error {
	wake := m.Env.NewWaiter()
	m.lock.Lock()
	a.wakes = append(a.wakes, wake)
	m.lock.Unlock()
	for {
		if err := m.job.Gate(ctx); err != nil {
			return err
		}
		m.lock.Lock()
		peer, batch, idle := a.next(m.Env.Now())
		m.lock.Unlock()
		switch {
		case idle:
			return nil
		case len(batch) == 0:
			if err := wake.ParkFor(ctx, retryEvery); err != nil && !errors.Is(err, rt.ErrTimeout) {
				return err
			}
			continue
		}
		err := m.transfer(ctx, peer, batch)
		if err != nil {
			err = fmt.Errorf("take over from %s: %w", m.Cluster.Describe(peer), err)
		}
		m.lock.Lock()
		done := a.end(m.Env.Now(), peer, batch, err)
		m.lock.Unlock()
		m.job.Add(int64(done))
	}
}

// transfer takes shares over from one peer, of which all are members of sets of one version.
func (m *Mover) transfer(ctx context.Context, peer rt.NodeID, shares []share) error {
	at := &place{m: m, source: peer}
	if err := at.keep(ctx); err != nil {
		return err
	}
	defer at.leave()
	source := shares[0].as()
	source.Fenced = m.goal.Newest
	var spans []table.Span
	full := false
	for _, s := range shares {
		if full = full || s.full; s.full {
			spans = append(spans, m.Tables.FullSpans()...)
		} else {
			spans = append(spans, table.SpanOf(s.first, s.last))
		}
	}
	done, err := m.Tables.TakeOver(ctx, peer, spans, source, func(ctx context.Context, bytes int) error {
		if err := m.job.Pace(ctx, int64(bytes)); err != nil {
			return err
		}
		return at.keep(ctx)
	})
	m.Env.Count("layout_taken_bytes_total", float64(done.Bytes))
	m.Env.Count("layout_taken_rows_total", float64(done.Received))
	m.Env.Sometimes("rows taken over for a layout", done.Received > 0)
	if err == nil && m.goal.Lost && full {
		err = m.Registers.TakeOver(ctx, peer, source)
	}
	return err
}

// shares are the parts that this node has to hold in the version of its goal, in the order in which it
// takes them over: by turns, the tables of which every node has all first, and in a turn what moves here
// before what this node may have already. A store that takes the place of a lost one has to know its votes
// again before it is in sync with anything: those of the version that it begins with may be retired there.
func (m *Mover) shares() (all []share) {
	add := func(p part, v cluster.View, turn layout.Turn) {
		s, ok := m.goal.Share(m.Env.Self(), v)
		if ok || p.full && m.goal.Lost {
			all = append(all, share{p, s, v.Turn, turn})
		}
	}
	if v, err := m.Cluster.FullView(); err == nil {
		add(part{full: true}, v, layout.Turn{Wave: -1})
	}
	before, newest := m.Cluster.Change()
	m.schedule(before, newest)
	m.Cluster.EachView(func(first, last layout.Prefix, v cluster.View) {
		turn, moves := m.turns[layout.PartitionOf(first, newest.Params.Partitions)]
		if !moves {
			turn.Wave = math.MaxInt
		}
		add(part{first, last, false}, v, turn)
	})
	slices.SortStableFunc(all, share.earlier)
	return all
}

// schedule computes the turns of what moves here with the newest version, once.
func (m *Mover) schedule(before, newest *layout.Version) {
	if newest == nil || m.turnsOf == newest.Number {
		return
	}
	m.turns, m.turnsOf = nil, newest.Number
	if before != nil {
		m.turns = layout.Turns(before, newest, m.Env.Self())
	}
}

// peersOf are the nodes that shares can be taken from, once each.
func peersOf(shares []share, self rt.NodeID) (peers []rt.NodeID) {
	seen := map[rt.NodeID]bool{self: true}
	for _, s := range shares {
		for _, id := range s.Set.Nodes {
			if !seen[id] {
				seen[id] = true
				peers = append(peers, id)
			}
		}
	}
	return peers
}

// missingBlocks is an error while blocks are missing that the rows taken over name. Those that no replica has
// are not waited for: what they belong to may be an upload that was given up, whose references nobody frees
// before the change of the layout is over.
func (m *Mover) missingBlocks() error {
	var missing int64
	for _, s := range m.shares() {
		n, err := m.awaited(s)
		if err != nil {
			return err
		}
		missing += n
	}
	if missing > 0 {
		return fmt.Errorf("%d blocks are not here yet", missing)
	}
	return nil
}

// awaited is how many blocks of a share are not here yet.
func (m *Mover) awaited(s share) (int64, error) {
	if s.full || m.Env.Mutant("layout: in sync without blocks") {
		return 0, nil
	}
	return m.Blocks.Awaited(s.first, s.last)
}
