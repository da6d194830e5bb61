package layout

import "granary/core/rt"

const (
	// TransfersPerNode is how many transfers a node takes part in at once, each way, when nothing else is
	// said.
	TransfersPerNode = 4
	// ScheduledMax is the most moves that are put into waves one by one.
	ScheduledMax = 20_000
)

// Turn is when a replica is copied in a change, and from whom.
type Turn struct {
	Wave int       // from 0
	From rt.NodeID // zero if it does not matter
}

// Turns returns the turns of the replicas that a node gets, in the waves that Waves makes for
// TransfersPerNode while nobody is down. Where more than ScheduledMax replicas move, each node goes through
// its own in order.
//
// Determinism, cost: those of Waves.
func Turns(prev, next *Version, to rt.NodeID) map[Partition]Turn {
	turns := map[Partition]Turn{}
	if next.Moves(prev) > ScheduledMax {
		return turns
	}
	for i, wave := range Waves(prev, next, TransfersPerNode, nil) {
		for _, m := range wave {
			if m.To == to {
				turns[m.Partition] = Turn{i, m.From}
			}
		}
	}
	return turns
}
