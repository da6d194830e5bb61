//go:build linux

package wan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"granary/netsim"
)

// NodesMax bounds the nodes of a network.
const NodesMax = 250

// BufferMax bounds the bytes that are on their way in one network.
const BufferMax = 256 << 20

// Options say how a network is made. The zero value is good.
type Options struct {
	// Queue is how long a packet waits for links before it is dropped instead. 0: 100 ms.
	Queue time.Duration
	// Seed is that of the jitter and the losses. When packets are sent is decided by the machine, so equal
	// seeds do not make equal runs.
	Seed uint64
	// Sysctl are kernel settings of every namespace, such as net.ipv4.tcp_congestion_control. A namespace
	// begins with the settings of the machine.
	Sysctl map[string]string
}

// ErrPrivilege is that the process is not allowed to make namespaces and devices.
var ErrPrivilege = errors.New(
	"network namespaces and TUN devices need root (CAP_NET_ADMIN and CAP_SYS_ADMIN)")

// Network is a topology at work. Its methods are safe for concurrent use.
type Network struct {
	nodes  []node
	trains bool
	router *router
	ended  chan struct{}
	err    error // of the router, valid after ended
	once   sync.Once
}

// node is a node of the topology and its namespace.
type node struct {
	netsim.Node
	addr  netip.Addr
	space *space
}

// first is the address before that of the first node.
var first = netip.AddrFrom4([4]byte{10, 86, 0, 0})

// addrOf is the address of the node with that index in the topology.
func addrOf(index int) netip.Addr {
	b := first.As4()
	binary.BigEndian.PutUint16(b[2:], uint16(index+1))
	return netip.AddrFrom4(b)
}

// Check reports whether this process may make a network: nil, or what is missing and how to get it.
func Check() error {
	s, err := newSpace(addrOf(0), true)
	if err != nil {
		return explain(err)
	}
	return s.close()
}

func explain(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%w: %w", ErrPrivilege, err)
	}
	return err
}

// Up makes a network of t and starts to carry its packets. Node i of the topology, from 0, has the address
// 10.86.0.0 + i + 1. Errors: ErrPrivilege; netsim.ErrTopology; those of the system. Nothing is left after an
// error.
func Up(t netsim.Topology, o Options) (_ *Network, err error) {
	if o.Queue == 0 {
		o.Queue = 100 * time.Millisecond
	}
	if len(t.Nodes) == 0 || len(t.Nodes) > NodesMax {
		return nil, fmt.Errorf("topology %q: %w: %d nodes, want 1 to %d", t.Name, netsim.ErrTopology,
			len(t.Nodes), NodesMax)
	}
	model, err := netsim.NewModel(t)
	if err != nil {
		return nil, err
	}
	n := &Network{trains: !lossy(t), ended: make(chan struct{})}
	defer func() {
		if err != nil {
			n.closeSpaces()
		}
	}()
	for i, one := range t.Nodes {
		s, err := newSpace(addrOf(i), n.trains)
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", one.Name, explain(err))
		}
		n.nodes = append(n.nodes, node{Node: one, addr: addrOf(i), space: s})
		if err := s.set(o.Sysctl); err != nil {
			return nil, fmt.Errorf("node %s: %w", one.Name, err)
		}
	}
	n.router, err = newRouter(model, n.nodes, o.Queue, rand.NewPCG(o.Seed, 0).Uint64)
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(n.ended)
		n.err = n.router.run()
	}()
	return n, nil
}

// lossy reports whether a topology loses packets anywhere.
func lossy(t netsim.Topology) bool {
	return t.Between.Loss > 0 || t.Inside.Loss > 0 ||
		slices.ContainsFunc(t.Links, func(l netsim.Link) bool { return l.Loss > 0 })
}

// Close stops the router and gives up the namespaces. Packets on their way are lost. Errors: what stopped the
// router before, if something did.
func (n *Network) Close() error {
	n.once.Do(func() {
		n.router.stop()
		<-n.ended
		n.err = errors.Join(n.err, n.closeSpaces())
	})
	return n.err
}

func (n *Network) closeSpaces() error {
	var errs []error
	for _, one := range n.nodes {
		errs = append(errs, one.space.close())
	}
	if n.router != nil {
		errs = append(errs, unix.Close(n.router.bell))
	}
	return errors.Join(errs...)
}

// Place is a node as others need to know it.
type Place struct {
	Name, Zone string
	Addr       netip.Addr
}

// Places returns all nodes, in the order of the topology.
func (n *Network) Places() []Place {
	var all []Place
	for _, one := range n.nodes {
		all = append(all, Place{one.Name, one.Zone, one.addr})
	}
	return all
}

func (n *Network) node(name string) (*node, error) {
	for i := range n.nodes {
		if n.nodes[i].Name == name {
			return &n.nodes[i], nil
		}
	}
	return nil, fmt.Errorf("node %q: %w: there are %s", name, netsim.ErrName, n.names())
}

func (n *Network) names() string {
	var names []string
	for _, one := range n.nodes {
		names = append(names, one.Name)
	}
	return strings.Join(names, " ")
}

// Start starts a command in the namespace of a node.
func (n *Network) Start(name string, cmd *exec.Cmd) error {
	one, err := n.node(name)
	if err != nil {
		return err
	}
	return enter(one.space.file, cmd.Start)
}

// Enter runs f on a thread in the namespace of a node: sockets that it opens belong there for good. f must
// not leave its goroutine.
func (n *Network) Enter(name string, f func() error) error {
	one, err := n.node(name)
	if err != nil {
		return err
	}
	return enter(one.space.file, f)
}

// Cut loses every packet between a and b, which are nodes, zones or netsim.Any. Errors: netsim.ErrName.
func (n *Network) Cut(a, b string) error {
	return n.change(func(m *netsim.Model) error { return m.Cut(a, b) })
}

// Heal undoes Cut of the same names; of Any and Any every cut. Errors: netsim.ErrName.
func (n *Network) Heal(a, b string) error {
	return n.change(func(m *netsim.Model) error {
		if a == netsim.Any && b == netsim.Any {
			m.HealAll()
			return nil
		}
		return m.Heal(a, b)
	})
}

// SetLink replaces the path of two zones or two nodes in one direction. A path that loses packets is
// refused if the topology had none: see DESIGN.md, "Large packets". Errors: netsim.ErrTopology.
func (n *Network) SetLink(l netsim.Link) error {
	if l.Loss > 0 && n.trains {
		return fmt.Errorf("loss of %s from %s to %s: %w: the network was brought up without any loss; "+
			"give its topology a loss of 1ppm somewhere, and bring it up again", l.Loss, l.From, l.To,
			netsim.ErrTopology)
	}
	return n.change(func(m *netsim.Model) error { return m.SetLink(l) })
}

// Link returns the path of two zones or two nodes, in one direction. Errors: netsim.ErrName.
func (n *Network) Link(from, to string) (netsim.Path, error) {
	n.router.mu.Lock()
	defer n.router.mu.Unlock()
	t := n.router.model.Topology()
	for _, l := range t.Links {
		if l.From == from && l.To == to {
			return l.Path, nil
		}
	}
	for _, z := range t.Zones {
		switch {
		case z.Name != from:
		case from == to:
			return t.Inside, nil
		case slices.ContainsFunc(t.Zones, func(o netsim.Zone) bool { return o.Name == to }):
			return t.Between, nil
		}
	}
	p, err := n.router.model.Path(from, to)
	p.Bandwidth = 0 // that is the zones'
	return p, err
}

func (n *Network) change(f func(*netsim.Model) error) error {
	n.router.mu.Lock()
	defer n.router.mu.Unlock()
	return f(n.router.model)
}

// Stats returns what was counted, and begins anew if reset.
func (n *Network) Stats(reset bool) Stats {
	n.router.mu.Lock()
	defer n.router.mu.Unlock()
	s := n.router.stats
	if reset {
		n.router.stats = Stats{RealTime: s.RealTime}
	}
	return s
}
