package transition

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"granary/core/cluster"
	"granary/core/job"
	"granary/core/layout"
	"granary/core/register"
	"granary/core/rt"
	"granary/core/table"
)

const (
	// retryEvery is the mean pause between two attempts at what could not be done yet.
	retryEvery = 2 * time.Second
	// bytesPerSecond bounds what is taken over, in the mean.
	bytesPerSecond = 64 << 20
	// lostWait is how long a store that takes the place of a lost one waits before it takes anything over:
	// half as long again as the longest deadline, so that what counted an answer of the lost one is decided.
	lostWait = table.WriteTimeout * 3 / 2
	// partsMax is how many parts of the keys one exchange takes over.
	partsMax = 16
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
	taken   map[taking]bool // with the newest version fenced
	dropped uint64          // version whose surplus was dropped
	dropAt  time.Duration   // when it is looked for again
}

// taking names a part of the keys that was taken over from a peer, as a member of a version's set.
type taking struct {
	part
	set  uint64
	peer rt.NodeID
}

// part is a range of prefixes, or the full-copy tables.
type part struct {
	first, last layout.Prefix
	full        bool
}

// share is a part that this node has to hold, and from whom it is taken over.
type share struct {
	part
	cluster.Share
}

// New returns a node's mover.
func New(c Config) *Mover {
	m := &Mover{Config: c, wake: c.Env.NewWaiter(), taken: map[taking]bool{},
		job: c.Jobs.New(JobName, "parts of the keys taken over for the newest layout")}
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
		m.taken = map[taking]bool{}
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
	version, surplus := m.Cluster.Surplus()
	if version == 0 || version == m.dropped && m.Env.Now() < m.dropAt {
		return nil
	}
	total := 0
	for _, r := range surplus {
		n, err := m.dropRange(ctx, version, r)
		if err != nil {
			return err
		}
		total += n
	}
	m.Env.Sometimes("surplus rows dropped", total > 0)
	m.Env.Sometimes("surplus rows came late", total > 0 && version == m.dropped)
	m.dropped, m.dropAt = version, m.Env.Now()+dropEvery
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
	m.job.Add(int64(len(shares) - len(m.wanting(shares))))
	var fails []error
	for _, peer := range m.Cluster.Nearest(peersOf(shares, m.Env.Self())) {
		for from := m.from(peer, shares); len(from) > 0; from = m.from(peer, shares) {
			before := len(m.wanting(shares))
			if err := m.takeFrom(ctx, peer, from[:min(len(from), partsMax)]); err != nil {
				fails = append(fails, fmt.Errorf("take over from %s: %w", m.Cluster.Describe(peer), err))
				break
			}
			m.job.Add(int64(before - len(m.wanting(shares))))
		}
	}
	if left := m.wanting(shares); len(left) > 0 {
		return errors.Join(append(fails, fmt.Errorf("%d of %d parts of the keys are not taken over yet: %w",
			len(left), len(shares), cluster.ErrSyncing))...)
	}
	return nil
}

// takeFrom takes shares over from one peer.
func (m *Mover) takeFrom(ctx context.Context, peer rt.NodeID, shares []share) error {
	source := cluster.Source{Fenced: m.goal.Newest, Synced: shares[0].Set.Version}
	var spans []table.Span
	for _, s := range shares {
		if s.full {
			spans = append(spans, m.Tables.FullSpans()...)
		} else {
			spans = append(spans, table.SpanOf(s.first, s.last))
		}
	}
	done, err := m.Tables.TakeOver(ctx, peer, spans, source, func(ctx context.Context, bytes int) error {
		if err := m.Env.Sleep(ctx, time.Duration(bytes)*time.Second/bytesPerSecond); err != nil {
			return err
		}
		return m.job.Gate(ctx)
	})
	m.Env.Count("layout_taken_bytes_total", float64(done.Bytes))
	m.Env.Count("layout_taken_rows_total", float64(done.Received))
	m.Env.Sometimes("rows taken over for a layout", done.Received > 0)
	if err == nil && m.goal.Lost && shares[0].full {
		err = m.Registers.TakeOver(ctx, peer, source)
	}
	if err != nil {
		return err
	}
	for _, s := range shares {
		m.taken[taking{s.part, s.Set.Version, peer}] = true
	}
	return nil
}

// shares are the parts that this node has to hold in the version of its goal.
func (m *Mover) shares() (all []share) {
	add := func(p part, v cluster.View) {
		if s, ok := m.goal.Share(m.Env.Self(), v); ok {
			all = append(all, share{p, s})
		}
	}
	if v, err := m.Cluster.FullView(); err == nil {
		add(part{full: true}, v)
	}
	m.Cluster.EachView(func(first, last layout.Prefix, v cluster.View) { add(part{first, last, false}, v) })
	return all
}

// took reports whether a share was taken from a peer.
func (m *Mover) took(s share, peer rt.NodeID) bool {
	return m.taken[taking{s.part, s.Set.Version, peer}]
}

// wanting are the shares that were not taken from enough peers.
func (m *Mover) wanting(shares []share) (left []share) {
	for _, s := range shares {
		done := s.Done(func(peer rt.NodeID) bool { return m.took(s, peer) })
		if !done && !m.Env.Mutant("layout: taken over from nobody") {
			left = append(left, s)
		}
	}
	return left
}

// from are the shares that wait for a peer, as members of one set: those of the first one's version.
func (m *Mover) from(peer rt.NodeID, shares []share) (list []share) {
	for _, s := range m.wanting(shares) {
		if slices.Contains(s.Set.Nodes, peer) && !m.took(s, peer) &&
			(len(list) == 0 || list[0].Set.Version == s.Set.Version) {
			list = append(list, s)
		}
	}
	return list
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
		if s.full {
			continue
		}
		n, err := m.Blocks.Awaited(s.first, s.last)
		if err != nil {
			return err
		}
		missing += n
	}
	if missing > 0 && !m.Env.Mutant("layout: in sync without blocks") {
		return fmt.Errorf("%d blocks are not here yet", missing)
	}
	return nil
}
