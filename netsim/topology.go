package netsim

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Limits of a topology, and of what a Model is asked to carry.
const (
	FileMax   = 1 << 20   // bytes of a topology file
	NodesMax  = 10_000    // nodes
	LinksMax  = 100_000   // directed links
	NameMax   = 64        // bytes of a name or an address
	DelayMax  = time.Hour // of a path
	RateMin   = Rate(1_000)
	RateMax   = Rate(1_000_000_000_000)
	PacketMax = 1 << 20 // bytes given to one Send
)

// Any stands for every node where a fault takes a name. No zone or node bears it.
const Any = "*"

// Topology describes a network.
//
// The zero value has no node and is valid.
type Topology struct {
	Name  string
	Zones []Zone
	Nodes []Node
	// Between holds for nodes in different zones, Inside for nodes of one zone, where no Link says otherwise.
	// Between.Bandwidth is shared by all nodes of a directed pair of zones; Inside.Bandwidth belongs to each
	// directed pair of nodes, as on a switch.
	Between, Inside Path
	Links           []Link
}

// Zone is a site.
type Zone struct {
	Name string
	// Up and Down bound all traffic that leaves and enters the zone. Zero: unlimited.
	Up, Down Rate
}

// Node is a machine in a zone.
type Node struct {
	Name, Zone string
	// Address is what peers dial. Empty: the name.
	Address string
}

// Path is what a packet meets in one direction.
//
// The zero value is a perfect path: no delay, no loss, no limit.
type Path struct {
	Delay     time.Duration // one way
	Jitter    time.Duration // uniform, up to this much less or more than Delay; at most Delay
	Loss      Loss          // of each packet, independently
	Bandwidth Rate
}

// Link sets the path from one zone to another (or within one, if they are the same) or from one node to
// another, in that direction only. A link of nodes wins over a link of their zones.
//
// The Bandwidth of a link of zones is shared by all their nodes; that of a link of nodes is their own, and
// what they send still passes the link of their zones.
type Link struct {
	From, To string
	Path
}

// Regular returns a topology of zones a, b, c … with perZone nodes each, named a1, a2 … b1 ….
//
// It panics unless there are 1 to 26 zones.
func Regular(name string, zones, perZone int, between, inside Path) Topology {
	if zones < 1 || zones > 26 {
		panic(fmt.Sprintf("netsim: %d zones: Regular makes 1 to 26", zones))
	}
	t := Topology{Name: name, Between: between, Inside: inside}
	for z := range zones {
		zone := string(rune('a' + z))
		t.Zones = append(t.Zones, Zone{Name: zone})
		for n := range perZone {
			t.Nodes = append(t.Nodes, Node{Name: fmt.Sprint(zone, n+1), Zone: zone})
		}
	}
	return t
}

// ErrTopology is the kind of every fault that Validate and Parse find.
var ErrTopology = errors.New("bad topology")

// Validate reports all faults of t at once, or nil.
func (t *Topology) Validate() error {
	c := checker{kind: map[string]string{}, addr: map[string]string{}}
	if len(t.Nodes) > NodesMax || len(t.Zones) > NodesMax {
		c.fault("%d zones, %d nodes: at most %d of each", len(t.Zones), len(t.Nodes), NodesMax)
	}
	if len(t.Links) > LinksMax {
		c.fault("%d links: at most %d", len(t.Links), LinksMax)
	}
	for _, z := range t.Zones {
		c.zone(z)
	}
	for _, n := range t.Nodes {
		c.node(n)
	}
	c.path("between", t.Between)
	c.path("inside", t.Inside)
	seen := map[[2]string]bool{}
	for _, l := range t.Links {
		c.link(l, seen)
	}
	return c.result(t.Name)
}

// checker gathers faults. kind says what each name is: "zone" or "node".
type checker struct {
	kind, addr map[string]string
	faults     []string
}

func (c *checker) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

func (c *checker) result(name string) error {
	if len(c.faults) == 0 {
		return nil
	}
	return fmt.Errorf("topology %q: %w:\n  %s", name, ErrTopology, strings.Join(c.faults, "\n  "))
}

func (c *checker) zone(z Zone) {
	what := fmt.Sprintf("zone %q", z.Name)
	c.name(what, z.Name, "zone")
	c.rate(what+": up", z.Up)
	c.rate(what+": down", z.Down)
}

func (c *checker) node(n Node) {
	what := fmt.Sprintf("node %q", n.Name)
	c.name(what, n.Name, "node")
	if c.kind[n.Zone] != "zone" {
		c.fault("%s: zone %q is not declared", what, n.Zone)
	}
	addr := n.Addr()
	if len(addr) > NameMax {
		c.fault("%s: address of %d bytes, at most %d", what, len(addr), NameMax)
	}
	if other, taken := c.addr[addr]; taken && other != n.Name {
		c.fault("%s: address %q is that of node %q", what, addr, other)
	}
	c.addr[addr] = n.Name
}

func (c *checker) name(what, name, kind string) {
	switch {
	case name == "" || name == Any || len(name) > NameMax || strings.ContainsFunc(name, unprintable):
		c.fault("%s: a name is 1 to %d printable ASCII bytes without blanks, and not %q", what, NameMax, Any)
	case c.kind[name] != "":
		c.fault("%s: the name is taken by a %s", what, c.kind[name])
	default:
		c.kind[name] = kind
	}
}

func unprintable(r rune) bool { return r <= ' ' || r > '~' }

func (c *checker) rate(what string, r Rate) {
	if r != 0 && (r < RateMin || r > RateMax) {
		c.fault("%s: %d bit/s, want %d to %d or 0 for no limit",
			what, int64(r), int64(RateMin), int64(RateMax))
	}
}

func (c *checker) path(what string, p Path) {
	if p.Delay < 0 || p.Delay > DelayMax {
		c.fault("%s: delay %v, want 0 to %v", what, p.Delay, DelayMax)
	}
	if p.Jitter < 0 || p.Jitter > p.Delay {
		c.fault("%s: jitter %v, want 0 to the delay, %v", what, p.Jitter, p.Delay)
	}
	if p.Loss < 0 || p.Loss > Certain {
		c.fault("%s: loss %d ppm, want 0 to %d", what, int64(p.Loss), int64(Certain))
	}
	c.rate(what+": bandwidth", p.Bandwidth)
}

func (c *checker) link(l Link, seen map[[2]string]bool) {
	what := fmt.Sprintf("link %q to %q", l.From, l.To)
	from, to := c.kind[l.From], c.kind[l.To]
	switch {
	case from == "":
		c.fault("%s: %q is not declared", what, l.From)
	case to == "":
		c.fault("%s: %q is not declared", what, l.To)
	case from != to:
		c.fault("%s: joins a %s and a %s; want two zones or two nodes", what, from, to)
	case from == "node" && l.From == l.To:
		c.fault("%s: joins a node to itself", what)
	}
	ends := [2]string{l.From, l.To}
	if seen[ends] {
		c.fault("%s: declared twice", what)
	}
	seen[ends] = true
	c.path(what, l.Path)
}

// Addr is what peers dial: Address, or the name.
func (n Node) Addr() string {
	if n.Address == "" {
		return n.Name
	}
	return n.Address
}
