package block

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"

	"granary/core/rpc"
	"granary/core/table"
)

// Hash is the BLAKE3-256 of a block's uncompressed bytes, and its address.
type Hash [32]byte

// String returns the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Compare orders hashes by their bytes.
func (h Hash) Compare(o Hash) int { return bytes.Compare(h[:], o[:]) }

// Kinds of disk errors, for errors.Is.
var (
	ErrNotFound = rpc.RegisterError("block.not_found", errors.New("block not found"))
	ErrDiskFull = table.ErrFull
	ErrDisk     = rpc.RegisterError("block.disk", errors.New("disk error"))
)

// Disk keeps opaque files addressed by hash. It verifies nothing: the block store above does. Safe for
// concurrent use, except that the caller serialises calls for one hash. What a freshly opened disk shows is
// durable.
//
// The context bounds the wait before the work: when it has ended by then, a call returns its error and has
// done nothing. Work once begun is not interrupted. No method keeps the slices it is given.
type Disk interface {
	// Write stores data under h, replacing what is there, and returns when it is durable: a crash at any
	// moment leaves the old file or the new one, whole. Errors: ErrDiskFull (nothing changed), ErrDisk (the
	// old file or the new one is there). A failed sync is not retried: the disk refuses every later Write.
	Write(ctx context.Context, h Hash, data []byte) error
	// Read appends the file under h to dst and returns it. Errors, with dst as it was: ErrNotFound, ErrDisk.
	Read(ctx context.Context, h Hash, dst []byte) ([]byte, error)
	// Remove deletes the file under h; an absent one is no error. The deletion need not survive a crash.
	// It works on a full disk.
	Remove(ctx context.Context, h Hash) error
	// List returns up to max hashes greater than after, in ascending order. A zero Hash begins at the start,
	// so a file under the zero Hash is never listed. Files written or removed meanwhile may or may not be in
	// it.
	List(ctx context.Context, after Hash, max int) ([]Hash, error)
	// Usage reports the space.
	Usage(ctx context.Context) (Usage, error)
}

// Usage is the space of a disk in bytes.
type Usage struct {
	Total int64
	Free  int64 // what Write may still take, a reserve not counted
}
