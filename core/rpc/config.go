package rpc

import (
	"errors"
	"fmt"
	"time"

	"granary/core/hlc"
	"granary/core/rt"
)

// The protocol versions that this code speaks.
const (
	VersionLowest  = 1
	VersionHighest = 1
)

// MessageMax is the longest message of a call, in bytes, encoded. What is longer goes into a body.
const MessageMax = 4 << 20

// Clock is the node's hybrid logical clock, an *hlc.Clock.
type Clock interface {
	// Last returns the highest stamp that was issued or merged.
	Last() hlc.Stamp
	// Merge makes every stamp that will be issued exceed s. It must not wait.
	Merge(s hlc.Stamp)
}

// Route says how to reach a peer.
type Route struct {
	Addr string
	As   *Identity // nil: the node's own identity
}

// Hooks are what upper layers decide. All of them are called often, from many tasks, and must not wait.
type Hooks struct {
	// Route returns how to reach a peer; ok is false if it is not known. nil: nobody is known.
	Route func(peer rt.NodeID) (route Route, ok bool)
	// Permit decides whether a peer may call a method. nil: every admitted peer may call all.
	Permit func(peer rt.NodeID, method string) bool
	// Layout is the layout version that goes into every message. nil: 0.
	Layout func() uint64
	// OnLayout is told when a message carried another layout version than Layout returns. nil: nobody is
	// told.
	OnLayout func(from rt.NodeID, version uint64)
	// News returns what pings and their answers on Meta connections carry besides, at most NewsMax bytes;
	// nil: nothing. It is called for each, and must not wait.
	News func() []byte
	// OnNews is given what a peer sent; it must not wait, nor keep news. asked is when this node sent the
	// ping of which it came with the answer, so that it was made later; 0 if it came with a peer's own ping.
	// nil: nobody is told.
	OnNews func(from rt.NodeID, news []byte, asked time.Duration)
}

// NewsMax is the longest news of a ping, in bytes.
const NewsMax = 256

// Config holds the limits of an Endpoint. Start from DefaultConfig.
type Config struct {
	// Clock stamps every message. Required.
	Clock Clock
	// Feature is the feature level announced to peers.
	Feature uint32

	// MetaWindowBytes and BulkWindowBytes bound the data that one stream buffers at the receiver.
	MetaWindowBytes int
	BulkWindowBytes int
	// QueueMaxBytes bounds what waits to be sent on one connection; callers beyond wait within their
	// deadline.
	QueueMaxBytes int
	// RequestsMax bounds the requests in hand for one peer.
	RequestsMax int
	// InboundMaxBytes bounds the memory set aside for messages and bodies of the requests in hand, all peers
	// together. A request with a body sets a window aside.
	InboundMaxBytes int64
	// BulkConnsMax is how many Bulk connections may be dialled to one peer. Another is opened when all have
	// two calls in hand.
	BulkConnsMax int
	// LanesMax is how many lanes may be open to one peer (Endpoint.Lanes), LanesTotalMax how many to all
	// together, first come, first served, and LaneRest after what time
	// without use one is closed.
	LanesMax      int
	LanesTotalMax int
	LaneRest      time.Duration
	// CallsPerConn is after how many calls a connection is replaced by a new one. 0: when the stream
	// numbers are used up.
	CallsPerConn uint32
	// AcceptedMax is how many connections of one class are held open for one peer; the oldest gives way.
	AcceptedMax int

	// PingEvery is the time between pings on each dialled connection. The other end pings too when it has had
	// nothing else to say for one and a half times as long, as when our pings wait behind our own data.
	PingEvery time.Duration
	// SilenceMax is how long a connection may be silent before it is given up; noticed within half of
	// PingEvery. At least twice PingEvery.
	SilenceMax time.Duration
	// DialTimeout bounds connecting, HelloTimeout the exchange of hellos after it.
	DialTimeout  time.Duration
	HelloTimeout time.Duration
	// BackoffMin and BackoffMax bound the time after a failed dial during which calls to the peer fail at
	// once. It doubles with every failure, and ends when the peer itself connects.
	BackoffMin time.Duration
	BackoffMax time.Duration

	// EncodeSelf encodes and decodes the messages of calls to the node itself too.
	EncodeSelf bool
}

// DefaultConfig returns the limits that suit most clusters. Clock is not set.
func DefaultConfig() Config {
	return Config{
		MetaWindowBytes: 256 << 10,
		BulkWindowBytes: 1<<20 + 64<<10, // a whole block and its envelope without a pause
		QueueMaxBytes:   1 << 20,
		RequestsMax:     1024,
		InboundMaxBytes: 128 << 20,
		BulkConnsMax:    4,
		LanesMax:        80,  // a block, at 10 segments each
		LanesTotalMax:   480, // of six far peers; some 30 MiB
		LaneRest:        10 * time.Minute,
		AcceptedMax:     128,
		PingEvery:       time.Second,
		SilenceMax:      3 * time.Second,
		DialTimeout:     5 * time.Second,
		HelloTimeout:    5 * time.Second,
		BackoffMin:      100 * time.Millisecond,
		BackoffMax:      time.Second,
	}
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var faults []error
	atLeast := func(name string, value, low int64) {
		if value < low {
			faults = append(faults, fmt.Errorf("rpc config: %s is %d, want at least %d", name, value, low))
		}
	}
	if c.Clock == nil {
		faults = append(faults, errors.New("rpc config: Clock is not set"))
	}
	atLeast("MetaWindowBytes", int64(c.MetaWindowBytes), 1)
	atLeast("BulkWindowBytes", int64(c.BulkWindowBytes), 1)
	atLeast("-MetaWindowBytes", -int64(c.MetaWindowBytes), -windowMax)
	atLeast("-BulkWindowBytes", -int64(c.BulkWindowBytes), -windowMax)
	atLeast("QueueMaxBytes", int64(c.QueueMaxBytes), 2*payloadMax)
	atLeast("RequestsMax", int64(c.RequestsMax), 1)
	atLeast("InboundMaxBytes", c.InboundMaxBytes, MessageMax+int64(max(c.MetaWindowBytes, c.BulkWindowBytes)))
	atLeast("BulkConnsMax", int64(c.BulkConnsMax), 1)
	atLeast("LanesMax", int64(c.LanesMax), 0)
	atLeast("LanesTotalMax", int64(c.LanesTotalMax), 0)
	atLeast("LaneRest", int64(c.LaneRest), 1)
	atLeast("AcceptedMax", int64(c.AcceptedMax), 1)
	atLeast("PingEvery", int64(c.PingEvery), int64(time.Millisecond))
	atLeast("SilenceMax", int64(c.SilenceMax), 2*int64(c.PingEvery))
	atLeast("DialTimeout", int64(c.DialTimeout), 1)
	atLeast("HelloTimeout", int64(c.HelloTimeout), 1)
	atLeast("BackoffMin", int64(c.BackoffMin), 1)
	atLeast("BackoffMax", int64(c.BackoffMax), int64(c.BackoffMin))
	return errors.Join(faults...)
}

func (c Config) window(class Class) int {
	if class == Bulk {
		return c.BulkWindowBytes
	}
	return c.MetaWindowBytes
}
