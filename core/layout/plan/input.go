package plan

import (
	"slices"

	"granary/core/layout"
	"granary/core/rt"
)

// Input is what a plan is made from. Roles and Params are needed; zero does for the rest.
type Input struct {
	// Previous is the version in force; nil for a first layout. Its successor is planned.
	Previous *layout.Version
	Roles    []layout.Role
	Params   layout.Params
	// Next is the layout to describe, if it is not the one that layout.Assign makes: a rebalance, or a return
	// to an earlier one. Its roles and parameters replace those given here.
	Next *layout.Version
	// Names are for people. A node without a name is called by the first characters of its id.
	Names map[rt.NodeID]string
	// PartitionBytes is what one replica of each partition of Previous holds; empty if it was not measured.
	PartitionBytes []uint64
	// Bandwidth is what a node sends, and receives, in bytes per second, as it was measured.
	Bandwidth map[rt.NodeID]uint64
	// AnyBandwidth stands in for nodes that Bandwidth does not have. Zero: not known, and if any node that
	// sends or receives is unknown, so is the time.
	AnyBandwidth uint64
	// ZoneBandwidth limits what all nodes of a zone together send to other zones, and receive from them, in
	// bytes per second. Zones that are absent have no such limit.
	ZoneBandwidth map[layout.ZoneName]uint64
	// Down nodes do not answer now: nothing can be copied from them.
	Down []rt.NodeID
	// TransfersMax is how many replicas a node sends at once, and receives at once, in a wave of the
	// migration. Zero is DefaultTransfersMax.
	TransfersMax int
	// Step is the amount of capacity, in bytes, that the report tries to add to what limits. Zero is the
	// greatest power of ten that is at most a fifth of the largest node that limits.
	Step uint64
}

// DefaultTransfersMax is the transfers that a node takes part in at once, each way.
const DefaultTransfersMax = layout.TransfersPerNode

func (in *Input) name(node rt.NodeID) string {
	if name := in.Names[node]; name != "" {
		return name
	}
	return node.Short()
}

func (in *Input) down(node rt.NodeID) bool { return slices.Contains(in.Down, node) }

func (in *Input) transfersMax() int {
	if in.TransfersMax > 0 {
		return in.TransfersMax
	}
	return DefaultTransfersMax
}
