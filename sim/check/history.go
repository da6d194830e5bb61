package check

import (
	"fmt"
	"math"
	"time"
)

// ValueID names the content of one write; no two writes but copies share one. Zero names none.
type ValueID uint64

// String returns the id as it is shown in reports.
func (v ValueID) String() string { return fmt.Sprintf("v%d", uint64(v)) }

// Kind is what an operation does.
type Kind uint8

// The kinds. Zero is none.
const (
	Put Kind = iota + 1 // stores a value: PutObject, CopyObject, CompleteMultipartUpload
	Delete
	Get
	Head
	List
)

// String returns the kind's name.
func (k Kind) String() string {
	return [...]string{"none", "put", "delete", "get", "head", "list"}[min(k, 5)]
}

func (k Kind) writes() bool { return k == Put || k == Delete }
func (k Kind) reads() bool  { return k == Get || k == Head }

// Outcome is what the client knows of an operation's effect.
type Outcome uint8

// The outcomes. Zero is that nothing is known: a write may have happened or may yet; a read told nothing.
const (
	Unknown Outcome = iota
	OK              // acknowledged; of a read: answered, absent included
	Failed          // it certainly had no effect and will have none
)

// String returns the outcome's name.
func (o Outcome) String() string { return [...]string{"unknown", "ok", "failed"}[min(o, 2)] }

// Level is what a client was promised of what an operation shows.
type Level string

// The levels, by the names that the store gives them. Empty is ReadAfterWrite.
const (
	ReadAfterWrite Level = "read-after-write" // nothing that was superseded before the call
	Monotonic      Level = "monotonic"        // and nothing older than a read before it saw; see [Registers]
	Eventual       Level = "eventual"         // something that was once written, or nothing
)

// Forever is the Return of an operation that has not returned.
const Forever = math.MaxInt64

// Op is one operation of a client.
//
// Call and Return are event numbers: positions in the total order of all calls and returns of the history,
// from 1; virtual times tie, these do not. Operations on several keys at once are one Op for each key and may
// share numbers.
type Op struct {
	Client int
	Kind   Kind
	Key    string
	// Value is what a Put wrote or a read saw. Zero in a read that was not absent: the ETag tells.
	Value ValueID
	// From is set in a Put that is a copy: the key of its source. Its Value is zero; the ETag tells once it
	// is OK.
	From string
	// Absent is what a read saw when it found no object.
	Absent bool
	// ETag is that of the object, without quotes, and Size its whole size in bytes; empty and -1 if not told.
	ETag string
	Size int64
	// Fault is what the client found wrong with what it got, bytes above all; empty if nothing.
	Fault   string
	Outcome Outcome
	Level   Level

	Call, Return         int64
	CalledAt, ReturnedAt time.Duration // virtual or real, for people

	Listing *Listing // List only
	Note    string   // for people
}

// Listing is what a List asked for and all its pages.
type Listing struct {
	Prefix, Delimiter string
	After             string // only names greater than this
	Max               int    // entries of a page, 0 for no limit known
	Pages             []Page
}

// Page is one answer of a listing, with event numbers of its own.
type Page struct {
	Call, Return int64
	Entries      []Entry
	Prefixes     []string
	Truncated    bool
}

// Entry is one object in a listing.
type Entry struct {
	Key, ETag string
	Size      int64
}

// String describes the operation in one line.
func (o Op) String() string {
	ret := "never"
	if o.Return < Forever {
		ret = fmt.Sprint(o.Return)
	}
	s := fmt.Sprintf("[%d, %s] client %d %s %q", o.Call, ret, o.Client, o.Kind, o.Key)
	switch {
	case o.Kind == List && o.Listing != nil:
		s += fmt.Sprintf(" delimiter %q after %q: %d pages", o.Listing.Delimiter, o.Listing.After,
			len(o.Listing.Pages))
	case o.Kind.reads() && o.Absent:
		s += " absent"
	case o.From != "":
		s += fmt.Sprintf(" copy of %q, etag %s", o.From, o.ETag)
	case o.Value != 0:
		s += fmt.Sprintf(" %s, %d bytes", o.Value, o.Size)
	case o.ETag != "":
		s += " etag " + o.ETag
	}
	s += " " + o.Outcome.String()
	if o.Level == Monotonic || o.Level == Eventual {
		s += " " + string(o.Level)
	}
	for _, more := range []string{o.Fault, o.Note} {
		if more != "" {
			s += " (" + more + ")"
		}
	}
	return s
}

// History is a list of operations in order of their calls. The zero value is empty and ready.
type History struct {
	Ops    []Op
	events int64
}

// Tick returns the next event number.
func (h *History) Tick() int64 {
	h.events++
	return h.events
}

// Begin records the call of an operation and returns its index. Until End it is of unknown outcome.
func (h *History) Begin(now time.Duration, op Op) int {
	op.Call, op.Return, op.CalledAt, op.Outcome = h.Tick(), Forever, now, Unknown
	h.Ops = append(h.Ops, op)
	return len(h.Ops) - 1
}

// End records the return of an operation. What it saw is written into Ops[i] before or after.
func (h *History) End(now time.Duration, i int, o Outcome) {
	op := &h.Ops[i]
	op.Return, op.ReturnedAt, op.Outcome = h.Tick(), now, o
}

// Lines describes the operations on a key, listings that could show it included, in order of their calls.
func (h *History) Lines(key string) []string {
	var lines []string
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Key == key && op.Kind != List || op.Kind == List && op.Listing != nil && op.Listing.asks(key) {
			lines = append(lines, fmt.Sprintf("#%d %s", i, op))
		}
	}
	return lines
}

// Count returns how many operations have the outcome.
func (h *History) Count(o Outcome) int {
	n := 0
	for i := range h.Ops {
		if h.Ops[i].Outcome == o {
			n++
		}
	}
	return n
}
