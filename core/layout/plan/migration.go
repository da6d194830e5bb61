package plan

import (
	"slices"

	"granary/core/layout"
)

// move is one replica to be copied. Members are numbers in the crowd.
type move struct {
	to      int
	sources []int // the nodes that have it and are not down
	bytes   uint64
}

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
	g.Replicas = len(m.moves)
	g.Share = ratio(float64(g.Replicas), float64(len(m.Next.Table)))
	for _, mv := range m.moves {
		g.Bytes += mv.bytes
	}
	m.wave()
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
			mv := move{to: to, bytes: m.Next.Size}
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

// wave orders the moves; where they are too many, it only says how many waves the busiest receiver needs.
func (m *maker) wave() {
	if len(m.moves) <= layout.ScheduledMax {
		m.Waves = layout.Waves(m.in.Previous, m.Next, m.Migration.TransfersMax, m.in.Down)
		m.Migration.Waves = len(m.Waves)
		return
	}
	most := 0
	for _, c := range m.crowd.members {
		most = max(most, c.has-c.kept)
	}
	m.Migration.Waves = (most + m.Migration.TransfersMax - 1) / m.Migration.TransfersMax
}
