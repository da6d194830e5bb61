package layout

import "granary/core/rt"

const (
	// TransfersPerNode is how many transfers a node takes part in at once, each way, when nothing else is
	// said.
	TransfersPerNode = 4
	// ScheduledMax is the most moves that are put into waves one by one.
	ScheduledMax = 20_000
)

// What a node holds is divided into turns, in which a change of the layout goes through it: FullTurn is
// that of the tables of which every node has all, the turns of partitions follow, up to LastTurn. 0 is no
// turn.
const (
	FullTurn = 1
	LastTurn = 65
)

// PartTurns returns, by partition of next, the turn of a change in which the last of its replicas is put in
// place. They follow the order of the waves that Waves makes for TransfersPerNode while nobody is down;
// several waves share a turn where there are many. What nobody gets is in the first; where more than
// ScheduledMax replicas move, all is.
//
// Nodes tell each other of turns: what this function returns for two versions must stay what it is.
//
// Determinism, cost: those of Waves.
func PartTurns(prev, next *Version) []int {
	turns := make([]int, next.Params.Partitions)
	var waves [][]Move
	if next.Moves(prev) <= ScheduledMax {
		waves = Waves(prev, next, TransfersPerNode, nil)
	}
	const most = LastTurn - FullTurn
	perTurn := (len(waves) + most - 1) / most
	for i, wave := range waves {
		for _, m := range wave {
			turns[m.Partition] = i / perTurn
		}
	}
	for p := range turns {
		turns[p] += FullTurn + 1
	}
	return turns
}

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
