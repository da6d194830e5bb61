package cluster

import (
	"slices"

	"granary/core/layout"
	"granary/core/rt"
)

// View is what a coordinator needs to know to reach one partition: the sets of all live layout versions,
// oldest first. Writes go to the write quorum of every set, and are voted on by that of Live[Read]; reads
// ask a read quorum of it.
type View struct {
	Layout   uint64       // number of the newest live version
	Live     []layout.Set // never empty in a cluster that has a layout
	Turn     int          // of the part in the change to Layout; 0 if none is going on
	Read     int          // the set that is read: the newest one that knows all that was acknowledged
	Learners []rt.NodeID  // get every write, count in no quorum; only for full-copy tables
}

// ReadSet is the set that reads ask.
func (v View) ReadSet() layout.Set { return v.Live[v.Read] }

// Plan is what a replica has to know of v to judge a request that was planned with it.
func (v View) Plan() Plan {
	return Plan{Newest: v.Layout, Anchor: v.ReadSet().Version, Turn: v.Turn}
}

// Targets are all nodes that a write goes to, without duplicates: the sets in order, then the learners.
func (v View) Targets() []rt.NodeID {
	if len(v.Live) == 1 && len(v.Learners) == 0 {
		return v.Live[0].Nodes
	}
	var all []rt.NodeID
	add := func(nodes []rt.NodeID) {
		for _, n := range nodes {
			if !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	for _, s := range v.Live {
		add(s.Nodes)
	}
	add(v.Learners)
	return all
}
