// Package kv is the ordered transactional store under a node's metadata: the interface, and in memkv an
// engine in memory with the crash behaviour of a real one. Package kvtest is the suite that every engine
// passes; package group is the group commit they share, and overlay the uncommitted writes of one.
//
// Keys and values are byte strings, ordered by the bytes of the key. One key space holds everything of a
// node; who owns which prefix is the callers' affair.
//
// Two rules hold for the functions given to View and Update. They do not wait, not even for a lock that
// somebody holds across a wait; and they open no other transaction, a View inside a View included: the store
// in production would wait for itself. The engine in memory finds both under the simulator.
package kv

import (
	"context"
	"errors"
)

// Kinds of errors of every engine, for errors.Is.
var (
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("store closed")
	// ErrFailed says that a commit could not be made durable, or that the stored data is damaged. The store
	// answers nothing any more: what a retried sync would report is not the truth. The node must stop.
	ErrFailed = errors.New("store failed")
)

// Limits of every engine.
const (
	// KeyMax is the longest key, in bytes.
	KeyMax = 4096
	// ValueMax is the longest value, in bytes.
	ValueMax = 16 << 20
)

// Store is one node's local store. Safe for concurrent use.
type Store interface {
	// View runs f on a snapshot of what is committed. f must be short and must not wait; what Reader returns
	// is valid until f returns. View returns f's error; a panic in f passes through. What a View sees is
	// durable. Errors: ErrClosed, ErrFailed.
	View(f func(Reader) error) error

	// Update runs f in the next commit and returns when that commit is durable. f sees the effects of all
	// updates before it; if it returns an error, or panics, nothing of its own is applied, other updates of
	// the same commit are not touched, and Update returns the error. f must be short, must not wait, and runs
	// at most once, on a task of the store's own. When ctx ends first, Update returns its error: f never runs
	// if it has not begun, else the outcome is unknown. Errors: ErrClosed, ErrFailed, ctx's, f's, and
	// rt.PanicError.
	Update(ctx context.Context, f func(Writer) error) error

	// Stats describes the store at this moment.
	Stats() Stats

	// Close waits for running transactions and releases the store. Later calls return ErrClosed.
	Close() error
}

// Reader reads a snapshot. Returned slices must not be changed, and not be kept past the transaction.
type Reader interface {
	// Get returns the value of key, nil if there is none. A present empty value is non-nil.
	Get(key []byte) []byte
	// Ascend calls f for every key in [start, end) in ascending order until f returns false. A nil end means
	// no upper bound. f must not write.
	Ascend(start, end []byte, f func(key, value []byte) bool)
	// Descend calls f for every key in [start, end) in descending order until f returns false.
	Descend(start, end []byte, f func(key, value []byte) bool)
}

// Writer reads and changes the store inside an Update. It keeps no reference to the slices it is given.
type Writer interface {
	Reader
	// Put sets key to value. It panics if either exceeds its limit, or if key is empty.
	Put(key, value []byte)
	// Delete removes key; an absent key is no error.
	Delete(key []byte)
}

// Stats describes a store.
type Stats struct {
	SizeBytes int64 // of the file or image, free pages included
	FreeBytes int64 // inside SizeBytes, reusable
	Commits   int64 // since open
	Updates   int64 // since open; Updates/Commits is the mean group size
	Queued    int   // updates waiting for the next commit
}
