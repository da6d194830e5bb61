package cluster

import (
	"granary/core/layout"
	"granary/core/rt"
)

// Progress is how far a change of the layout has come, as this node knows it.
type Progress struct {
	From, To uint64
	// Parts is how many parts of the keys there are, partitions and the full-copy tables; Readable, of how
	// many the new set answers; Retired, for how many the old one is asked no more.
	Parts, Readable, Retired int
	// Syncing are the nodes that do not hold yet what the new layout gives them, Carrying those that have not
	// carried the registers, Closing those that have not closed the old layout. Ordered by id.
	Syncing, Carrying, Closing []rt.NodeID
}

// progress describes the change that is going on; nil if there is none.
func (c *Cluster) progress(doc document, cache *derived) *Progress {
	if !doc.beforeLives() {
		return nil
	}
	j := doc.number()
	p := &Progress{From: doc.Before.Number, To: j, Parts: len(cache.views) + 1}
	for _, v := range cache.parts() {
		if v.ReadSet().Version == j {
			p.Readable++
		}
		if len(v.Live) == 1 {
			p.Retired++
		}
	}
	lacking := func(v *layout.Version, has func(standing) bool) (nodes []rt.NodeID) {
		for _, id := range v.StorageNodes() {
			if s := doc.standing(id); !s.Lost && !has(s) {
				nodes = append(nodes, id)
			}
		}
		return nodes
	}
	p.Syncing = lacking(doc.Layout, func(s standing) bool { return s.Synced >= j })
	p.Carrying = lacking(doc.Before, func(s standing) bool { return s.Carried >= j })
	p.Closing = lacking(doc.Before, func(s standing) bool { return s.Closed >= j })
	return p
}

// copies counts the partitions by how many nodes in reach hold all that was acknowledged in them.
func (c *Cluster) copies(doc document, cache *derived) (counts []int) {
	near := map[rt.NodeID]standing{}
	for id, m := range doc.Members.All() {
		if s := m.Standing; !m.Removed && !s.Lost && (id == c.env.Self() || c.endpoint.Connected(id)) {
			near[id] = s
		}
	}
	for _, v := range cache.views {
		n := 0
		for _, id := range v.ReadSet().Nodes {
			if near[id].holds(v.ReadSet().Version, v.Turn) {
				n++
			}
		}
		for len(counts) <= n {
			counts = append(counts, 0)
		}
		counts[n]++
	}
	return counts
}

// undecided says which voters are out of reach that a quorum needs; empty if none are.
func (c *Cluster) undecided(cache *derived) string {
	for _, set := range cache.full.Live {
		why := short(set, func(id rt.NodeID) bool { return id == c.env.Self() || c.endpoint.Connected(id) })
		if why != "" {
			return why
		}
	}
	return ""
}
