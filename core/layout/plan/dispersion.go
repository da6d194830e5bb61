package plan

import "granary/core/layout"

// NewDispersion measures a table. What two nodes would share by chance is in proportion to the product of
// their loads, over all pairs that may share at all: nodes of one zone may not if each replica must be in a
// zone of its own. Less than one partition counts as one.
func NewDispersion(v *layout.Version) *Dispersion {
	s := newSharing(v)
	d := &Dispersion{Partners: 1}
	scale := s.scale()
	for u := range s.holds {
		s.dispersionOf(u, scale, d)
	}
	return d
}

// sharing is a table as its nodes see it. Nodes are numbered as the version's roles.
type sharing struct {
	*layout.Version
	holds    [][]layout.Partition // by node
	distinct bool                 // replicas of a partition are in distinct zones
	shared   []int                // of the node that is looked at, by other node
	sends    []int                // when it is lost, by other node
}

func newSharing(v *layout.Version) *sharing {
	s := &sharing{
		Version: v, holds: make([][]layout.Partition, len(v.Roles)),
		distinct: minZones(v.Roles, v.Params) == v.Params.Replicas,
		shared:   make([]int, len(v.Roles)), sends: make([]int, len(v.Roles)),
	}
	for p := range layout.Partition(v.Params.Partitions) {
		for _, n := range v.Row(p) {
			s.holds[n] = append(s.holds[n], p)
		}
	}
	return s
}

// may reports whether two nodes may share partitions.
func (s *sharing) may(u, v int) bool {
	return u != v && !(s.distinct && s.Roles[u].Zone == s.Roles[v].Zone)
}

// scale returns what the product of two loads is multiplied with.
func (s *sharing) scale() float64 {
	sum, squares := 0.0, 0.0 // over all nodes; the products of all pairs, and of those that may not share
	inZone := map[layout.ZoneName]float64{}
	for u, held := range s.holds {
		n := float64(len(held))
		sum += n
		squares += n * n
		inZone[s.Roles[u].Zone] += n
	}
	forbidden := squares
	if s.distinct {
		forbidden = 0
		for u, held := range s.holds {
			forbidden += float64(len(held)) * inZone[s.Roles[u].Zone]
		}
	}
	replicas := s.Params.Replicas
	pairs := float64(s.Params.Partitions) * float64(replicas*(replicas-1)) // each in both directions
	return ratio(pairs, sum*sum-forbidden)
}

// dispersionOf adds what one node sees.
func (s *sharing) dispersionOf(u int, scale float64, d *Dispersion) {
	held := len(s.holds[u])
	if held == 0 || s.Params.Replicas < 2 {
		return
	}
	clear(s.shared)
	clear(s.sends)
	rebuild := 0
	for _, p := range s.holds[u] {
		from := -1
		for _, n := range s.Row(p) {
			v := int(n)
			if v == u {
				continue
			}
			s.shared[v]++
			if from < 0 || s.sends[v] < s.sends[from] {
				from = v
			}
		}
		s.sends[from]++
		rebuild = max(rebuild, s.sends[from])
	}
	partners, possible := 0, 0
	for v, n := range s.shared {
		if s.may(u, v) && len(s.holds[v]) > 0 {
			possible++
		}
		if n == 0 {
			continue
		}
		partners++
		expected := max(1, scale*float64(held)*float64(len(s.holds[v])))
		d.Excess = max(d.Excess, float64(n)/expected)
		d.MaxPair = max(d.MaxPair, n)
		d.WorstPartner = max(d.WorstPartner, ratio(float64(n), float64(held)))
	}
	possible = min(possible, held*(s.Params.Replicas-1))
	d.Partners = min(d.Partners, ratio(float64(partners), float64(possible)))
	d.Rebuild = max(d.Rebuild, ratio(float64(rebuild), float64(held)))
}

// clumpedFrom is the excess from which a rebalance is advised.
const clumpedFrom = 2

// dispersion measures the tables.
func (m *maker) dispersion() {
	m.Dispersion = NewDispersion(m.Next)
	if m.in.Previous != nil {
		m.DispersionBefore = NewDispersion(m.in.Previous)
	}
	if d := m.Dispersion; d.Excess > clumpedFrom {
		m.advise(Clumped, "spend some moves on a rebalance", "two nodes share %s times the partitions that"+
			" chance gives; if a node is lost, one other must send up to %s of what it had",
			significant(d.Excess), formatPercent(d.Rebuild))
	}
}
