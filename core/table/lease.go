package table

import (
	"context"
	"errors"
	"fmt"
	"time"

	"granary/core/kv"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
)

const (
	// LeaseFor is how long after a node began to compare its full-copy rows with a majority of the voters it
	// may still act on them: so what was acknowledged, a key's revocation say, holds everywhere after that.
	LeaseFor = 10 * time.Second
	// renewEvery is the mean time between two comparisons, and renewTimeout bounds one.
	renewEvery   = 4 * time.Second
	renewTimeout = 4 * time.Second
	// failedFor is how long a comparison that failed answers for others that want one.
	failedFor = time.Second
)

// lease is this node's leave to act on its own full-copy rows.
// Source: protocols.md, 20 and 22.
type lease struct {
	t     *Tables
	mutex *rt.Mutex // held while comparing

	lock   rt.Locker
	until  time.Duration
	failed error // what the last comparison ended with, until retry
	retry  time.Duration
}

func newLease(t *Tables) *lease {
	return &lease{t: t, mutex: rt.NewMutex(t.env), lock: t.env.NewLock()}
}

type freshRequest struct{}

// freshResponse is the digest of a voter's full-copy rows.
type freshResponse struct {
	Digest Digest `cbor:"1,keyasint"`
}

var methodFresh = rpc.NewMethod[freshRequest, freshResponse]("table.fresh", rpc.Meta)

func (t *Tables) handleFresh(context.Context, rt.NodeID, *freshRequest) (*freshResponse, error) {
	d, err := t.fullDigest()
	return &freshResponse{d}, err
}

// fullDigest is the digest of all full-copy rows here.
func (t *Tables) fullDigest() (d Digest, err error) {
	err = t.store.View(func(r kv.Reader) error {
		c := t.scope(r)
		for _, at := range t.FullSpans() {
			d = d.add(c.Digest(at))
		}
		return nil
	})
	return d, err
}

// Fresh returns when this node's full-copy rows have all that was acknowledged LeaseFor ago: at once while
// its lease lasts, which it renews in the background.
//
// Errors: *quorum.Error if the lease is over and no majority of the voters can be compared with.
// Cost: nothing, or one round.
func (t *Tables) Fresh(ctx context.Context) error {
	l := t.lease
	if done, err := l.known(); done {
		return err
	}
	if err := l.mutex.Lock(ctx); err != nil {
		return err
	}
	defer l.mutex.Unlock()
	if done, err := l.known(); done { // somebody else has just compared
		return err
	}
	t.env.Sometimes("full-copy lease was over", true)
	return l.renew(ctx)
}

// known reports whether there is nothing to compare: the lease lasts, or a comparison has just failed.
func (l *lease) known() (done bool, err error) {
	l.lock.Lock()
	defer l.lock.Unlock()
	now := l.t.env.Now()
	switch {
	case now < l.until || l.t.env.Mutant("full-copy lease: for ever"):
		return true, nil
	case now < l.retry:
		return true, l.failed
	}
	return false, nil
}

// keep renews the lease until the node stops.
func (l *lease) keep(ctx context.Context) error {
	env := l.t.env
	for {
		err := l.renewAlone(ctx)
		pause := renewEvery/2 + time.Duration(env.Rand("table/lease").Int64N(int64(renewEvery)))
		if err != nil {
			pause = failedFor
		}
		if env.Sleep(ctx, pause) != nil {
			return nil
		}
	}
}

func (l *lease) renewAlone(ctx context.Context) error {
	if err := l.mutex.Lock(ctx); err != nil {
		return err
	}
	defer l.mutex.Unlock()
	return l.renew(ctx)
}

// renew compares with a majority of the voters and pulls what differs. The caller holds the mutex.
func (l *lease) renew(ctx context.Context) error {
	ctx, cancel := l.t.env.WithTimeout(ctx, renewTimeout)
	defer cancel()
	start := l.t.env.Now()
	err := l.t.compareFull(ctx)
	l.lock.Lock()
	defer l.lock.Unlock()
	if err == nil {
		l.until = max(l.until, start+LeaseFor)
		return nil
	}
	if errors.Is(err, quorum.ErrUnavailable) && !errors.Is(ctx.Err(), context.Canceled) {
		l.failed, l.retry = err, l.t.env.Now()+failedFor
	}
	return err
}

// compareFull makes this node's full-copy rows those of a majority of the voters.
func (t *Tables) compareFull(ctx context.Context) error {
	view, err := t.topology.FullView()
	if err != nil {
		return err
	}
	view.Learners = nil
	round := quorum.Start(ctx, t.quorum, view.Targets(), 0, t.catchUp)
	defer round.Close()
	tally := quorum.NewTally(view, false)
	for {
		switch tally.Verdict(false) {
		case quorum.Acked:
			return nil
		case quorum.Exhausted:
			return t.unfresh(tally)
		}
		reply, err := round.Next(ctx, 0)
		if err != nil {
			return t.unfresh(tally)
		}
		answer := quorum.Answer{Vote: quorum.Stored}
		if reply.Err != nil {
			answer = quorum.Answer{Vote: quorum.Failed, Err: reply.Err}
		}
		tally.Add(reply.Node, answer)
	}
}

// catchUp makes this node have the full-copy rows of a voter. Differing rows go both ways.
func (t *Tables) catchUp(ctx context.Context, voter rt.NodeID) (struct{}, error) {
	if voter == t.env.Self() {
		return struct{}{}, nil
	}
	theirs, err := methodFresh.Call(ctx, t.endpoint, voter, &freshRequest{})
	if err != nil {
		return struct{}{}, err
	}
	mine, err := t.fullDigest()
	if err != nil || mine == theirs.Digest {
		return struct{}{}, err
	}
	_, err = t.exchangeSpans(ctx, voter, t.FullSpans(), func(context.Context, int) error { return nil })
	return struct{}{}, err
}

func (t *Tables) unfresh(tally *quorum.Tally) error {
	t.quorum.Missed("lease")
	e := tally.Missed("buckets and access keys", t.topology.Describe, false)
	e.Op, e.Unknown = "confirm", false
	return fmt.Errorf("what is known here may be out of date by more than %v: %w", LeaseFor, e)
}
