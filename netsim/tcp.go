package netsim

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// TCP holds the numbers of the stream model. Start from DefaultTCP; Validate says what is possible.
type TCP struct {
	// Segment is the payload of a full packet, Header what each adds on the wire, in bytes.
	Segment, Header int
	// Initial is the congestion window of a new connection, and of one that rested, in segments.
	Initial int
	// Train is how many segments, at most, are sent and arrive as one event; on a path that loses packets it
	// is one, so that a loss costs what it should. It bounds the cost of a simulated megabyte; larger trains
	// make a shared link coarser.
	Train int
	// Window bounds the congestion window, Receive the bytes that arrived and were not consumed, in bytes.
	Window, Receive int64
	// First is the retransmission time-out while no round trip has been measured. After that it is the
	// smoothed round trip plus four times its deviation or Least, whichever is larger; it doubles with each
	// time-out in a row, and never exceeds Most.
	First, Least, Most time.Duration
	// AckDelay is how long the acknowledgement of a lone train of less than two segments waits for data to
	// ride on, if the stream is joined to another. 0: not at all.
	AckDelay time.Duration
	// KeepWindow leaves the congestion window alone when the connection rested for longer than its
	// retransmission time-out. By default it falls back to Initial.
	KeepWindow bool
}

// DefaultTCP returns the numbers of an untuned Linux host: segments of 1460 + 40 bytes, 10 of them at first
// (RFC 6928), 4 MiB of window and of buffer (the third value of tcp_wmem), 1 s, 200 ms and 120 s of time-out
// (RFC 6298; TCP_RTO_MIN, TCP_RTO_MAX), 40 ms of waiting acknowledgements (RFC 1122; TCP_DELACK_MIN), restart
// after idle (RFC 5681 §4.1; tcp_slow_start_after_idle).
func DefaultTCP() TCP {
	return TCP{
		Segment: 1460, Header: 40, Initial: 10, Train: 10, Window: 4 << 20, Receive: 4 << 20,
		First: time.Second, Least: 200 * time.Millisecond, Most: 120 * time.Second,
		AckDelay: 40 * time.Millisecond,
	}
}

// ErrTCP is the kind of every fault in the numbers of a stream.
var ErrTCP = errors.New("bad TCP numbers")

// Validate reports all faults at once, or nil.
func (t TCP) Validate() error {
	var faults []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	check(t.Segment > 0 && t.Segment <= 64<<10, "Segment %d, want 1 to 65536", t.Segment)
	check(t.Header > 0 && t.Header <= 1<<10, "Header %d, want 1 to 1024", t.Header)
	check(t.Initial > 0 && t.Initial <= 1<<16, "Initial %d, want 1 to 65536", t.Initial)
	check(t.Train > 0 && t.Train*(t.Segment+t.Header) <= PacketMax,
		"Train %d of %d bytes, want 1 or more and at most %d bytes in all",
		t.Train, t.Segment+t.Header, PacketMax)
	check(t.Window >= int64(t.Segment), "Window %d, want a Segment or more", t.Window)
	check(t.Receive >= 2*int64(t.Segment), "Receive %d, want two Segments or more", t.Receive)
	check(t.Least > 0 && t.Least <= t.First && t.First <= t.Most && t.Most <= DelayMax,
		"time-outs Least %v, First %v, Most %v: want 0 < Least <= First <= Most <= %v",
		t.Least, t.First, t.Most, DelayMax)
	check(t.AckDelay >= 0 && t.AckDelay < t.Least, "AckDelay %v, want 0 or more and less than Least",
		t.AckDelay)
	if faults == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrTCP, strings.Join(faults, "; "))
}

// clock estimates the retransmission time-out from round trips. Source: RFC 6298, with Linux' lower bound on
// the deviation's part.
type clock struct {
	smooth, dev time.Duration
	backoff     int // time-outs in a row
}

func (c *clock) sample(r time.Duration) {
	if c.smooth == 0 {
		c.smooth, c.dev = r, r/2
		return
	}
	c.dev += ((r - c.smooth).Abs() - c.dev) / 4
	c.smooth += (r - c.smooth) / 8
}

// timeout is the time-out before any doubling.
func (c *clock) timeout(t TCP) time.Duration {
	if c.smooth == 0 {
		return t.First
	}
	return min(c.smooth+max(4*c.dev, t.Least), t.Most)
}

// next is the time-out to wait now.
func (c *clock) next(t TCP) time.Duration {
	d := c.timeout(t)
	for range c.backoff {
		d = min(2*d, t.Most)
	}
	return d
}
