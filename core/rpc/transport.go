package rpc

import (
	"context"
	"errors"

	"granary/core/rt"
)

// Class separates small messages from bulk data, each on connections of its own, so that a block never
// delays a row.
type Class uint8

// The traffic classes.
const (
	Meta Class = iota // rows, pings, anything small
	Bulk              // block bodies
)

// Identity is what a node proves when it opens a connection: its Ed25519 seed, from which the key, and so
// the NodeID, follows. The zero Identity is the transport's own.
type Identity struct{ Seed [32]byte }

// Target says whom to connect to.
type Target struct {
	Addr  string    // host:port in production, an opaque name in the simulator
	Peer  rt.NodeID // the key the other end must prove
	Class Class
	As    *Identity // nil: the transport's own identity; else a join token's
	// Lane is that the connection will carry a burst now and then and rest in between, so that what may be
	// sent at once had better leave at once. Advice only.
	Lane bool
}

// Transport opens and accepts authenticated, ordered, reliable byte streams between nodes. It knows nothing
// of what runs over them. Safe for concurrent use.
type Transport interface {
	// Self is the transport's own identity.
	Self() rt.NodeID
	// Addr is the address other nodes may dial by default.
	Addr() string
	// Dial connects to t and proves both identities. Errors: ErrUnreachable, ErrIdentity (the other end
	// proved another key, or refused ours), ctx's error.
	Dial(ctx context.Context, t Target) (Conn, error)
	// Accept waits for the next connection whose key passes the admission function. It returns ErrClosed
	// after Close.
	Accept(ctx context.Context) (Conn, error)
	// Admit sets the function that decides, inside the handshake, whether a key may connect. Before the
	// first call nobody may. It must not wait.
	Admit(func(peer rt.NodeID) bool)
	// Close closes the listener and every connection.
	Close() error
}

// Conn is one authenticated byte stream. One task may read while another writes.
type Conn interface {
	Peer() rt.NodeID
	Class() Class
	// Read waits until at least one byte is there. io.EOF after the other end closed in order.
	Read(p []byte) (int, error)
	// Write waits until all of p is accepted for sending, not until it has arrived.
	Write(p []byte) (int, error)
	// Close ends the stream in both directions and makes waiting Reads and Writes return.
	Close() error
}

// Kinds of transport errors, for errors.Is.
var (
	ErrUnreachable = errors.New("peer unreachable")
	ErrIdentity    = errors.New("peer identity refused")
	ErrClosed      = errors.New("transport closed")
)
