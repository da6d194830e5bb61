package netsim

import (
	"slices"
	"time"
)

// The sender's side of a Stream: what may be sent when, and what an acknowledgement or its absence teaches.
// Source: RFC 5681 (slow start, congestion avoidance, restart), RFC 6298 (time-out), RFC 8985 (a train is
// lost when one sent after it is acknowledged, for nothing overtakes on a pair), RFC 2861 and 7661 (a window
// that is not used does not grow, and shrinks).

// pump sends what the windows allow: first what is to be repeated, then what is new.
func (s *Stream) pump(now time.Duration) {
	if s.halted || len(s.again) == 0 && s.sent == s.queued {
		return
	}
	if s.flight == 0 && !s.tcp.KeepWindow && now-s.lastSent > s.clock.timeout(s.tcp) {
		s.cwnd = min(s.cwnd, int64(s.tcp.Initial*s.tcp.Segment))
	}
	for len(s.again) > 0 {
		t := s.at(s.again[0])
		if s.flight > 0 && s.flight+t.size > s.cwnd {
			return
		}
		t.repeated = true
		s.transmit(now, s.again[0])
		s.again = drop(s.again, 1)
	}
	for s.sent < s.queued {
		n := s.room()
		if n == 0 {
			return
		}
		s.sent += n
		s.trains = append(s.trains, train{end: s.sent, size: n})
		s.transmit(now, s.base+uint64(len(s.trains))-1)
		s.validate(now)
	}
}

// validate takes back half of what the window exceeds its use by, once per time-out in which it was never
// half full: a trickle keeps no window open.
func (s *Stream) validate(now time.Duration) {
	if s.tcp.KeepWindow || 2*s.flight >= s.cwnd {
		s.used, s.usedAt = 0, now
		return
	}
	s.used = max(s.used, s.flight)
	if now-s.usedAt < s.clock.timeout(s.tcp) {
		return
	}
	if enough := max(s.used, int64(s.tcp.Initial*s.tcp.Segment)); enough < s.cwnd {
		s.ssthresh = max(s.ssthresh, s.cwnd/4*3)
		s.cwnd = (s.cwnd + enough) / 2
	}
	s.used, s.usedAt = 0, now
}

// room is the size of the next new train; 0 if it has to wait. A train of less than a segment goes out only
// if it is all there is, or nothing is on its way.
func (s *Stream) room() int64 {
	segment := int64(s.tcp.Segment)
	train := segment
	if !s.path.lossy() {
		train *= int64(s.tcp.Train)
	}
	left := min(s.queued-s.sent, train)
	n := min(left, s.cwnd-s.flight, s.edge-s.sent)
	if n <= 0 || n < left && n < segment && s.flight > 0 {
		return 0
	}
	if n < left && n > segment {
		n -= n % segment
	}
	return n
}

func (s *Stream) transmit(now time.Duration, number uint64) {
	t := s.at(number)
	segments := (t.size + int64(s.tcp.Segment) - 1) / int64(s.tcp.Segment)
	at, ok := s.path.send(now, int(t.size+segments*int64(s.tcp.Header)), s.draw)
	t.state, t.sentAt, t.order = flying, now, s.order
	s.order++
	s.flight += t.size
	s.lastSent = now
	if s.twin != nil && s.twin.held.at != 0 {
		s.twin.answer(s.twin.held.train, at, ok)
	}
	if !ok {
		s.miss(t)
		return
	}
	s.arrivals = append(s.arrivals, event{at: at, train: number})
}

// miss notes that no acknowledgement of t will come from its latest transmission.
func (s *Stream) miss(t *train) {
	t.state = missing
	s.lost++
	if s.alarm == 0 && !s.halted {
		s.alarm = t.sentAt + s.clock.next(s.tcp)
	}
}

// acknowledge is the arrival of an acknowledgement.
func (s *Stream) acknowledge(e event) {
	s.edge = max(s.edge, e.edge)
	before, order, fresh := s.flight, uint64(0), int64(0)
	if !e.lone && e.train >= s.base {
		t := s.at(e.train)
		order = t.order
		if !t.repeated {
			s.clock.sample(e.at - t.sentAt)
		}
		fresh += s.settle(e.train)
	}
	for n := s.base; n < e.whole; n++ {
		fresh += s.settle(n)
	}
	s.retire()
	if fresh > 0 {
		s.grow(before, fresh)
		s.clock.backoff = 0
		s.suspect(order)
		s.rearm(e.at)
	}
	s.pump(e.at)
}

// settle marks a train acknowledged and returns its size, 0 if it was already.
func (s *Stream) settle(number uint64) int64 {
	t := s.at(number)
	switch t.state {
	case known:
		return 0
	case waiting:
		s.again = slices.DeleteFunc(s.again, func(n uint64) bool { return n == number })
	case missing:
		s.lost--
		s.flight -= t.size
	default:
		s.flight -= t.size
	}
	t.state = known
	return t.size
}

// retire forgets the trains at the front that both sides are done with.
func (s *Stream) retire() {
	i := 0
	for i < len(s.trains) && s.trains[i].state == known && s.base+uint64(i) < s.whole {
		s.acked = s.trains[i].end
		i++
	}
	s.trains, s.base = drop(s.trains, i), s.base+uint64(i)
}

// grow opens the congestion window for fresh acknowledged bytes, if at least half of it was in use.
func (s *Stream) grow(flight, fresh int64) {
	switch {
	case 2*flight < s.cwnd:
	case s.cwnd < s.ssthresh:
		s.cwnd += fresh
	default:
		s.cwnd += int64(s.tcp.Segment) * fresh / s.cwnd
	}
	s.cwnd = min(s.cwnd, s.tcp.Window)
}

// suspect gives up the missing trains sent before the transmission that was just acknowledged, and halves the
// window once for all that were sent before it noticed.
func (s *Stream) suspect(order uint64) {
	if s.lost == 0 {
		return
	}
	episode := false
	for i := range s.trains {
		if t := &s.trains[i]; t.state == missing && t.order < order {
			episode = episode || t.order >= s.recover
			s.giveUp(uint64(i) + s.base)
		}
	}
	if episode {
		s.ssthresh = max(s.flight/2, 2*int64(s.tcp.Segment))
		s.cwnd = s.ssthresh
		s.recover = s.order
	}
}

func (s *Stream) giveUp(number uint64) {
	t := s.at(number)
	t.state = waiting
	s.lost--
	s.flight -= t.size
	i, _ := slices.BinarySearch(s.again, number)
	s.again = slices.Insert(s.again, i, number)
}

// rearm starts the time-out anew after progress.
func (s *Stream) rearm(now time.Duration) {
	s.alarm = 0
	if s.lost > 0 && !s.halted {
		s.alarm = now + s.clock.next(s.tcp)
	}
}

// timeout gives up everything missing and begins again from one segment, more patiently.
func (s *Stream) timeout(now time.Duration) {
	s.alarm = 0
	if s.clock.backoff == 0 {
		s.ssthresh = max(s.flight/2, 2*int64(s.tcp.Segment))
		s.recover = s.order
	}
	s.cwnd = int64(s.tcp.Segment)
	s.clock.backoff++
	for i := range s.trains {
		if s.trains[i].state == missing {
			s.giveUp(s.base + uint64(i))
		}
	}
	s.pump(now)
}
