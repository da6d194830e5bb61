package netsim

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"
)

// MTU is the size of a packet on the wire, in bytes. What is larger travels as several, back to back.
const MTU = 1500

// Draw returns 64 uniform random bits. The Model calls it as often as a packet needs; a *rand.Rand's Uint64
// will do.
type Draw func() uint64

// ErrName is returned for a name that is no node (or, for a fault, no node, zone or Any).
var ErrName = errors.New("no such name in the topology")

// Model carries packets over a topology.
//
// Determinism: a pure function of the topology and the calls, with their times and draws. Not safe for
// concurrent use.
type Model struct {
	topo  Topology
	now   time.Duration // the latest time seen
	nodes map[string]*host
	zones map[string]*site
	links map[[2]string]Path // as declared
	pairs map[[2]string]*pair
	roads map[[2]string]*pipe // by pair of zones
	rules []rule              // faults, in the order they were made
}

// host is a node at work.
type host struct {
	name string
	site *site
}

// site is a zone at work. up and down are nil without a limit.
type site struct {
	name     string
	up, down *pipe
}

// pair is the way from one node to another. Invariant: arrivals on a pair never decrease; last is the latest.
type pair struct {
	m        *Model
	from, to *host
	path     Path
	out      []*pipe // links at the sending side, in order
	in       *pipe   // the link into the receiving site, or nil
	last     time.Duration
}

// NewModel returns a model of t at time 0, without faults. It fails as Validate does.
func NewModel(t Topology) (*Model, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	m := &Model{
		topo: t, nodes: map[string]*host{}, zones: map[string]*site{}, links: map[[2]string]Path{},
		pairs: map[[2]string]*pair{}, roads: map[[2]string]*pipe{},
	}
	m.topo.Nodes = nil
	for _, z := range t.Zones {
		m.zones[z.Name] = &site{name: z.Name, up: newPipe(z.Up), down: newPipe(z.Down)}
	}
	for _, l := range t.Links {
		m.links[[2]string{l.From, l.To}] = l.Path
	}
	for _, n := range t.Nodes {
		m.place(n)
	}
	return m, nil
}

func newPipe(r Rate) *pipe {
	if r == 0 {
		return nil
	}
	return &pipe{rate: r}
}

func (m *Model) place(n Node) {
	m.topo.Nodes = append(m.topo.Nodes, n)
	m.nodes[n.Name] = &host{name: n.Name, site: m.zones[n.Zone]}
}

// AddNode puts one more node into a zone, with the paths of the zone. Errors: ErrTopology; the model is
// unchanged.
func (m *Model) AddNode(n Node) error {
	t := m.topo
	t.Nodes = append(t.Nodes[:len(t.Nodes):len(t.Nodes)], n)
	if err := t.Validate(); err != nil {
		return err
	}
	m.place(n)
	return nil
}

// Topology returns the topology with the nodes added. The caller must not change it.
func (m *Model) Topology() Topology { return m.topo }

// Path returns the path from one node to another as declared: faults do not show. Errors: ErrName.
func (m *Model) Path(from, to string) (Path, error) {
	p, err := m.pair(from, to)
	if err != nil {
		return Path{}, err
	}
	return p.path, nil
}

// Send puts a packet of size bytes onto the way at time now. It returns when the packet is wholly there, or
// false if it is lost. A node reaches itself at once.
//
// Units: size is bytes on the wire, 1 to PacketMax; above MTU it stands for several packets back to back,
// each with its own jitter and chance of loss: all is there when the last one is, and lost if one is.
// Ordering: what is sent later from one node to the same other one arrives later or at the same time.
// Errors: ErrName. It panics when now goes back or size is out of range.
// Cost: a few draws; no allocation, but for the first packet of a pair.
func (m *Model) Send(now time.Duration, from, to string, size int, draw Draw) (time.Duration, bool, error) {
	p, err := m.pair(from, to)
	if err != nil {
		return 0, false, err
	}
	at, ok := p.send(now, size, draw)
	return at, ok, nil
}

// Wait returns how long a packet of size bytes sent at now would wait for links that others have taken,
// summed over its way. Send itself never refuses a packet; a caller that wants queues of bounded length
// asks first and drops. Nothing changes by asking. Errors: ErrName.
func (m *Model) Wait(now time.Duration, from, to string, size int) (time.Duration, error) {
	p, err := m.pair(from, to)
	if err != nil {
		return 0, err
	}
	head := now
	for _, l := range p.out {
		_, s := l.find(head, size)
		head = s.start
	}
	wait := head - now
	if p.in != nil {
		_, extra := m.fault(p)
		there := head + p.path.Delay + extra.Delay
		_, s := p.in.find(there, size)
		wait += s.start - there
	}
	return wait, nil
}

// SetLink replaces what the topology says about the path of two zones or two nodes, in that direction, for
// packets sent afterwards. What is on its way arrives as it would have, and nothing overtakes it; what
// waits for the link's old bandwidth is forgotten. Errors: ErrTopology; the model is unchanged.
func (m *Model) SetLink(l Link) error {
	t, ends := m.topo, [2]string{l.From, l.To}
	t.Links = slices.Clone(t.Links)
	if i := slices.IndexFunc(t.Links, func(o Link) bool { return o.From == l.From && o.To == l.To }); i >= 0 {
		t.Links[i] = l
	} else {
		t.Links = append(t.Links, l)
	}
	if err := t.Validate(); err != nil {
		return err
	}
	m.topo = t
	m.links[ends] = l.Path
	if m.zones[l.From] != nil {
		m.roads[ends] = newPipe(l.Bandwidth)
	}
	for _, a := range t.Nodes {
		for _, b := range t.Nodes {
			if p := m.pairs[[2]string{a.Name, b.Name}]; p != nil {
				p.out, p.in = nil, nil
				m.route(p)
			}
		}
	}
	return nil
}

func (m *Model) pair(from, to string) (*pair, error) {
	ends := [2]string{from, to}
	if p := m.pairs[ends]; p != nil {
		return p, nil
	}
	a, b := m.nodes[from], m.nodes[to]
	if a == nil || b == nil {
		return nil, fmt.Errorf("from %q to %q: %w", from, to, ErrName)
	}
	p := &pair{m: m, from: a, to: b}
	m.route(p)
	m.pairs[ends] = p
	return p, nil
}

// route fills in the path of p and the links it passes: the nodes' own, the way out of the site, the road
// between the sites, the way in.
func (m *Model) route(p *pair) {
	if p.from == p.to {
		return
	}
	away := p.from.site != p.to.site
	road := [2]string{p.from.site.name, p.to.site.name}
	between, linked := m.links[road]
	if !linked {
		between = m.topo.Inside
		if away {
			between = m.topo.Between
		}
	}
	p.path = between
	if own, ok := m.links[[2]string{p.from.name, p.to.name}]; ok {
		p.path = own
		p.through(newPipe(own.Bandwidth))
	}
	if away {
		p.through(p.from.site.up)
		p.in = p.to.site.down
	}
	if away || linked {
		if m.roads[road] == nil {
			m.roads[road] = newPipe(between.Bandwidth)
		}
		p.through(m.roads[road])
	} else {
		p.through(newPipe(between.Bandwidth))
	}
}

// lossy reports whether packets of p may be lost by chance.
func (p *pair) lossy() bool {
	_, extra := p.m.fault(p)
	return p.path.Loss+extra.Loss > 0
}

func (p *pair) through(l *pipe) {
	if l != nil {
		p.out = append(p.out, l)
	}
}

// send is Send on a known pair.
//
// Links in a row are cut through: a packet that finds them idle takes as long as the slowest, not as their
// sum. A lost packet takes its share of the links up to the sending site's edge and none behind it.
func (p *pair) send(now time.Duration, size int, draw Draw) (time.Duration, bool) {
	p.m.advance(now, size)
	if p.from == p.to {
		return now, true
	}
	cut, extra := p.m.fault(p)
	if cut {
		return 0, false
	}
	head, tail := now, now
	for _, l := range p.out {
		s := l.reserve(now, head, size)
		head, tail = s.start, max(tail, s.end)
	}
	delay, lost := p.luck(size, extra, draw)
	if lost {
		return 0, false
	}
	head, tail = head+delay, tail+delay
	if p.in != nil {
		tail = max(tail, p.in.reserve(now, head, size).end)
	}
	p.last = max(p.last, tail)
	return p.last, true
}

// advance checks the arguments of a Send.
func (m *Model) advance(now time.Duration, size int) {
	if now < m.now {
		panic(fmt.Sprintf("netsim: time goes back from %v to %v", m.now, now))
	}
	if size < 1 || size > PacketMax {
		panic(fmt.Sprintf("netsim: a packet of %d bytes, want 1 to %d", size, PacketMax))
	}
	m.now = now
}

// luck draws the delay of the slowest of the packets that make up size, and whether one is lost.
func (p *pair) luck(size int, extra Path, draw Draw) (delay time.Duration, lost bool) {
	loss := p.path.Loss + extra.Loss
	jitter := p.path.Jitter + extra.Jitter
	worst := -jitter
	for range (size + MTU - 1) / MTU {
		if jitter > 0 {
			worst = max(worst, time.Duration(below(draw, uint64(2*jitter)+1))-jitter)
		}
		if loss > 0 && Loss(below(draw, uint64(Certain))) < loss {
			lost = true
		}
	}
	return p.path.Delay + extra.Delay + worst, lost
}

// below maps one draw to 0 … n-1, uniform but for n parts in 2^64.
func below(draw Draw, n uint64) uint64 {
	hi, _ := bits.Mul64(draw(), n)
	return hi
}
