package cluster

import (
	"slices"

	"granary/core/layout"
	"granary/core/rt"
)

// Goal is what a node still has to do for the newest layout.
type Goal struct {
	Version uint64
	// Sync says that its store does not hold yet what the version gives it; Synced is the version that it is
	// in sync with, Lost that it took the place of a store that was lost.
	Sync   bool
	Synced uint64
	Lost   bool
	// Carry says that the node, a voter of the version before, has to carry the registers to the new ones.
	Carry bool
}

// Goal returns what this node still has to do, and whether that is anything.
func (c *Cluster) Goal() (g Goal, far bool) {
	doc, _ := c.snapshot()
	self := c.env.Self()
	if doc.Layout == nil || !doc.present(self) {
		return g, false
	}
	guard := doc.guard(self, c.storeID)
	role, ok := doc.Layout.Role(self)
	g = Goal{Version: doc.number(), Synced: guard.Synced, Lost: guard.Amnesiac}
	g.Sync = ok && role.Stores() && guard.Synced < g.Version
	g.Carry = doc.beforeLives() && !guard.Amnesiac && doc.standing(self).Carried < g.Version &&
		slices.Contains(doc.Before.StorageNodes(), self)
	return g, g.Sync || g.Carry
}

// Range is a range of hash prefixes.
type Range struct{ First, Last layout.Prefix }

// Surplus returns the prefixes that the layout does not give to this node, once it is settled and every node
// of it holds what is its own; else none. version is the layout's.
func (c *Cluster) Surplus() (version uint64, surplus []Range) {
	doc, cache := c.snapshot()
	if doc.Layout == nil || doc.beforeLives() {
		return 0, nil
	}
	for _, id := range doc.Layout.StorageNodes() {
		if s := doc.standing(id); s.Synced < doc.number() && !s.Lost {
			return 0, nil
		}
	}
	for p, v := range cache.views {
		if slices.Contains(v.Targets(), c.env.Self()) {
			continue
		}
		first, last := layout.Partition(p).Range(len(cache.views))
		if n := len(surplus); n > 0 && surplus[n-1].Last+1 == first {
			surplus[n-1].Last = last
			continue
		}
		surplus = append(surplus, Range{first, last})
	}
	return doc.number(), surplus
}

// Share says whether a node that has this goal has to hold the part of the keys with this view, and from how
// many nodes of its read set it has to take it over before it knows all that was acknowledged: a read quorum,
// among which it counts itself if it knows what a member of that set has to know. In the set of the newest
// version every member has stored, since that version was chosen, what it acknowledged; before that, all that
// was acknowledged is at each of them that is in sync. The only replica of a part has nobody to ask: what it
// has is all there is.
func (g Goal) Share(self rt.NodeID, v View) (need int, ok bool) {
	newest, set := v.Live[len(v.Live)-1], v.ReadSet()
	if newest.Version != g.Version || !slices.Contains(newest.Nodes, self) {
		return 0, false
	}
	need = set.Read
	switch {
	case set.Version == g.Version && !g.Lost:
		need = max(need-1, 1)
	case set.Version < g.Version && g.Synced >= set.Version && slices.Contains(set.Nodes, self):
		need--
	}
	others := len(set.Nodes)
	if slices.Contains(set.Nodes, self) {
		others--
	}
	return min(need, others), true
}
