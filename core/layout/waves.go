package layout

import (
	"cmp"
	"slices"

	"granary/core/rt"
)

// Move is one replica that a transition copies.
type Move struct {
	Partition Partition
	To        rt.NodeID // who gets the replica
	From      rt.NodeID // who sends it; zero if nobody has it who is up
	Drop      rt.NodeID // whose place it takes; zero if it is one more
}

// Waves orders the moves from prev to next: those of one wave run at the same time, and the next one
// starts when they are done. In a wave, no node receives or sends more than perNode replicas, and no
// partition gets more than may be lost without stopping its writes. After each wave every partition is on
// distinct nodes, in as many zones and regions as before or as at the end, whichever are fewer. Nodes that
// are down send nothing.
//
// Determinism: a pure function of its arguments. Cost: O(moves · waves) at the worst; ask for a larger
// perNode where there are tens of thousands of moves.
// Source: DESIGN.md, "Waves".
func Waves(prev, next *Version, perNode int, down []rt.NodeID) [][]Move {
	s := newSchedule(prev, next, perNode, down)
	var waves [][]Move
	for s.left > 0 {
		wave := s.wave()
		if len(wave) == 0 {
			rt.Break("layout: %d moves are left, and none can be made", s.left)
		}
		waves = append(waves, wave)
	}
	return waves
}

// schedule is what is left to move.
type schedule struct {
	prev, next *Version
	perNode    int
	atOnce     int // replicas of one partition in one wave
	down       map[rt.NodeID]bool

	receivers []*receiver
	order     [][]Move          // by partition: its moves, in the order that keeps zones
	done      []int             // by partition: how many of them are made
	sent      map[rt.NodeID]int // replicas in all waves so far
	left      int

	sending map[rt.NodeID]int // in the wave that is made
}

// receiver is a node that gets replicas, with the partitions of which it still gets one, ascending.
type receiver struct {
	node  rt.NodeID
	queue []Partition
}

func newSchedule(prev, next *Version, perNode int, down []rt.NodeID) *schedule {
	s := &schedule{prev: prev, next: next, perNode: max(1, perNode), down: map[rt.NodeID]bool{},
		atOnce: max(1, next.Params.Replicas-next.Params.WriteQuorum()), sent: map[rt.NodeID]int{},
		done: make([]int, next.Params.Partitions)}
	for _, node := range down {
		s.down[node] = true
	}
	queues := map[rt.NodeID][]Partition{}
	for p := range Partition(next.Params.Partitions) {
		moves := s.replacements(p)
		s.order = append(s.order, moves)
		s.left += len(moves)
		for _, m := range moves {
			queues[m.To] = append(queues[m.To], p)
		}
	}
	for _, r := range next.Roles {
		if queue := queues[r.Node]; len(queue) > 0 {
			s.receivers = append(s.receivers, &receiver{r.Node, queue})
		}
	}
	return s
}

// wave takes the moves of the next wave, those of the busiest receivers first.
func (s *schedule) wave() []Move {
	var wave []Move
	s.sending = map[rt.NodeID]int{}
	taken := map[Partition]int{}
	slices.SortStableFunc(s.receivers, func(a, b *receiver) int {
		return cmp.Compare(len(b.queue), len(a.queue))
	})
	for _, r := range s.receivers {
		got := 0
		r.queue = slices.DeleteFunc(r.queue, func(p Partition) bool {
			ready := s.done[p] + taken[p]
			if got == s.perNode || taken[p] == s.atOnce || s.order[p][ready].To != r.node {
				return false
			}
			m := s.order[p][ready]
			if !s.source(&m) {
				return false
			}
			wave = append(wave, m)
			taken[p]++
			got++
			return true
		})
	}
	for _, m := range wave {
		s.done[m.Partition]++
	}
	s.left -= len(wave)
	return wave
}

// source sets who sends m: the former holder that has sent the least, of those that can send in this wave. It
// reports false if m must wait for one.
func (s *schedule) source(m *Move) bool {
	possible := false
	for _, node := range previousNodes(s.prev, int(m.Partition), s.next.Params.Partitions) {
		if s.down[node] {
			continue
		}
		possible = true
		if s.sending[node] < s.perNode && (m.From.IsZero() || s.sent[node] < s.sent[m.From]) {
			m.From = node
		}
	}
	if m.From.IsZero() {
		return !possible
	}
	s.sending[m.From]++
	s.sent[m.From]++
	return true
}

// replacements returns the moves of one partition, ordered and paired so that its zones and regions stay
// enough after each. Such an order always exists: sets of ρ nodes in so many zones and regions at the least
// are the bases of a matroid.
func (s *schedule) replacements(p Partition) []Move {
	row := slices.Clone(previousNodes(s.prev, int(p), s.next.Params.Partitions))
	final := s.next.Replicas(p)
	coming := slices.DeleteFunc(slices.Clone(final), func(n rt.NodeID) bool {
		return slices.Contains(row, n)
	})
	var moves []Move
	for len(coming) > 0 {
		m := s.replacement(row, coming, final)
		m.Partition = p
		moves = append(moves, m)
		coming = slices.DeleteFunc(coming, func(n rt.NodeID) bool { return n == m.To })
		row = append(slices.DeleteFunc(row, func(n rt.NodeID) bool { return n == m.Drop }), m.To)
	}
	return moves
}

// replacement picks one of the nodes that are coming, and one of row that is not in final, if it has too
// many.
func (s *schedule) replacement(row, coming, final []rt.NodeID) Move {
	if len(row) < len(final) {
		return Move{To: coming[0]}
	}
	zones, regions := s.spread(row, rt.NodeID{})
	finalZones, finalRegions := s.spread(final, rt.NodeID{})
	zones, regions = min(zones, finalZones), min(regions, finalRegions)
	for _, to := range coming {
		for _, drop := range row {
			if slices.Contains(final, drop) {
				continue
			}
			if z, r := s.spread(append(slices.Clip(row), to), drop); z >= zones && r >= regions {
				return Move{To: to, Drop: drop}
			}
		}
	}
	return Move{To: coming[0]} // only if next has fewer replicas than prev; the surplus goes at the end
}

// spread counts the zones and regions of a row without one node. A node that has lost its role is where it
// was.
func (s *schedule) spread(row []rt.NodeID, without rt.NodeID) (zones, regions int) {
	var roles []Role
	for _, node := range row {
		role, ok := s.next.Role(node)
		if !ok {
			role, _ = s.prev.Role(node)
		}
		role.Capacity = 1 // places counts those that store
		if node != without {
			roles = append(roles, role)
		}
	}
	z, r := places(roles)
	return len(z), len(r)
}
