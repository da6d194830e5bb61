package plan

import (
	"encoding/binary"
	"slices"

	"granary/core/rt"
)

// link is what carries bytes: what a node sends or receives, or a zone.
type link struct {
	name  string
	speed float64 // bytes per second
	busy  float64 // bytes
}

func (l *link) seconds() float64 { return l.busy / l.speed }

// traffic is the links that a migration uses.
type traffic struct {
	out, in        []link // by member
	zoneOf         []int  // by member
	zoneOut        []link // to other zones; without a limit the speed is 0
	zoneIn         []link
	bytes          float64
	groups         []group
	seconds        float64
	method, busily string
}

// group is moves with the same sources and the same zone to go to, which are one for the linear program.
type group struct {
	sources []int
	zone    int
	bytes   float64
}

// Methods of Migration.
const (
	byProgram = "linear program"
	byGreed   = "greedy"
)

// makespan fills the time that the migration needs at the least.
func (m *maker) makespan() {
	t := m.traffic()
	if t == nil || t.bytes == 0 {
		return
	}
	t.greedy(m.moves)
	t.improve()
	m.Migration.Seconds, m.Migration.Method, m.Migration.Bottleneck = &t.seconds, t.method, t.busily
}

// traffic returns the links; nil if the speed of one that matters is unknown.
func (m *maker) traffic() *traffic {
	t := &traffic{}
	var zones []string
	for i := range m.crowd.members {
		c := &m.crowd.members[i]
		zone := string(c.role().Zone)
		z := slices.Index(zones, zone)
		if z < 0 {
			z = len(zones)
			zones = append(zones, zone)
			limit := link{name: "zone " + zone, speed: float64(m.in.ZoneBandwidth[c.role().Zone])}
			t.zoneOut, t.zoneIn = append(t.zoneOut, limit), append(t.zoneIn, limit)
		}
		l := link{name: m.in.name(c.id), speed: float64(m.in.speed(c.id))}
		t.out, t.in, t.zoneOf = append(t.out, l), append(t.in, l), append(t.zoneOf, z)
	}
	known := map[string]int{} // groups
	for _, mv := range m.moves {
		if len(mv.sources) == 0 {
			continue
		}
		for _, n := range append([]int{mv.to}, mv.sources...) {
			if t.out[n].speed == 0 {
				return nil
			}
		}
		bytes, zone := float64(mv.bytes), t.zoneOf[mv.to]
		t.in[mv.to].busy += bytes
		t.bytes += bytes
		key := binary.AppendUvarint(nil, uint64(zone))
		for _, n := range mv.sources {
			key = binary.AppendUvarint(key, uint64(n))
		}
		g, ok := known[string(key)]
		if !ok {
			g = len(t.groups)
			known[string(key)] = g
			t.groups = append(t.groups, group{sources: mv.sources, zone: zone})
		}
		t.groups[g].bytes += bytes
	}
	return t
}

// speed is the bandwidth of a node; 0 if it is unknown.
func (in *Input) speed(node rt.NodeID) uint64 {
	if speed := in.Bandwidth[node]; speed > 0 {
		return speed
	}
	return in.AnyBandwidth
}

// passes returns the links that a transfer from a node to a zone takes, but for the receiver's own.
func (t *traffic) passes(from, zone int) []*link {
	links := []*link{&t.out[from]}
	if z := t.zoneOf[from]; z != zone {
		for _, l := range []*link{&t.zoneOut[z], &t.zoneIn[zone]} {
			if l.speed > 0 {
				links = append(links, l)
			}
		}
	}
	return links
}

// greedy lets every move come from the source by which it is done first.
func (t *traffic) greedy(moves []move) {
	for _, mv := range moves {
		best, least := []*link(nil), 0.0
		for _, from := range mv.sources {
			links, worst := t.passes(from, t.zoneOf[mv.to]), 0.0
			for _, l := range links {
				worst = max(worst, (l.busy+float64(mv.bytes))/l.speed)
			}
			if best == nil || worst < least {
				best, least = links, worst
			}
		}
		for _, l := range best {
			l.busy += float64(mv.bytes)
		}
	}
	t.measure(byGreed)
}

// measure takes the slowest link for the time; where several are, one that receives.
func (t *traffic) measure(method string) {
	t.seconds, t.method = 0, method
	for _, links := range [][]link{t.in, t.zoneIn, t.zoneOut, t.out} {
		for i := range links {
			l := &links[i]
			if l.busy > 0 && l.speed > 0 && l.seconds() > t.seconds*(1+rowTolerance) {
				t.seconds, t.busily = l.seconds(), l.name
			}
		}
	}
}

// improve splits each group over its sources so that the slowest link takes the least time, if the program is
// not too large; what receivers take is not to be chosen. Bytes are in units of all that is to be copied, and
// time in what greed needed.
func (t *traffic) improve() {
	p := &program{}
	unit := t.seconds
	duration := p.column(1)
	carried := map[*link][]term{}
	var links []*link // those of carried, in order
	shares := make([][]int, len(t.groups))
	for g, group := range t.groups {
		var all []term
		for _, from := range group.sources {
			column := p.column(0)
			shares[g] = append(shares[g], column)
			all = append(all, term{column, 1})
			for _, l := range t.passes(from, group.zone) {
				if carried[l] == nil {
					links = append(links, l)
				}
				carried[l] = append(carried[l], term{column, 1})
			}
		}
		p.exactly(group.bytes/t.bytes, all...)
	}
	for _, l := range links {
		p.atMost(0, append(carried[l], term{duration, -l.speed * unit / t.bytes})...)
	}
	_, x, err := p.solve()
	if err != nil {
		return
	}
	for _, l := range links {
		l.busy = 0
	}
	for g, group := range t.groups {
		for i, from := range group.sources {
			for _, l := range t.passes(from, group.zone) {
				l.busy += max(0, x[shares[g][i]]) * t.bytes
			}
		}
	}
	t.measure(byProgram)
}
