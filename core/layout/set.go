package layout

import (
	"fmt"
	"slices"

	"granary/core/rt"
)

// Set is the nodes of one version that answer for a part of the keys, and what a quorum of them is.
//
// Without Zones a quorum is so many nodes: Write of them, or Read. With Zones it is so many zones, each held
// by so many of its own nodes. Every write quorum meets every other, and every read quorum: DESIGN.md of
// core/register has the proof.
type Set struct {
	Version uint64
	Nodes   []rt.NodeID // ascending
	Write   int         // W: nodes, or zones if there are Zones
	Read    int         // R: the same
	Zones   []Zone      // by name; they part Nodes. nil: nodes are counted
}

// Zone is the nodes of a Set in one place. A write holds it with Write of them, a read with Read.
type Zone struct {
	Name  ZoneName
	Nodes []rt.NodeID // ascending
	Write int
	Read  int
}

// zonesMin is the least number of zones whose majorities decide. Of two zones the loss of either leaves no
// majority of zones, so nodes are counted.
const zonesMin = 3

// Voters is the set of nodes that decide by majority: of the zones where there are three or more, a zone
// being held by a majority of its nodes; else of the nodes. So they can decide after the loss of any one zone
// of three or more, whatever part of the nodes it had.
//
// Source: Kumar, "Hierarchical Quorum Consensus" (1991).
func Voters(version uint64, roles []Role) Set {
	var nodes []rt.NodeID
	var names []ZoneName
	zones := map[ZoneName][]rt.NodeID{}
	for _, r := range roles {
		if zones[r.Zone] == nil {
			names = append(names, r.Zone)
		}
		nodes, zones[r.Zone] = append(nodes, r.Node), append(zones[r.Zone], r.Node)
	}
	s := Majority(version, nodes)
	if len(names) < zonesMin {
		return s
	}
	slices.Sort(names)
	s.Write, s.Read = majority(len(names))
	for _, name := range names {
		w, r := majority(len(zones[name]))
		s.Zones = append(s.Zones, Zone{name, zones[name], w, r})
	}
	return s
}

// Majority is the set of nodes that decide by majority, wherever they are.
func Majority(version uint64, nodes []rt.NodeID) Set {
	w, r := majority(len(nodes))
	return Set{Version: version, Nodes: nodes, Write: w, Read: r}
}

// majority is how many of n meet each other, and how many meet those.
func majority(n int) (write, read int) { return n/2 + 1, n + 1 - (n/2 + 1) }

// Voters is the set of a version's storage nodes, which decide for the whole cluster.
func (v *Version) Voters() Set {
	gateway := func(r Role) bool { return !r.Stores() }
	return Voters(v.Number, slices.DeleteFunc(slices.Clone(v.Roles), gateway))
}

// Writes reports whether the nodes for which has is true hold a write quorum.
func (s Set) Writes(has func(rt.NodeID) bool) bool {
	if s.Zones == nil {
		return Count(s.Nodes, has) >= s.Write
	}
	held := 0
	for _, z := range s.Zones {
		if Count(z.Nodes, has) >= z.Write {
			held++
		}
	}
	return held >= s.Write
}

// Reads reports whether they hold a read quorum: one that meets every write quorum.
func (s Set) Reads(has func(rt.NodeID) bool) bool { return s.Reading().Writes(has) }

// Reading is s with its read quorums for write quorums: for whoever counts answers that are read.
func (s Set) Reading() Set {
	s.Write = s.Read
	s.Zones = slices.Clone(s.Zones)
	for i := range s.Zones {
		s.Zones[i].Write = s.Zones[i].Read
	}
	return s
}

// Lacking names the zones that those nodes do not hold for a write, with what is missing; none if nodes are
// counted.
func (s Set) Lacking(has func(rt.NodeID) bool) (zones []string) {
	for _, z := range s.Zones {
		if n := Count(z.Nodes, has); n < z.Write {
			zones = append(zones, fmt.Sprintf("zone %s, %d of %d nodes of which %d are needed", z.Name, n,
				len(z.Nodes), z.Write))
		}
	}
	return zones
}

// Count is the number of nodes for which has is true.
func Count(nodes []rt.NodeID, has func(rt.NodeID) bool) (n int) {
	for _, id := range nodes {
		if has(id) {
			n++
		}
	}
	return n
}

// Without is s with these nodes gone for good: quorums are what they were where so many are left, and all
// that are left where they are not. A zone with fewer than a read needs does not know what it has voted for:
// it votes no more, unless all are like that. So every quorum of what is left meets every quorum of s, unless
// what is left is no read quorum of s. A set without any other node stays as it is.
func (s Set) Without(gone func(rt.NodeID) bool) Set {
	left := slices.DeleteFunc(slices.Clone(s.Nodes), gone)
	if len(left) == 0 || len(left) == len(s.Nodes) {
		return s
	}
	if s.Zones == nil {
		s.Nodes, s.Write, s.Read = left, min(s.Write, len(left)), min(s.Read, len(left))
		return s
	}
	var whole, some []Zone
	for _, z := range s.Zones {
		z.Nodes = slices.DeleteFunc(slices.Clone(z.Nodes), gone)
		n := len(z.Nodes)
		if n >= z.Read {
			whole = append(whole, z)
		}
		if z.Write, z.Read = min(z.Write, n), min(z.Read, n); n > 0 {
			some = append(some, z)
		}
	}
	if s.Zones = some; len(whole) > 0 {
		s.Zones = whole
	}
	s.Nodes = nil
	for i, z := range s.Zones {
		s.Zones[i].Write = min(z.Write, len(z.Nodes))
		s.Nodes = append(s.Nodes, z.Nodes...)
	}
	slices.SortFunc(s.Nodes, rt.NodeID.Compare)
	s.Write, s.Read = min(s.Write, len(s.Zones)), min(s.Read, len(s.Zones))
	return s
}
