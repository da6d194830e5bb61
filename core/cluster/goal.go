package cluster

import (
	"slices"

	"granary/core/layout"
	"granary/core/rt"
)

// Goal is what a node still has to do for a live layout.
type Goal struct {
	// Version is what the node has to get in sync with: the newest, or the one before as long as that is read
	// and this node has a part in it. Newest is the newest version.
	Version, Newest uint64
	// Sync says that its store does not hold yet what the version gives it; Synced is the version that it is
	// in sync with. Lost says that it took the place of a store that was lost, and is in sync with none; Heir
	// that it ever did.
	Sync       bool
	Synced     uint64
	Lost, Heir bool
	// Carry says that the node, a voter of the version before, has to carry the registers to the new ones.
	Carry bool
}

// Goal returns what this node still has to do, and whether that is anything.
func (c *Cluster) Goal() (g Goal, far bool) {
	doc, cache := c.snapshot()
	self := c.env.Self()
	if doc.Layout == nil || !doc.present(self) {
		return g, false
	}
	guard := doc.guard(self, c.storeID)
	g = Goal{Version: doc.number(), Newest: doc.number(), Synced: guard.Synced, Lost: guard.Amnesiac,
		Heir: guard.Amnesiac || doc.standing(self).Life > 1}
	wanted := doc.Layout
	if doc.beforeLives() && guard.Synced < doc.Before.Number && cache.reads(doc.Before.Number) &&
		stores(doc.Before, self) && !c.env.Mutant("layout: the newest version first") {
		wanted = doc.Before
	}
	g.Version = wanted.Number
	g.Sync = stores(wanted, self) && guard.Synced < g.Version
	g.Carry = doc.beforeLives() && !guard.Amnesiac && doc.standing(self).Carried < g.Newest &&
		slices.Contains(doc.Before.StorageNodes(), self)
	return g, g.Sync || g.Carry
}

// stores reports whether a node stores in a version.
func stores(v *layout.Version, id rt.NodeID) bool {
	role, ok := v.Role(id)
	return ok && role.Stores()
}

// reads reports whether the set of some part of the keys that is read is a version's.
func (v *derived) reads(version uint64) bool {
	read := func(view View) bool { return view.ReadSet().Version == version }
	return read(v.full) || slices.ContainsFunc(v.views, read)
}

// Range is a range of hash prefixes.
type Range struct{ First, Last layout.Prefix }

// Surplus returns the prefixes that the newest version gives to others, in the parts where everybody holds
// what is his own, and nobody can ask for what is here any more; and how many partitions they are. version
// is the newest.
func (c *Cluster) Surplus() (version uint64, surplus []Range, partitions int) {
	doc, cache := c.snapshot()
	if doc.Layout == nil {
		return 0, nil, 0
	}
	for p, v := range cache.views {
		if slices.Contains(v.Targets(), c.env.Self()) || !doc.over(v, c.env.Self()) {
			continue
		}
		partitions++
		first, last := layout.Partition(p).Range(len(cache.views))
		if n := len(surplus); n > 0 && surplus[n-1].Last+1 == first {
			surplus[n-1].Last = last
			continue
		}
		surplus = append(surplus, Range{first, last})
	}
	return doc.number(), surplus, partitions
}

// over reports whether nothing is missing any more where a part belongs now, and nobody can ask a node for it
// that it belonged to before.
func (d document) over(v View, former rt.NodeID) bool {
	lacks := d.stands(func(s standing) bool { return !s.synced(v.Layout, v.Turn) })
	return len(v.Live) == 1 && !slices.ContainsFunc(v.Live[0].Nodes, lacks) &&
		(!d.beforeLives() || d.standing(former).closed(v.Layout, v.Turn))
}

// Share is a part of the keys that a node has to hold, and from whom it takes it over.
type Share struct {
	Set   layout.Set // whose nodes are asked
	self  rt.NodeID
	knows bool // what the node itself has counts as one answer
	fresh bool // but only together with another's
}

// Share says whether a node that has this goal has to hold the part of the keys with this view. Then it has
// to take it over from nodes of its read set before it knows all that was acknowledged: a read quorum, among
// which it counts itself if it knows what a member of that set has to know. In the sets of the goal's
// version, and of a later one, every member has stored, since that version was chosen, what it acknowledged,
// unless it had another store then; before that, all that was acknowledged is at each of them that is in
// sync.
func (g Goal) Share(self rt.NodeID, v View) (s Share, ok bool) {
	set := v.ReadSet()
	s = Share{Set: set, self: self}
	member := slices.Contains(set.Nodes, self)
	s.fresh = set.Version >= g.Version && !g.Heir
	s.knows = s.fresh || set.Version < g.Version && g.Synced >= set.Version && member
	return s, slices.ContainsFunc(v.Live, func(live layout.Set) bool {
		return live.Version == g.Version && slices.Contains(live.Nodes, self)
	})
}

// Done reports whether the share was taken over from enough nodes, if it was from those for which taken is
// true. The only replica of a part has nobody to ask: what it has is all there is; and where fewer are left
// than a quorum wants, all of them are enough.
func (s Share) Done(taken func(rt.NodeID) bool) bool {
	others, from := 0, 0
	for _, id := range s.Set.Nodes {
		if id == s.self {
			continue
		}
		if others++; taken(id) {
			from++
		}
	}
	if from == others {
		return true
	}
	return s.Set.Reads(func(id rt.NodeID) bool {
		if id == s.self {
			return s.knows
		}
		return taken(id)
	}) && (from > 0 || !s.fresh)
}
