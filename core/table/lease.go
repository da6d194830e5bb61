package table

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"granary/core/cluster"
	"granary/core/codec"
	"granary/core/kv"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rt"
)

const (
	// LeaseFor is how long a node acts on its own full-copy rows after it had all that a read quorum of the
	// voters had: so what was acknowledged, a key's revocation say, holds everywhere after that.
	LeaseFor = 10 * time.Second
	// leasePatience is how long after the end of a lease, or after the start, a request waits for the next.
	leasePatience = 5 * time.Second
	// leaseRetry is how long a request that finds a lease over for longer waits for connections to voters.
	leaseRetry = 2 * time.Second
	// catchUpTimeout bounds the exchange with a voter that has other rows.
	catchUpTimeout = 4 * time.Second
	// catchUpTasks is with how many voters at once.
	catchUpTasks = 8
)

// lease is this node's leave to act on its own full-copy rows. It costs no messages: pings and their answers
// carry digests of the rows, and only a voter whose digest differs is exchanged rows with.
type lease struct {
	t       *Tables
	started time.Duration
	wake    rt.Waiter // of run: a voter differs

	lock    rt.Locker
	until   time.Duration
	asked   time.Duration               // when connections were last asked for
	agreed  map[rt.NodeID]time.Duration // when this node, or later, had all rows that a voter had then
	differs map[rt.NodeID]bool
	renewed *rt.Future[struct{}] // set when the lease is renewed; nil if nobody waits
}

func newLease(t *Tables) *lease {
	return &lease{t: t, started: t.env.Now(), wake: t.env.NewWaiter(), lock: t.env.NewLock(),
		agreed: map[rt.NodeID]time.Duration{}, differs: map[rt.NodeID]bool{}}
}

// pulse is what a node says of its full-copy rows.
type pulse struct {
	Newest uint64 `cbor:"1,keyasint"` // layout that it knows
	// Since and Synced are the first and the last layout with which its store is in sync; none if Synced is
	// 0.
	Since  uint64 `cbor:"4,keyasint"`
	Synced uint64 `cbor:"2,keyasint"`
	Rows   Digest `cbor:"3,keyasint"`
}

// holds reports whether its store holds all that was acknowledged in a layout.
func (p pulse) holds(version uint64) bool { return p.Since <= version && version <= p.Synced }

// pulse is that of this node.
func (t *Tables) pulse() (p pulse, err error) {
	err = t.store.View(func(r kv.Reader) error {
		p = pulse{Newest: math.MaxUint64, Synced: math.MaxUint64}
		if g, ok := cluster.ReadGuard(r); ok {
			p.Newest = g.Newest
			p.Since, p.Synced = g.FullSync()
		}
		c := t.scope(r)
		for _, at := range t.FullSpans() {
			p.Rows = p.Rows.add(c.Digest(at))
		}
		return nil
	})
	return p, err
}

// Pulse is what this node's pings say of its full-copy rows: the rpc.Hooks News.
func (t *Tables) Pulse() []byte {
	p, err := t.pulse()
	if err != nil {
		return nil
	}
	raw, err := codec.Marshal(p)
	if err != nil {
		rt.Break("a pulse cannot be encoded: %v", err)
	}
	return raw
}

// OnPulse takes in what a ping said of a peer's: the rpc.Hooks OnNews.
func (t *Tables) OnPulse(from rt.NodeID, raw []byte, asked time.Duration) {
	if asked == 0 {
		return // nobody knows how old it is
	}
	var theirs pulse
	view, err := t.topology.FullView()
	if err != nil || !slices.Contains(view.ReadSet().Nodes, from) || codec.Unmarshal(raw, &theirs) != nil {
		return
	}
	mine, err := t.pulse()
	if err != nil || !theirs.holds(view.ReadSet().Version) || theirs.Newest > mine.Newest {
		return // it may lack something, or be asked no more
	}
	if theirs.Rows != mine.Rows {
		t.lease.differ(from)
		return
	}
	t.lease.agree(from, asked, view.ReadSet(), mine)
}

// differ notes that a voter has other rows.
func (l *lease) differ(voter rt.NodeID) {
	l.lock.Lock()
	l.differs[voter] = true
	l.lock.Unlock()
	l.wake.Unpark()
}

// agree notes that this node has all rows that a voter of the set had at some time.
func (l *lease) agree(voter rt.NodeID, at time.Duration, set layout.Set, mine pulse) {
	now := l.t.env.Now()
	l.lock.Lock()
	l.agreed[voter] = max(l.agreed[voter], at)
	renewed := l.renew(set, mine, now)
	l.lock.Unlock()
	if renewed != nil {
		renewed.Set(struct{}{}, nil)
	}
}

// renew works out how long the lease lasts: from the newest time at which a read quorum of the voters had
// nothing that is not here. It returns what those wait for who wait for a lease; nil if there is none, or
// nobody waits. Under the lock.
func (l *lease) renew(set layout.Set, mine pulse, now time.Duration) (renewed *rt.Future[struct{}]) {
	at := func(id rt.NodeID) time.Duration {
		if id == l.t.env.Self() && mine.holds(set.Version) {
			return now
		}
		if at, ok := l.agreed[id]; ok {
			return at
		}
		return -1
	}
	for _, id := range set.Nodes {
		since := at(id)
		if since >= 0 && since+LeaseFor > l.until &&
			set.Reads(func(id rt.NodeID) bool { return at(id) >= since }) {
			l.until = since + LeaseFor
		}
	}
	if now < l.until {
		renewed, l.renewed = l.renewed, nil
	}
	return renewed
}

// Fresh returns when this node's full-copy rows have all that was acknowledged LeaseFor ago: at once while
// its lease lasts, which pings renew.
//
// Errors: quorum.ErrUnavailable if no read quorum of the voters can be compared with; those of ctx.
// Cost: nothing. When the lease has just ended, or the node just started, up to leasePatience; when it ended
// before, the voters are connected to, and have leaseRetry to be heard of.
func (t *Tables) Fresh(ctx context.Context) error {
	l := t.lease
	for asked := false; ; asked = true {
		renewed, left, err := l.wanted(t.env.Now(), asked)
		if renewed == nil {
			return err
		}
		t.env.Sometimes("full-copy lease was over", true)
		wait, cancel := t.env.WithTimeout(ctx, left)
		_, err = renewed.Get(wait)
		cancel()
		if err != nil && ctx.Err() != nil {
			return err
		}
	}
}

// wanted returns what to wait for, and how long: nil, without an error, while the lease lasts, and with one
// if it has been over for long and asking did not help.
func (l *lease) wanted(now time.Duration, asked bool) (renewed *rt.Future[struct{}], left time.Duration,
	err error) {
	l.lock.Lock()
	lasts := now < l.until || l.t.env.Mutant("full-copy lease: for ever")
	l.lock.Unlock()
	if lasts {
		return nil, 0, nil
	}
	view, err := l.t.topology.FullView()
	if err != nil {
		return nil, 0, err
	}
	mine, err := l.t.pulse()
	if err != nil {
		return nil, 0, err
	}
	l.lock.Lock()
	others := l.renew(view.ReadSet(), mine, now)
	if others != nil {
		defer others.Set(struct{}{}, nil) // after the lock
	}
	defer l.lock.Unlock()
	if now < l.until { // it is a voter, and enough by itself
		return nil, 0, nil
	}
	if left = max(l.until, l.started) + leasePatience - now; left <= 0 {
		if asked {
			return nil, 0, l.over(view.ReadSet())
		}
		l.ask(view.ReadSet(), now)
		left = l.asked + leaseRetry - now
	}
	if l.renewed == nil {
		l.renewed = rt.NewFuture[struct{}](l.t.env)
	}
	return l.renewed, left, nil
}

// ask begins to connect to the voters that there are no connections to, such as those that were away: pings
// go where there are some. Under the lock.
func (l *lease) ask(set layout.Set, now time.Duration) {
	if now < l.asked+leaseRetry {
		return
	}
	l.asked = now
	for _, id := range set.Nodes {
		l.t.endpoint.Warm(id)
	}
}

// over says which voters cannot be compared with. Under the lock.
func (l *lease) over(set layout.Set) error {
	l.t.quorum.Missed("lease")
	since := l.t.env.Now() - LeaseFor
	e := &quorum.Error{Op: "compare", Subject: "buckets and access keys with other nodes"}
	known := func(id rt.NodeID) bool {
		at, ok := l.agreed[id]
		return id == l.t.env.Self() || ok && at >= since
	}
	e.Lack(set.Reading(), known)
	for _, id := range set.Nodes {
		if !known(id) {
			e.Causes = append(e.Causes, quorum.Cause{Node: l.t.topology.Describe(id), Err: quorum.ErrSilent})
		}
	}
	return fmt.Errorf("what is known here may be out of date by more than %v: %w", LeaseFor, e)
}

// run exchanges rows with voters that have others, until the node stops.
func (l *lease) run(ctx context.Context) error {
	for {
		if err := l.wake.Park(ctx); err != nil {
			return nil
		}
		l.lock.Lock()
		voters := ordered(l.differs)
		clear(l.differs)
		l.lock.Unlock()
		_ = rt.Each(ctx, l.t.env, "catch up with a voter", catchUpTasks, len(voters),
			func(ctx context.Context, i int) error {
				err := l.catchUp(ctx, voters[i])
				if err != nil && ctx.Err() == nil {
					l.t.env.Debug("a voter's buckets and keys could not be compared", "voter",
						l.t.topology.Describe(voters[i]), "err", err)
				}
				return err
			})
	}
}

// catchUp makes this node have the full-copy rows of a voter.
func (l *lease) catchUp(ctx context.Context, voter rt.NodeID) error {
	ctx, cancel := l.t.env.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	view, err := l.t.topology.FullView()
	if err != nil {
		return err
	}
	start, set := l.t.env.Now(), view.ReadSet()
	source := cluster.Source{Fenced: view.Layout, Synced: set.Version, Turn: view.Turn}
	_, err = l.t.TakeOver(ctx, voter, l.t.FullSpans(), source,
		func(context.Context, int) error { return nil })
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w within %v", quorum.ErrSilent, catchUpTimeout)
	}
	if err != nil {
		return err
	}
	mine, err := l.t.pulse()
	if err == nil {
		l.agree(voter, start, set, mine)
	}
	return err
}
