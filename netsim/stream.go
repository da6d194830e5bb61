package netsim

import (
	"fmt"
	"time"
)

// Stream is one direction of a TCP connection: bytes go in at one node and come out at the other, in order,
// none lost, none twice. It counts bytes and does not hold them.
//
// It is driven from outside: after every call the owner asks Due and sees to it that Step is called then, not
// later. Loss, cuts and a receiver that takes nothing only make it wait; it tries again for ever. Model and
// numbers: DESIGN.md, "The stream".
//
// Invariants: acked <= arrived <= sent <= queued; consumed <= arrived <= consumed + Receive; flight is the
// sum of the trains in state flying or missing; missing trains exist only while a time-out is armed, or the
// sender is halted.
type Stream struct {
	tcp        TCP
	path, back *pair
	draw       Draw
	takes      func(at time.Duration) bool

	queued, sent, acked int64 // at the sender: bytes handed in; sent once; known to be there
	arrived, consumed   int64 // at the receiver: bytes in order; taken by its reader
	edge, promised      int64 // how far the sender may send, as it knows; as the receiver last said

	trains []train // ascending, contiguous; trains[0] has number base
	base   uint64
	whole  uint64   // trains before this number have arrived in order
	again  []uint64 // numbers of trains to send once more, ascending
	lost   int      // trains in state missing

	twin *Stream // the other direction of the connection, or nil
	held event   // an acknowledgement that waits for data of the twin to ride on, until held.at; 0: none

	arrivals, acks fifo
	alarm          time.Duration // retransmission time-out; 0: none
	update         time.Duration // when the receiver repeats its window; 0: no need
	watch          bool          // the owner waits for acked to grow
	halted         bool          // the sender is no more

	cwnd, ssthresh, flight int64
	clock                  clock
	lastSent               time.Duration
	used                   int64         // the most that was in flight since usedAt
	usedAt                 time.Duration // when the window was last half full, or shrank for not being so
	order                  uint64        // transmissions so far
	recover                uint64        // those before it belong to the last loss episode
}

// train is up to TCP.Train segments sent as one.
type train struct {
	end, size int64 // stream offset behind it; bytes
	sentAt    time.Duration
	order     uint64 // of its latest transmission
	state     trainState
	there     bool // it has arrived
	repeated  bool // sent more than once: no measure of the round trip
}

type trainState uint8

const (
	flying  trainState = iota // on its way, or its acknowledgement is
	missing                   // it or its acknowledgement is lost, and the sender does not know yet
	waiting                   // given up for lost, to be sent again
	known                     // acknowledged
)

// event is an arrival of a train at the receiver, or of an acknowledgement at the sender.
type event struct {
	at    time.Duration
	train uint64
	whole uint64 // acknowledgement: all before this number is there
	edge  int64  // acknowledgement: how far to send
	lone  bool   // acknowledgement of no train, only of the window
}

// fifo holds events in the order of their times, which the model guarantees on a pair.
type fifo []event

func (f fifo) due() (time.Duration, bool) {
	if len(f) == 0 {
		return 0, false
	}
	return f[0].at, true
}

func (f *fifo) pop() event {
	e := (*f)[0]
	*f = drop(*f, 1)
	return e
}

// drop removes the first n elements. A short rest moves to the front, so that a quiet stream allocates
// nothing.
func drop[T any](list []T, n int) []T {
	if rest := list[n:]; len(rest) <= 8 {
		return list[:copy(list, rest)]
	}
	return list[n:]
}

// NewStream returns an idle stream from one node to another, whose connection stands. roundTrip is what
// opening it measured, 0 if nothing. takes is asked at every arrival whether the receiver is there to take
// it, and nil means always; what is not taken is as good as lost. Errors: ErrName, ErrTCP.
func (m *Model) NewStream(
	from, to string, t TCP, roundTrip time.Duration, draw Draw, takes func(at time.Duration) bool,
) (*Stream, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	path, err := m.pair(from, to)
	if err != nil {
		return nil, err
	}
	back, err := m.pair(to, from)
	if err != nil {
		return nil, err
	}
	s := &Stream{tcp: t, path: path, back: back, draw: draw, takes: takes}
	s.edge, s.promised = t.Receive, t.Receive
	s.cwnd = min(int64(t.Initial*t.Segment), t.Window)
	s.ssthresh = t.Window
	if roundTrip > 0 {
		s.clock.sample(roundTrip)
	}
	return s, nil
}

// Join makes a and b the two directions of one connection: acknowledgements of either ride on the data of the
// other. Before anything is sent. The owner asks Due of both again after any call of one.
func Join(a, b *Stream) { a.twin, b.twin = b, a }

// Arrived is how many bytes the receiver has in order, since the beginning.
func (s *Stream) Arrived() int64 { return s.arrived }

// Unacked is how many bytes were handed in and are not known to have arrived: what a send buffer holds.
func (s *Stream) Unacked() int64 { return s.queued - s.acked }

// Window is the congestion window in bytes, for an owner whose send buffer follows it.
func (s *Stream) Window() int64 { return s.cwnd }

// Watch says whether the owner waits for Unacked to fall, so that Due includes acknowledgements that would
// change nothing else.
func (s *Stream) Watch(on bool) { s.watch = on }

// Halt says that the sender is no more: what is on its way arrives, and nothing is sent again.
func (s *Stream) Halt() { s.halted, s.alarm = true, 0 }

// Send hands in n more bytes.
func (s *Stream) Send(now time.Duration, n int) {
	s.Step(now)
	s.queued += int64(n)
	s.pump(now)
}

// Consume says that the receiver's reader took n bytes. It panics when there are fewer.
func (s *Stream) Consume(now time.Duration, n int) {
	s.consumed += int64(n)
	if s.consumed > s.arrived {
		panic(fmt.Sprintf("netsim: consumed %d bytes of %d that arrived", s.consumed, s.arrived))
	}
	if s.update == 0 && s.consumed+s.tcp.Receive-s.promised >= s.tcp.Receive/2 {
		s.openWindow(now)
	}
}

// openWindow tells the sender that there is room again, until it succeeds.
func (s *Stream) openWindow(now time.Duration) {
	s.update = 0
	at, ok := s.back.send(now, s.tcp.Header, s.draw)
	if !ok {
		s.update = now + s.clock.timeout(s.tcp)
		return
	}
	s.promised = s.consumed + s.tcp.Receive
	s.acks = append(s.acks, event{at: at, whole: s.whole, edge: s.promised, lone: true})
}

// Due is when Step must be called next; false if nothing is under way that matters.
func (s *Stream) Due() (time.Duration, bool) {
	due, ok := s.arrivals.due()
	consider := func(at time.Duration, is bool) {
		if is && (!ok || at < due) {
			due, ok = at, true
		}
	}
	if !s.halted && (s.watch || s.sent < s.queued || len(s.again) > 0 || s.lost > 0) {
		consider(s.acks.due())
	}
	consider(s.alarm, s.alarm != 0)
	consider(s.update, s.update != 0)
	consider(s.held.at, s.held.at != 0)
	return due, ok
}

// Step does all that is due up to now.
func (s *Stream) Step(now time.Duration) {
	for s.step(now) {
	}
}

// step does what is due first, arrivals before acknowledgements before alarms before what the receiver sends
// by itself. It reports false if that is after now.
func (s *Stream) step(now time.Duration) bool {
	const never = time.Duration(1<<63 - 1)
	next := func(at time.Duration, ok bool) time.Duration {
		if !ok {
			return never
		}
		return at
	}
	arrival, ack := next(s.arrivals.due()), next(s.acks.due())
	alarm, update := next(s.alarm, s.alarm != 0), next(s.update, s.update != 0)
	first := min(arrival, ack, alarm, update, next(s.held.at, s.held.at != 0))
	switch {
	case first > now:
		return false
	case first == arrival:
		s.arrive(s.arrivals.pop())
	case first == ack:
		s.acknowledge(s.acks.pop())
	case first == alarm:
		s.timeout(max(first, s.path.m.now)) // an alarm counts from when a train was sent, so it may be late
	case first == update:
		s.openWindow(max(first, s.path.m.now))
	default:
		s.release(max(first, s.path.m.now))
	}
	return true
}

// at returns the train of that number.
func (s *Stream) at(number uint64) *train { return &s.trains[number-s.base] }

// arrive is the receiver's side of a train: take it, move on over all that is whole, acknowledge. One that
// came before, whose acknowledgement was lost, is acknowledged again.
func (s *Stream) arrive(e event) {
	if s.takes != nil && !s.takes(e.at) {
		s.unanswered(e.train)
		return
	}
	next := e.train == s.whole
	if e.train >= s.base {
		s.at(e.train).there = true
	}
	for s.whole < s.base+uint64(len(s.trains)) && s.at(s.whole).there {
		s.arrived = s.at(s.whole).end
		s.whole++
	}
	if s.twin != nil && s.tcp.AckDelay > 0 && s.held.at == 0 && next && s.whole == e.train+1 &&
		s.at(e.train).size < 2*int64(s.tcp.Segment) {
		s.held = event{at: e.at + s.tcp.AckDelay, train: e.train}
		return
	}
	at, ok := s.back.send(e.at, s.tcp.Header, s.draw)
	s.answer(e.train, at, ok)
}

// answer is the sending of an acknowledgement that arrives at at, or is lost. It covers what was held back.
func (s *Stream) answer(number uint64, at time.Duration, ok bool) {
	held := s.held
	s.held = event{}
	if !ok {
		if held.at != 0 {
			s.unanswered(held.train)
		}
		s.unanswered(number)
		return
	}
	s.promised = s.consumed + s.tcp.Receive
	s.acks = append(s.acks, event{at: at, train: number, whole: s.whole, edge: s.promised})
}

// release sends the acknowledgement that waited in vain for data to ride on.
func (s *Stream) release(now time.Duration) {
	number := s.held.train
	if s.takes != nil && !s.takes(now) {
		s.held = event{}
		s.unanswered(number)
		return
	}
	at, ok := s.back.send(now, s.tcp.Header, s.draw)
	s.answer(number, at, ok)
}

// unanswered notes that a train that was on its way will not be acknowledged, unless it has been meanwhile.
func (s *Stream) unanswered(number uint64) {
	if number >= s.base && s.at(number).state == flying {
		s.miss(s.at(number))
	}
}
