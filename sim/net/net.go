package net

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"granary/core/rpc"
	"granary/core/rt"
	"granary/netsim"
	"granary/sim/sched"
)

// Options are the numbers of the hosts. Start from DefaultOptions.
type Options struct {
	TCP netsim.TCP
	// SendBuffer is how many bytes of a direction may be written and not yet acknowledged; Write waits
	// beyond. As in Linux it is not there at once: the buffer holds twice the congestion window until that
	// exceeds it. So what is written last on a slow path waits about two round trips, not for megabytes.
	SendBuffer int64
	// TLSRounds is how many round trips follow that of TCP before a connection is open. 0: the keys are
	// exchanged with the first.
	TLSRounds int
	// Patience is how long the first packet of each round of opening waits for its answer; the wait doubles
	// with each repetition. After Tries packets Dial fails with ErrUnreachable.
	Patience time.Duration
	Tries    int
	// Linger is how long a closed connection goes on to send what was written before.
	Linger time.Duration
	// Backlog bounds the connections that wait for Accept; one more is reset.
	Backlog int
	// Observe, if not nil, is told what happens, at once; it must not wait.
	Observe func(Event)
}

// DefaultOptions returns the numbers of an untuned Linux host: netsim.DefaultTCP, a send buffer of 4 MiB
// (tcp_wmem), TLS 1.3 without resumption, SYNs repeated after 1, 2, 4 … s and 7 in all (tcp_syn_retries), a
// minute of lingering, a backlog of 1024.
func DefaultOptions() Options {
	return Options{
		TCP: netsim.DefaultTCP(), SendBuffer: 4 << 20, TLSRounds: 1,
		Patience: time.Second, Tries: 7, Linger: time.Minute, Backlog: 1024,
	}
}

// ErrOptions is the kind of every fault in Options.
var ErrOptions = errors.New("bad network options")

// Validate reports all faults at once, or nil.
func (o Options) Validate() error {
	var faults []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	check(o.SendBuffer >= 1, "SendBuffer %d, want 1 or more", o.SendBuffer)
	check(o.TLSRounds >= 0 && o.TLSRounds <= 8, "TLSRounds %d, want 0 to 8", o.TLSRounds)
	check(o.Patience > 0 && o.Patience <= time.Hour, "Patience %v, want above 0 and at most 1h", o.Patience)
	check(o.Tries >= 1 && o.Tries <= 20, "Tries %d, want 1 to 20", o.Tries)
	check(o.Linger >= 0, "Linger %v, want 0 or more", o.Linger)
	check(o.Backlog >= 1, "Backlog %d, want 1 or more", o.Backlog)
	if err := o.TCP.Validate(); err != nil {
		faults = append(faults, err.Error())
	}
	if faults == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrOptions, strings.Join(faults, "; "))
}

// Sizes on the wire, in bytes: a bare TCP packet, and the flights of a TLS 1.3 handshake with Ed25519
// certificates on both sides: the first of the one who dials, the answer, and the second of the one who
// dials, which travels ahead of its data.
const (
	bareBytes   = 60
	helloBytes  = 360
	answerBytes = 1000
	proofBytes  = 800
)

// ErrReset is returned by Read and Write when the other end no longer knows the connection.
var ErrReset = errors.New("connection reset")

// Kind says what an Event is.
type Kind string

// The kinds of events.
const (
	Open    Kind = "net/open"    // a Dial succeeded
	Send    Kind = "net/send"    // Write handed bytes to the stream
	Deliver Kind = "net/deliver" // bytes can be read
	Close   Kind = "net/close"   // one end was closed
	Reset   Kind = "net/reset"   // one end learned that the other does not know the connection
)

// Event is what happened on a connection at a moment of virtual time.
type Event struct {
	Kind     Kind
	At       time.Duration
	Conn     uint64 // connections are numbered from 1
	From, To string // nodes: the direction of the bytes, or who acted and the other end
	Bytes    int64  // Deliver: of the stream, so with the handshake's and one for the end
	Digest   uint32 // Send: CRC-32C of the bytes
}

// Net is the network of one world.
type Net struct {
	sched *sched.Sched
	model *netsim.Model
	opts  Options
	draw  netsim.Draw
	hosts map[string]string     // node by address
	known int                   // nodes of the topology that hosts has
	at    map[string]*Transport // the latest of each node
	conns uint64
}

// New returns a network on which no node has a transport yet. Its randomness is the run's stream "net".
// Errors: ErrOptions.
func New(s *sched.Sched, m *netsim.Model, o Options) (*Net, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &Net{
		sched: s, model: m, opts: o, draw: s.Rand("net").Uint64,
		hosts: map[string]string{}, at: map[string]*Transport{},
	}, nil
}

// Model is the model underneath, on which faults are made and healed.
func (n *Net) Model() *netsim.Model { return n.model }

// PeerOf returns the id that an identity proves.
func PeerOf(id rpc.Identity) rt.NodeID {
	return rt.NodeID(ed25519.NewKeyFromSeed(id.Seed[:]).Public().(ed25519.PublicKey))
}

// host returns the node that has the address.
func (n *Net) host(addr string) (string, bool) {
	nodes := n.model.Topology().Nodes
	for _, node := range nodes[n.known:] {
		n.hosts[node.Addr()] = node.Name
	}
	n.known = len(nodes)
	name, ok := n.hosts[addr]
	return name, ok
}

// packet sends size bytes and calls f when they are there, if ever.
func (n *Net) packet(from, to string, size int, f func()) {
	now := n.sched.Now()
	at, ok, err := n.model.Send(now, from, to, size, n.draw)
	if err != nil {
		rt.Break("sim/net: %v", err)
	}
	if ok {
		n.sched.After(at-now, f)
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// note folds an event into the trace hash and tells the observer.
func (n *Net) note(e Event) {
	e.At = n.sched.Now()
	n.sched.Fold(string(e.Kind),
		uint64(e.At), e.Conn, name(e.From), name(e.To), uint64(e.Bytes), uint64(e.Digest))
	if n.opts.Observe != nil {
		n.opts.Observe(e)
	}
}

// name digests a node's name for the trace hash.
func name(s string) uint64 { return uint64(crc32.Checksum([]byte(s), castagnoli)) }
