package rt

import (
	"bytes"
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// NodeID names a node: its Ed25519 public key, which is also the key its connections are pinned to.
// The zero value names no node.
type NodeID [32]byte

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// String returns the id in 52 lower-case base32 characters.
func (n NodeID) String() string { return idEncoding.EncodeToString(n[:]) }

// Short returns the first 8 characters of String, enough for a person to tell nodes apart in a log.
func (n NodeID) Short() string { return n.String()[:8] }

// Compare orders ids by their bytes.
func (n NodeID) Compare(o NodeID) int { return bytes.Compare(n[:], o[:]) }

// IsZero reports whether n names no node.
func (n NodeID) IsZero() bool { return n == NodeID{} }

// ErrTimeout is returned by the timed waits of this package (Waiter.ParkFor, Queue.GetFor) when their own
// duration is over while the context still lives.
var ErrTimeout = errors.New("rt: wait timed out")

// Forever is the context that never ends: nil, for waits that nothing but their event, or the end of the
// node, may end.
var Forever context.Context

// Env is one node's door to time, randomness, tasks and waiting. See the package documentation for the rules.
type Env interface {
	// Self is the node's own id.
	Self() NodeID

	// Now is the time since the node's start on its monotonic clock. It never goes back while the node runs.
	Now() time.Duration
	// Wall is the node's wall clock in UTC. It may be wrong, and may jump either way.
	Wall() time.Time
	// Rand returns the node's random stream of that name, safe for concurrent use. Streams are independent:
	// drawing from one shifts no other. Predictable; for keys and tokens use Secret.
	Rand(stream string) *rand.Rand
	// Secret returns n unpredictable bytes.
	Secret(n int) []byte

	// Sleep waits for d. It returns early, with the context's error, when ctx ends.
	Sleep(ctx context.Context, d time.Duration) error
	// Background returns the context that ends when the node stops.
	Background() context.Context
	// WithCancel returns a child of ctx that ends when cancel is called or ctx ends.
	WithCancel(ctx context.Context) (context.Context, context.CancelFunc)
	// WithTimeout is WithCancel whose child also ends after d of monotonic time, with
	// context.DeadlineExceeded. The context's Deadline is on the monotonic clock; read it by Remaining.
	WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc)
	// Remaining is the time until ctx's deadline; ok is false if it has none.
	Remaining(ctx context.Context) (d time.Duration, ok bool)

	// Charge says that the task has just computed something over so many bytes. In the simulator it waits for
	// as long as that takes on the node's processors; in production the time has passed, and it does nothing.
	// So it is not called under a Locker.
	Charge(w Work, bytes int)

	// Spawn starts f as a task of the node. Only this package calls it; everybody else uses a Group.
	Spawn(name string, f func())
	// NewLock returns a lock for short sections.
	NewLock() Locker
	// NewWaiter returns a Waiter without a token.
	NewWaiter() Waiter

	Logger
	Meter

	// Buggify reports whether a rare but legal behaviour shall be taken here; p is its probability where the
	// run has enabled the site at all. Constant false in production.
	Buggify(name string, p float64) bool
	// Sometimes records that a rare state was reached (cond true). No-op in production.
	Sometimes(name string, cond bool)
	// Always asserts a property that must hold. A violation is logged and counted in production and fails the
	// run in the simulator. What must stop the node panics with Broken instead.
	Always(cond bool, what string)
	// Mutant reports whether the named protocol step shall be broken on purpose. Constant false in
	// production; only the simulator's world turns one on, to prove that a checker notices.
	Mutant(name string) bool
}

// Work is a kind of computing that takes long enough to be told to Env.Charge.
type Work uint8

// The kinds of Work, and how many there are.
const (
	MD5    Work = iota // of content, for its ETag
	SHA256             // of content, for its signature
	BLAKE3             // of a block
	Zstd               // compression of a block; what decompression takes is next to nothing
	Works
)

// Waiter is the one blocking primitive: a semaphore that holds at most one token. At most one task may wait
// on it at a time.
type Waiter interface {
	// Park takes the token, waiting for it if there is none. Forever, the nil context, never ends. Park
	// returns ctx's error, without the token, when ctx ends first.
	Park(ctx context.Context) error
	// ParkFor is Park that gives up with ErrTimeout after d. d <= 0 takes the token only if it is there.
	ParkFor(ctx context.Context, d time.Duration) error
	// Unpark leaves a token; a second one before it is taken is lost.
	Unpark()
}

// Locker is a lock for a short section that does not wait.
type Locker interface {
	Lock()
	Unlock()
}

// Logger writes structured lines; kv are alternating names and values. The Env adds time, node and task.
type Logger interface {
	Debug(msg string, kv ...any)
	Info(msg string, kv ...any)
	Warn(msg string, kv ...any)
	Error(msg string, kv ...any)
}

// Meter records measurements. labels are alternating names and values, few and of few distinct values; one
// name is always used with the same label names.
type Meter interface {
	// Count adds delta to a counter.
	Count(name string, delta float64, labels ...string)
	// Gauge sets a gauge.
	Gauge(name string, value float64, labels ...string)
	// Observe adds a value, in seconds for durations, to a histogram.
	Observe(name string, value float64, labels ...string)
}

// Broken is the panic value of a broken invariant: the node must stop before it does harm.
type Broken struct{ What string }

func (b Broken) Error() string { return "broken invariant: " + b.What }

// Break panics with Broken.
func Break(format string, args ...any) {
	panic(Broken{What: fmt.Sprintf(format, args...)})
}
