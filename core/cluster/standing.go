package cluster

import (
	"bytes"
	"cmp"
	"slices"

	"granary/core/layout"
	"granary/core/rt"
)

// standing is what one node has done for the layouts, by version number. Only the node itself adds to it.
type standing struct {
	// Life counts the stores that the node has had, Store is the id of the present one.
	Life  uint64 `cbor:"1,keyasint,omitempty"`
	Store []byte `cbor:"2,keyasint,omitempty"`
	// Synced says that the present store holds everything that version Synced wants of the node, of what was
	// ever acknowledged.
	Synced uint64 `cbor:"3,keyasint,omitempty"`
	// Since is the first of the versions, one after the other up to Synced, of which the present store can
	// say that. What an earlier one gave the node need not be in it.
	Since uint64 `cbor:"7,keyasint,omitempty"`
	// Partly says how much the present store holds of what a newer version wants of the node.
	Partly stretch `cbor:"8,keyasint,omitzero"`
	// Carried says that every register that the node had accepted, as a voter of the version before, is
	// decided among the voters of version Carried too.
	Carried uint64 `cbor:"4,keyasint,omitempty"`
	// Closed says that the node refuses whatever is anchored in a set older than version Closed.
	Closed uint64 `cbor:"5,keyasint,omitempty"`
	// Closing says of which parts the node refuses already what is anchored before a newer version.
	Closing stretch `cbor:"9,keyasint,omitzero"`
	// Lost says, by an operator's word, that the node will not come back: sets do without it.
	Lost bool `cbor:"6,keyasint,omitempty"`
}

// stretch is what a node has gone through of a change to a version: the turns up to Turn.
type stretch struct {
	Version uint64 `cbor:"1,keyasint"`
	Turn    int    `cbor:"2,keyasint"`
}

func (s stretch) compare(o stretch) int {
	return cmp.Or(cmp.Compare(s.Version, o.Version), cmp.Compare(s.Turn, o.Turn))
}

// covers reports whether a turn of the change to a version is in the stretch.
func (s stretch) covers(version uint64, turn int) bool {
	return s.Version == version && 0 < turn && turn <= s.Turn
}

// join is a least upper bound. What a store had synced dies with it; what the node promised does not, since a
// store that takes its place keeps the promise before it serves anything.
func (s standing) join(o standing) standing {
	j := s
	if cmp.Or(cmp.Compare(s.Life, o.Life), bytes.Compare(s.Store, o.Store),
		cmp.Compare(s.Synced, o.Synced), cmp.Compare(s.Since, o.Since), s.Partly.compare(o.Partly)) < 0 {
		j.Life, j.Store, j.Synced, j.Since, j.Partly = o.Life, o.Store, o.Synced, o.Since, o.Partly
	}
	if o.Closing.compare(s.Closing) > 0 {
		j.Closing = o.Closing
	}
	j.Carried, j.Closed = max(s.Carried, o.Carried), max(s.Closed, o.Closed)
	j.Lost = s.Lost || o.Lost
	return j
}

// inSync is the standing of a node whose store has come to hold what a version gives it.
func (s standing) inSync(version uint64) standing {
	since := s.Since
	if s.Synced+1 < version {
		since = version
	}
	return standing{Life: s.Life, Store: s.Store, Synced: version, Since: since}
}

// holds reports whether the store holds all that was acknowledged to a version's sets with this node, in
// parts with a turn.
func (s standing) holds(version uint64, turn int) bool {
	return s.Since <= version && version <= s.Synced || s.Partly.covers(version, turn)
}

// synced reports whether the store holds what a version wants of the node in parts with a turn.
func (s standing) synced(version uint64, turn int) bool {
	return s.Synced >= version || s.Partly.covers(version, turn)
}

// closed reports whether the node refuses what is anchored before a version in parts with a turn.
func (s standing) closed(version uint64, turn int) bool {
	return s.Closed >= version || s.Closing.covers(version, turn)
}

// standing is that of a node.
func (d document) standing(id rt.NodeID) standing {
	m, _ := d.Members.Get(id)
	return m.Standing
}

// stand is a document that adds to the standing of a node.
func stand(id rt.NodeID, s standing) document {
	return document{Members: members{}.With(id, membership{Standing: s})}
}

// stands says of which nodes' standings has is true.
func (d document) stands(has func(standing) bool) func(rt.NodeID) bool {
	return func(id rt.NodeID) bool { return has(d.standing(id)) }
}

// closing is up to which turn of the change to the newest version some node has closed what is before it. It
// found all sets readable there.
func (d document) closing() (turn int) {
	for _, m := range d.Members.All() {
		switch s := m.Standing; {
		case s.Closed >= d.number():
			return layout.LastTurn
		case s.Closing.Version == d.number():
			turn = max(turn, s.Closing.Turn)
		}
	}
	return turn
}

// readable reports whether reads may ask a set of the newest version, of a part with a turn: a write quorum
// of it holds all that was acknowledged.
func (d document) readable(set layout.Set, turn int) bool {
	return set.Writes(d.stands(func(s standing) bool { return s.synced(set.Version, turn) }))
}

// whole reports whether all nodes of a set of the newest version hold all that was acknowledged: it does
// without as many of them as the set before.
func (d document) whole(set layout.Set, turn int) bool {
	lacks := d.stands(func(s standing) bool { return !s.synced(set.Version, turn) })
	return !slices.ContainsFunc(set.Nodes, lacks)
}

// retired reports whether no coordinator can make a read or write quorum any more of a set of the version
// before, of a part with a turn, which one that knows nothing newer would need: what has not closed is no
// read quorum.
func (d document) retired(set layout.Set, j uint64, turn int) bool {
	return !set.Reads(d.stands(func(s standing) bool { return !s.closed(j, turn) }))
}

// beforeLives reports whether the version before the newest is live.
func (d document) beforeLives() bool { return d.Before != nil && d.Settled < d.number() }

// lives reports whether a version is live.
func (d document) lives(version uint64) bool {
	return d.number() == version || d.beforeLives() && d.Before.Number == version
}

// fullSet is the set of the full-copy tables and the registers in a version.
func (d document) fullSet(v *layout.Version) layout.Set { return d.withoutLost(v.Voters()) }

// setOf is the set of a prefix in a version.
func (d document) setOf(v *layout.Version, x layout.Prefix) layout.Set {
	return d.withoutLost(v.Set(x))
}

// withoutLost leaves the lost nodes out of a set. What they alone knew is lost; what others hold of it is
// not, so quorums need as many nodes as before, where so many are left: two quorums always meet.
func (d document) withoutLost(s layout.Set) layout.Set {
	return s.Without(d.stands(func(s standing) bool { return s.Lost }))
}

// settle notes that the version before is retired, once it is in every partition.
func (d document) settle(v *derived) document {
	if d.Layout == nil || d.Settled >= d.number() {
		return d
	}
	if d.Before != nil {
		for _, view := range v.parts() {
			if len(view.Live) > 1 {
				return d
			}
		}
	}
	d.Settled = d.number()
	return d
}

// closable returns up to which turn a node may refuse what is anchored in the version before: all sets of
// the newest are readable there, every register that can have been decided without its voters has been
// carried to them, and nobody is waited for whose set would lack a copy until he is in sync. all says that
// this is so of all parts. 0 is of none, or of none that it does not refuse yet.
func (d document) closable(v *derived, self rt.NodeID, awaited func(rt.NodeID) bool) (turn int, all bool) {
	if !d.beforeLives() || d.standing(self).Closed >= d.number() {
		return 0, false
	}
	before, j := d.fullSet(d.Before), d.number()
	if !slices.Contains(before.Nodes, self) ||
		!before.Reads(d.stands(func(s standing) bool { return s.Carried >= j })) {
		return 0, false
	}
	first := layout.LastTurn + 1 // that is not ready
	for _, view := range v.parts() {
		if v.closing < view.Turn && view.Turn < first && !d.ready(view, awaited) {
			first = view.Turn
		}
	}
	if turn = first - 1; d.standing(self).closed(j, turn) {
		turn = 0
	}
	return turn, turn == layout.LastTurn
}

// ready reports whether the set before may be closed in a part of the keys, where nobody has done it yet.
func (d document) ready(v View, awaited func(rt.NodeID) bool) bool {
	lacks := func(id rt.NodeID) bool {
		s := d.standing(id)
		return !s.Lost && !s.synced(v.Layout, v.Turn) && awaited(id)
	}
	newest := v.Live[len(v.Live)-1]
	return d.readable(newest, v.Turn) && !slices.ContainsFunc(newest.Nodes, lacks)
}

// lagging are the nodes that do not hold yet what the newest version gives them, and were not given up.
func (d document) lagging() []rt.NodeID {
	return slices.DeleteFunc(d.Layout.StorageNodes(),
		d.stands(func(s standing) bool { return s.Lost || s.Synced >= d.number() }))
}
