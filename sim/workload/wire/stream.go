package wire

import (
	"context"
	"errors"
	"io"
	"time"

	"granary/core/rt"
	"granary/sim/sched"
)

// ErrReset is what either end of a broken connection gets.
var ErrReset = errors.New("wire: connection reset by peer")

// errDeadline is what Read and Write return when a deadline of http.ResponseController passes.
var errDeadline error = timeout{}

// timeout is an error of the kind that net's are.
type timeout struct{}

// Error describes the error.
func (timeout) Error() string { return "wire: i/o timeout" }

// Timeout reports that it is one.
func (timeout) Timeout() bool { return true }

// segmentMax is the size of the pieces in which data travel, in bytes.
const segmentMax = 16 << 10

// segment is a piece of a stream, or its end, and when it arrives.
type segment struct {
	at   time.Duration
	data []byte
	head *head // an answer's head instead of data
	end  error // the end of the stream instead of data
}

// stream is one direction of a connection. One task writes and one reads.
type stream struct {
	s        *sched.Sched
	delay    time.Duration
	rate     int64 // bytes per second, 0 for no limit
	window   int
	line     time.Duration // when the line is free again
	segments []segment
	first    int // segments[first:] are under way
	buffered int
	broken   error
	ended    bool
	canRead  rt.Waiter
	canWrite rt.Waiter
	// readBy and writeBy are deadlines of the run; 0 means none.
	readBy, writeBy time.Duration
}

func newStream(s *sched.Sched, from, to *sched.Env, l Link, rate int64) *stream {
	return &stream{
		s: s, delay: l.Delay, rate: rate, window: l.Window,
		canRead: to.NewWaiter(), canWrite: from.NewWaiter(),
	}
}

// push puts a segment of n bytes on the line.
func (t *stream) push(g segment, n int) {
	t.line = max(t.line, t.s.Now())
	if t.rate > 0 {
		t.line += time.Duration(int64(n) * int64(time.Second) / t.rate)
	}
	g.at = t.line + t.delay
	t.segments = append(t.segments, g)
	t.canRead.Unpark()
}

// write copies p onto the line, waiting for room.
func (t *stream) write(ctx context.Context, p []byte) (n int, err error) {
	for n < len(p) {
		for t.broken == nil && t.buffered >= t.window {
			if err := t.wait(ctx, t.canWrite, t.writeBy, 0); err != nil {
				return n, err
			}
		}
		if t.broken != nil {
			return n, t.broken
		}
		if t.ended {
			rt.Break("wire: write behind the end of a stream")
		}
		size := min(segmentMax, len(p)-n)
		t.buffered += size
		t.push(segment{data: append([]byte(nil), p[n:n+size]...)}, size)
		n += size
	}
	return n, nil
}

// end closes the stream behind what was written: the reader gets err then.
func (t *stream) end(err error) {
	if !t.ended && t.broken == nil {
		t.ended = true
		t.push(segment{end: err}, 0)
	}
}

// next returns the segment that has arrived first, waiting for it.
func (t *stream) next(ctx context.Context) (*segment, error) {
	for {
		if t.broken != nil {
			return nil, t.broken
		}
		arrives := time.Duration(0)
		if t.first < len(t.segments) {
			g := &t.segments[t.first]
			if g.at <= t.s.Now() {
				return g, nil
			}
			arrives = g.at
		}
		if err := t.wait(ctx, t.canRead, t.readBy, arrives); err != nil {
			return nil, err
		}
	}
}

// read copies what has arrived, waiting for the first byte or the end.
func (t *stream) read(ctx context.Context, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	g, err := t.next(ctx)
	switch {
	case err != nil:
		return 0, err
	case g.end != nil:
		return 0, g.end
	case g.head != nil:
		rt.Break("wire: a head in the middle of a body")
	}
	n := copy(p, g.data)
	g.data = g.data[n:]
	t.buffered -= n
	if len(g.data) == 0 {
		t.pop()
	}
	t.canWrite.Unpark()
	return n, nil
}

func (t *stream) pop() {
	t.segments[t.first] = segment{}
	t.first++
	if t.first == len(t.segments) {
		t.segments, t.first = t.segments[:0], 0
	}
}

// wait parks until something happens, until the instant at (0 for none), or until the deadline by passes.
func (t *stream) wait(ctx context.Context, w rt.Waiter, by, at time.Duration) error {
	until := at
	if by > 0 && (until == 0 || by < until) {
		until = by
	}
	if until == 0 {
		return w.Park(ctx)
	}
	if by > 0 && by <= t.s.Now() {
		return errDeadline
	}
	if err := w.ParkFor(ctx, until-t.s.Now()); err != nil && !errors.Is(err, rt.ErrTimeout) {
		return err
	}
	return nil
}

// breakOff ends the stream for both sides now; what is under way is lost.
func (t *stream) breakOff() {
	if t.broken != nil {
		return
	}
	t.broken = ErrReset
	t.canRead.Unpark()
	t.canWrite.Unpark()
}

// readerFunc is a reader that waits with a context of its own.
type readerFunc func(p []byte) (int, error)

// Read implements io.Reader.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

var _ io.Reader = readerFunc(nil)
