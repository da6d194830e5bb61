package plan

import (
	"slices"

	"granary/core/layout"
)

// move is one replica to be copied. Members are numbers in the crowd.
type move struct {
	partition int
	to        int
	from      int // noSource if every node that has it is down
	sources   []int
	bytes     uint64
}

const noSource = -1

// migration fills what must be copied.
func (m *maker) migration() {
	g := &m.Migration
	g.TransfersMax = m.in.transfersMax()
	if m.in.Previous == nil {
		return
	}
	g.Measured = len(m.in.PartitionBytes) > 0
	for _, bytes := range m.in.PartitionBytes {
		g.PartitionMax = max(g.PartitionMax, bytes)
	}
	if g.Measured {
		g.PartitionMean = m.Usable.Stored / uint64(len(m.in.PartitionBytes))
	}
	m.moves = m.listMoves()
	chooseSources(m.moves, len(m.crowd.members))
	g.Replicas = len(m.moves)
	g.Share = ratio(float64(g.Replicas), float64(len(m.Next.Table)))
	for _, mv := range m.moves {
		g.Bytes += mv.bytes
	}
	g.Waves = wavesOf(m.moves, len(m.crowd.members), g.TransfersMax)
}

// listMoves returns the replicas that are new to their nodes, by partition.
func (m *maker) listMoves() []move {
	var moves []move
	for p, after := range m.crowd.after {
		before := m.crowd.before[p]
		for _, to := range after {
			if slices.Contains(before, to) {
				continue
			}
			mv := move{partition: p, to: to, from: noSource, bytes: m.Next.Size}
			if len(m.in.PartitionBytes) > 0 {
				mv.bytes = m.in.bytesOf(layout.Partition(p), m.Next.Params.Partitions)
			}
			for _, n := range before {
				if !m.in.down(m.crowd.members[n].id) {
					mv.sources = append(mv.sources, n)
				}
			}
			moves = append(moves, mv)
		}
	}
	return moves
}

// chooseSources lets every move read from the source that sends least so far.
func chooseSources(moves []move, members int) {
	sends := make([]uint64, members)
	for i := range moves {
		mv := &moves[i]
		for _, n := range mv.sources {
			if mv.from == noSource || sends[n] < sends[mv.from] {
				mv.from = n
			}
		}
		if mv.from != noSource {
			sends[mv.from] += max(mv.bytes, 1)
		}
	}
}

// wavesOf returns the rounds that the busiest node needs. By a theorem of König, no node needs more.
func wavesOf(moves []move, members, transfersMax int) int {
	out, in := make([]int, members), make([]int, members)
	most := 0
	for _, mv := range moves {
		in[mv.to]++
		most = max(most, in[mv.to])
		if mv.from != noSource {
			out[mv.from]++
			most = max(most, out[mv.from])
		}
	}
	return (most + transfersMax - 1) / transfersMax
}
