package transition

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"granary/core/cluster"
	"granary/core/layout"
	"granary/core/rt"
)

// partsMax is how many parts of the keys one transfer takes over.
const partsMax = 16

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

// share is a part that this node has to hold, from whom it is taken over, and when it is its turn.
type share struct {
	part
	cluster.Share
	turn int // in the change that is going on; 0 if none is
	layout.Turn
}

// earlier orders shares as they are taken over.
func (s share) earlier(o share) int {
	return cmp.Or(cmp.Compare(s.turn, o.turn), cmp.Compare(s.Wave, o.Wave))
}

// as says as what its source is asked.
func (s share) as() cluster.Source { return cluster.Source{Synced: s.Set.Version, Turn: s.turn} }

func (s share) key(peer rt.NodeID) taking { return taking{s.part, s.Set.Version, peer} }

// agenda is what a node has to take over, in the order in which it does that. It belongs to whoever has the
// lock.
type agenda struct {
	self rt.NodeID
	open []share // in order
	near []rt.NodeID
	// taken is what was taken over already, done says when that is enough for a share.
	taken  map[taking]bool
	done   func(share) bool
	going  map[part]bool      // parts that are being taken over
	busy   map[rt.NodeID]bool // sources that a transfer from goes on
	failed map[rt.NodeID]failure
	wakes  []rt.Waiter // of those that wait for the end of a transfer
}

// failure is why a source is not asked for a while.
type failure struct {
	err   error
	again time.Duration
}

// awayRest is how long a source is left alone that failed, if not because it was busy.
const awayRest = 30 * time.Second

// newAgenda is made of shares, in order; near are their sources, the nearest first.
func newAgenda(self rt.NodeID, shares []share, near []rt.NodeID, taken map[taking]bool) *agenda {
	a := &agenda{self: self, near: near, taken: taken, going: map[part]bool{}, busy: map[rt.NodeID]bool{},
		failed: map[rt.NodeID]failure{}}
	a.done = func(s share) bool {
		return s.Done(func(peer rt.NodeID) bool { return taken[s.key(peer)] })
	}
	a.open = slices.Clone(shares)
	a.tidy()
	return a
}

// tidy forgets the shares that were taken over from enough sources, and returns how many.
func (a *agenda) tidy() int {
	before := len(a.open)
	a.open = slices.DeleteFunc(a.open, a.done)
	return before - len(a.open)
}

// next begins a transfer: the first shares that one source can give now. There are none if nobody can be
// asked for anything; idle says that this will not change, since no transfer goes on.
func (a *agenda) next(now time.Duration) (peer rt.NodeID, batch []share, idle bool) {
	for _, s := range a.open {
		if a.going[s.part] || len(batch) > 0 && s.as() != batch[0].as() {
			continue
		}
		from := a.source(s, now)
		if from.IsZero() || len(batch) > 0 && from != peer {
			continue
		}
		peer, batch = from, append(batch, s)
		if len(batch) == partsMax {
			break
		}
	}
	for _, s := range batch {
		a.going[s.part] = true
		a.busy[peer] = true
	}
	return peer, batch, len(a.busy) == 0
}

// source is who is asked for a share next: whose turn it is, or the nearest of those that can be asked.
func (a *agenda) source(s share, now time.Duration) rt.NodeID {
	can := func(id rt.NodeID) bool {
		return id != a.self && !a.busy[id] && a.failed[id].again <= now && !a.taken[s.key(id)] &&
			slices.Contains(s.Set.Nodes, id)
	}
	if can(s.From) {
		return s.From
	}
	if i := slices.IndexFunc(a.near, can); i >= 0 {
		return a.near[i]
	}
	return rt.NodeID{}
}

// end ends a transfer and returns how many shares are done by it. A source that failed is left alone for a
// while.
func (a *agenda) end(now time.Duration, peer rt.NodeID, batch []share, err error) int {
	delete(a.busy, peer)
	for _, s := range batch {
		delete(a.going, s.part)
		if err == nil {
			a.taken[s.key(peer)] = true
		}
	}
	switch {
	case errors.Is(err, ErrBusy):
		a.failed[peer] = failure{err, now + retryEvery}
	case err != nil:
		a.failed[peer] = failure{err, now + awayRest}
	default:
		delete(a.failed, peer)
	}
	for _, w := range a.wakes {
		w.Unpark()
	}
	return a.tidy()
}

// failures are what went wrong, in the order of sources.
func (a *agenda) failures() error {
	var fails []error
	for _, id := range a.near {
		fails = append(fails, a.failed[id].err)
	}
	return errors.Join(fails...)
}
