package k2v

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"granary/core/bucket"
	"granary/core/crdt"
	"granary/core/rpc"
)

// Limits of items and requests, in bytes unless said otherwise.
const (
	// KeyMax bounds a partition key and a sort key.
	KeyMax = 1024
	// ValueMax is the default bound of one value; Config.ValueMax may say otherwise.
	ValueMax = 1 << 20
	// ItemMax bounds the concurrent values of an item together. Each replica may fill its share of it, so
	// that an item can always be sent in one message, however its values were written.
	ItemMax = 7 << 19
	// ValuesMax bounds the concurrent values of an item that one replica wrote.
	ValuesMax = 1000
	// BatchMax is the most elements of one batch.
	BatchMax = 10_000
	// PageMax is the most items that one search returns; it is the default too.
	PageMax = 1000
	// AnswerMax bounds the items that one batch of searches returns, beyond the first of each. AnswerLimit
	// bounds all of them; a batch that finds more is refused.
	AnswerMax   = 8 << 20
	AnswerLimit = 64 << 20
	// PollMin, PollDefault and PollMax bound how long a poll waits.
	PollMin     = time.Second
	PollDefault = 300 * time.Second
	PollMax     = 600 * time.Second
	// PollsMax is the most polls that wait at one node at a time.
	PollsMax = 10_000
)

// Kinds of errors, for errors.Is.
var (
	// ErrNoSuchItem: the item was never written.
	ErrNoSuchItem = errors.New("no such item")
	// ErrInvalid: the request breaks a rule that the text names.
	ErrInvalid = rpc.RegisterError("k2v.invalid", errors.New("invalid request"))
	// ErrFull: the item holds as many concurrent values, or as long ones, as it may.
	ErrFull = rpc.RegisterError("k2v.full", errors.New("item full"))
	// ErrNothingNew: a poll ended without news.
	ErrNothingNew = errors.New("nothing new")
	// ErrTooManyPolls: PollsMax polls are waiting at this node.
	ErrTooManyPolls = errors.New("too many polls wait at this node")
)

// Value is one of the concurrent values of an item. Bytes is nil if Deleted.
type Value struct {
	Deleted bool
	Bytes   []byte
}

// Item is what a client is told of an item.
type Item struct {
	SortKey string
	Values  []Value
	Context crdt.Context
}

// Live reports whether a value is not a deletion.
func (i Item) Live() bool {
	for _, v := range i.Values {
		if !v.Deleted {
			return true
		}
	}
	return false
}

// Key names an item.
type Key struct {
	Bucket bucket.BucketID
	PK, SK string
}

// String names the item for people.
func (k Key) String() string { return fmt.Sprintf("item %.80q of partition %.80q", k.SK, k.PK) }

// CheckKey says what is wrong with a partition key or sort key; field names it.
func CheckKey(field, key string) error {
	switch {
	case key == "" || len(key) > KeyMax:
		return invalid("%s: %d bytes; want 1 to %d", field, len(key), KeyMax)
	case !utf8.ValidString(key):
		return invalid("%s: not valid UTF-8", field)
	}
	return nil
}

// invalidError is an ErrInvalid that names the field.
type invalidError string

// Error implements error.
func (e invalidError) Error() string { return string(e) }

// Is matches ErrInvalid.
func (e invalidError) Is(target error) bool { return target == ErrInvalid }

func invalid(format string, args ...any) error { return invalidError(fmt.Sprintf(format, args...)) }

// itemOf is what clients see of a stored item.
func itemOf(sk []byte, d crdt.DVVS) Item {
	i := Item{SortKey: string(sk), Context: d.Context()}
	for _, v := range d.Values() {
		value := Value{Deleted: v.Deleted, Bytes: v.Bytes}
		if !v.Deleted && value.Bytes == nil {
			value.Bytes = []byte{}
		}
		i.Values = append(i.Values, value)
	}
	return i
}
