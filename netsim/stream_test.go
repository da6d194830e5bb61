package netsim

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// pass drives s until nothing is due or until limit, and returns the time of the last arrival.
func pass(s *Stream, limit time.Duration) (last time.Duration) {
	for {
		at, ok := s.Due()
		if !ok || at > limit {
			return last
		}
		before := s.Arrived()
		s.Step(at)
		if s.Arrived() > before {
			last = at
		}
	}
}

func mustStream(t interface {
	Helper()
	Fatal(...any)
}, m *Model, tcp TCP) *Stream {
	t.Helper()
	s, err := m.NewStream("a1", "b1", tcp, 100*ms, seeded(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func flat() Topology { return Regular("flat", 2, 1, Path{Delay: 50 * ms}, Path{}) }

// slowStart is the obvious twin on a perfect path: the window doubles every round trip; so many rounds, and
// half a one.
func slowStart(bytes, window int64) time.Duration {
	rounds := time.Duration(0)
	for bytes > window {
		bytes -= window
		window *= 2
		rounds++
	}
	return rounds*100*ms + 50*ms
}

func TestSlowStartFromTenSegments(t *testing.T) {
	for _, bytes := range []int64{1, 14_600, 14_601, 43_800, 43_801, 102_200, 1 << 20, 4 << 20} {
		s := mustStream(t, mustModel(t, flat()), DefaultTCP())
		s.Send(0, int(bytes))
		if got, want := pass(s, time.Hour), slowStart(bytes, 14_600); got != want || s.Arrived() != bytes {
			t.Errorf("%d bytes: %d there at %v, want all at %v", bytes, s.Arrived(), got, want)
		}
	}
}

// A warm connection sends a megabyte in one go; one that rested for longer than its time-out begins again.
func TestRestartAfterIdle(t *testing.T) {
	for _, c := range []struct {
		rest time.Duration
		keep bool
		want time.Duration
	}{
		{0, false, 50 * ms},
		{10 * time.Second, false, 650 * ms},
		{10 * time.Second, true, 50 * ms},
	} {
		tcp := DefaultTCP()
		tcp.KeepWindow = c.keep
		s := mustStream(t, mustModel(t, flat()), tcp)
		s.Send(0, 4<<20)
		now := pass(s, time.Hour)
		s.Consume(now, 4<<20)
		now += 200 * ms // the last acknowledgements, and the window's update
		s.Step(now)
		now += c.rest
		s.Send(now, 1<<20)
		if took := pass(s, time.Hour) - now; took != c.want {
			t.Errorf("rest %v, keep %v: took %v, want %v", c.rest, c.keep, took, c.want)
		}
	}
}

// A small message on a busy connection never opens the window, so that a megabyte after it starts slowly.
func TestSmallMessagesDoNotOpenTheWindow(t *testing.T) {
	s := mustStream(t, mustModel(t, flat()), DefaultTCP())
	now := time.Duration(0)
	for range 1000 {
		s.Send(now, 500)
		now += 10 * ms
		for at, ok := s.Due(); ok && at <= now; at, ok = s.Due() {
			s.Step(at)
		}
	}
	if limit := int64(2 * 14_600); s.cwnd > limit {
		t.Errorf("congestion window %d, want at most %d", s.cwnd, limit)
	}
}

// Two streams share a link; together they move what it carries, no more, and not much less once they have
// started.
func TestStreamsFillALink(t *testing.T) {
	topo := flat()
	topo.Between.Bandwidth = 200e6
	m := mustModel(t, topo)
	streams := []*Stream{mustStream(t, m, DefaultTCP()), mustStream(t, m, DefaultTCP())}
	const bytes = 32 << 20
	for _, s := range streams {
		s.Send(0, bytes)
	}
	now := time.Duration(0)
	for streams[0].Arrived()+streams[1].Arrived() < 2*bytes {
		at, next := time.Duration(1<<62), (*Stream)(nil)
		for _, s := range streams {
			if due, ok := s.Due(); ok && due < at {
				at, next = due, s
			}
		}
		next.Step(at)
		next.Consume(at, int(next.Arrived()-next.consumed))
		now = at
	}
	least := time.Duration(2 * bytes / 1460 * 1500 * 8 * 1000 / 200) // at 200 Mbit/s, in ns
	if now < least || now > least+700*ms {
		t.Errorf("64 MiB took %v, want %v and at most 0.7 s to start", now, least)
	}
}

// One lost packet in a flow is repaired within about a round trip; the very last one, after the time-out.
func TestLossIsDelay(t *testing.T) {
	script := func(lost ...int) (Draw, *int) {
		n := 0
		return func() uint64 {
			n++
			for _, l := range lost {
				if n == l {
					return 0
				}
			}
			return 1 << 63
		}, &n
	}
	topo := flat()
	topo.Links = []Link{{From: "a", To: "b", Path: Path{Delay: 50 * ms, Loss: 1}}}
	for _, c := range []struct {
		name  string
		bytes []int // sent one after another, one segment each
		lost  []int // which packets are lost
		want  time.Duration
	}{
		{"none", []int{100, 100}, nil, 60 * ms},
		{"the first: noticed when the second is acknowledged", []int{100, 100}, []int{1}, 160 * ms},
		{"the last: a time-out after the latest acknowledgement", []int{100, 100}, []int{2},
			100*ms + 300*ms + 50*ms},
		{"both: after the time-out of the first", []int{100, 100}, []int{1, 2}, 300*ms + 50*ms},
		{"twice: the time-out doubles", []int{100}, []int{1, 2}, 300*ms + 600*ms + 50*ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mustModel(t, topo)
			draw, _ := script(c.lost...)
			s, err := m.NewStream("a1", "b1", DefaultTCP(), 100*ms, draw, nil)
			if err != nil {
				t.Fatal(err)
			}
			total := int64(0)
			for i, n := range c.bytes {
				s.Send(time.Duration(i)*10*ms, n)
				total += int64(n)
			}
			if got := pass(s, time.Hour); got != c.want || s.Arrived() != total {
				t.Errorf("%d of %d bytes there at %v, want all at %v", s.Arrived(), total, got, c.want)
			}
		})
	}
}

// A cut holds the bytes back; they come with the first try after the heal.
func TestCutHoldsBytesBack(t *testing.T) {
	m := mustModel(t, flat())
	s := mustStream(t, m, DefaultTCP())
	if err := m.Cut("a", "b"); err != nil {
		t.Fatal(err)
	}
	s.Send(0, 100_000)
	if pass(s, 10*time.Second); s.Arrived() != 0 {
		t.Fatalf("%d bytes went through a cut", s.Arrived())
	}
	if err := m.Heal("a", "b"); err != nil {
		t.Fatal(err)
	}
	// The time-out is 300 ms and doubles: tries at 0.3, 0.9, 2.1, 4.5, 9.3, 18.9 s.
	for s.Arrived() == 0 {
		at, ok := s.Due()
		if !ok {
			t.Fatal("nothing is due")
		}
		if s.Step(at); s.Arrived() > 0 && at != 18_950*ms {
			t.Errorf("first bytes at %v, want 18.95s", at)
		}
	}
	if pass(s, time.Hour); s.Arrived() != 100_000 {
		t.Errorf("%d bytes arrived, want all", s.Arrived())
	}
}

// With only the way back cut, bytes arrive until a window is full, once each.
func TestCutOfTheWayBack(t *testing.T) {
	m := mustModel(t, flat())
	s := mustStream(t, m, DefaultTCP())
	if err := m.CutOneWay("b", "a"); err != nil {
		t.Fatal(err)
	}
	s.Send(0, 100_000)
	if pass(s, 10*time.Second); s.Arrived() != 14_600 || s.Unacked() != 100_000 {
		t.Errorf("%d arrived, %d not acknowledged; want 14600, 100000", s.Arrived(), s.Unacked())
	}
	m.Clear()
	if pass(s, time.Hour); s.Arrived() != 100_000 {
		t.Errorf("%d bytes arrived, want all", s.Arrived())
	}
}

// A reader that stops stops the sender at the receive buffer; reading lets it go on.
func TestReceiveWindow(t *testing.T) {
	tcp := DefaultTCP()
	tcp.Receive = 64 << 10
	s := mustStream(t, mustModel(t, flat()), tcp)
	s.Send(0, 200_000)
	now := pass(s, time.Hour)
	if s.Arrived() != tcp.Receive {
		t.Fatalf("%d bytes arrived unread, want %d", s.Arrived(), tcp.Receive)
	}
	for now += time.Second; s.Arrived() < 200_000; now += time.Second {
		before := s.Arrived()
		s.Consume(now, int(s.Arrived()-s.consumed))
		pass(s, now+time.Second)
		if s.Arrived() == before {
			t.Fatalf("stuck at %d bytes", before)
		}
	}
}

// A halted sender's bytes arrive if they are on their way, and nothing else happens.
func TestHalt(t *testing.T) {
	m := mustModel(t, flat())
	s := mustStream(t, m, DefaultTCP())
	s.Send(0, 100_000)
	s.Halt()
	if pass(s, time.Hour); s.Arrived() != 14_600 {
		t.Errorf("%d bytes arrived, want the first window", s.Arrived())
	}
	s = mustStream(t, m, DefaultTCP())
	if err := m.Cut("a", "b"); err != nil {
		t.Fatal(err)
	}
	s.Send(time.Hour, 100)
	s.Halt()
	if at, ok := s.Due(); ok {
		t.Errorf("due at %v after the end", at)
	}
}

// Watch makes Due tell of acknowledgements.
func TestWatch(t *testing.T) {
	s := mustStream(t, mustModel(t, flat()), DefaultTCP())
	s.Send(0, 100)
	s.Step(50 * ms)
	if at, ok := s.Due(); ok {
		t.Errorf("due at %v, though nobody waits", at)
	}
	s.Watch(true)
	if at, ok := s.Due(); at != 100*ms || !ok {
		t.Errorf("due %v, %v; want 100ms", at, ok)
	}
	if s.Step(100 * ms); s.Unacked() != 0 {
		t.Errorf("%d bytes not acknowledged", s.Unacked())
	}
}

// Whatever the network does, the bytes come in order, none twice and, once it heals, all; what is due is
// never past.
func TestStreamsDeliver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := mustModel(t, drawTopology(t))
		tcp := DefaultTCP()
		tcp.Receive = rapid.SampledFrom([]int64{3000, 64 << 10, 4 << 20}).Draw(t, "receive")
		tcp.Window = rapid.SampledFrom([]int64{1460, 20_000, 4 << 20}).Draw(t, "window")
		tcp.Train = rapid.IntRange(1, 20).Draw(t, "train")
		deaf := false
		s, err := m.NewStream("a1", "b2", tcp, 0, seeded(rapid.Uint64().Draw(t, "seed")),
			func(time.Duration) bool { return !deaf })
		if err != nil {
			t.Fatal(err)
		}
		d := driver{t: t, s: s}
		for range rapid.IntRange(1, 30).Draw(t, "actions") {
			d.until(d.now + time.Duration(rapid.IntRange(0, 500).Draw(t, "pause"))*ms)
			switch rapid.IntRange(0, 6).Draw(t, "action") {
			case 0, 1:
				n := rapid.IntRange(1, 100_000).Draw(t, "bytes")
				d.sent += int64(n)
				s.Send(d.now, n)
			case 2:
				s.Consume(d.now, rapid.IntRange(0, int(s.Arrived()-s.consumed)).Draw(t, "consume"))
			case 3:
				err = m.CutOneWay("a", "b")
			case 4:
				err = m.CutOneWay("b2", "a1")
			case 5:
				m.Clear()
			case 6:
				deaf = !deaf
			}
			if err != nil {
				t.Fatal(err)
			}
			d.check()
		}
		m.Clear()
		deaf = false
		for range 100_000 {
			if s.Consume(d.now, int(s.Arrived()-s.consumed)); s.Arrived() == d.sent {
				return
			}
			at, ok := s.Due()
			if !ok {
				t.Fatalf("%d of %d bytes, and nothing is due", s.Arrived(), d.sent)
			}
			d.until(at)
		}
		t.Fatalf("%d of %d bytes at %v", s.Arrived(), d.sent, d.now)
	})
}

// driver steps a stream through time and checks its invariants.
type driver struct {
	t       *rapid.T
	s       *Stream
	now     time.Duration
	sent    int64
	arrived int64
}

func (d *driver) until(end time.Duration) {
	for {
		at, ok := d.s.Due()
		if ok && at < d.now {
			d.t.Fatalf("due at %v, and it is %v", at, d.now)
		}
		if !ok || at > end {
			d.now = end
			return
		}
		d.now = at
		d.s.Step(at)
		d.check()
	}
}

func (d *driver) check() {
	s := d.s
	if s.acked > s.arrived || s.arrived > s.sent || s.sent > s.queued || s.queued != d.sent {
		d.t.Fatalf("acked %d, arrived %d, sent %d, queued %d of %d",
			s.acked, s.arrived, s.sent, s.queued, d.sent)
	}
	if s.consumed > s.arrived || s.arrived > s.consumed+s.tcp.Receive || s.arrived < d.arrived {
		d.t.Fatalf("consumed %d, arrived %d before %d", s.consumed, s.arrived, d.arrived)
	}
	d.arrived = s.arrived
	flight, lost, waits := int64(0), 0, 0
	for _, t := range s.trains {
		switch t.state {
		case missing:
			lost++
			flight += t.size
		case flying:
			flight += t.size
		case waiting:
			waits++
		}
	}
	if flight != s.flight || lost != s.lost || waits != len(s.again) || lost > 0 && s.alarm == 0 {
		d.t.Fatalf("flight %d is %d, lost %d is %d, again %d is %d, alarm %v",
			s.flight, flight, s.lost, lost, len(s.again), waits, s.alarm)
	}
}

func TestTCPNumbersAreChecked(t *testing.T) {
	m := mustModel(t, flat())
	if _, err := m.NewStream("a1", "b1", TCP{}, 0, nil, nil); !errors.Is(err, ErrTCP) {
		t.Errorf("zero numbers: %v", err)
	}
	if _, err := m.NewStream("a1", "x", DefaultTCP(), 0, nil, nil); !errors.Is(err, ErrName) {
		t.Errorf("no such node: %v", err)
	}
}

func BenchmarkStream64MiB(b *testing.B) {
	topo := flat()
	topo.Between.Bandwidth = 1e9
	for range b.N {
		s := mustStream(b, mustModel(b, topo), DefaultTCP())
		s.Send(0, 64<<20)
		for s.Arrived() < 64<<20 {
			at, _ := s.Due()
			s.Step(at)
			s.Consume(at, int(s.Arrived()-s.consumed))
		}
	}
}

// joined is a connection: two streams, and what the answerer sends back on each arrival.
func joined(t *testing.T, tcp TCP, topo Topology) (there, back *Stream) {
	m := mustModel(t, topo)
	there = mustStream(t, m, tcp)
	back, err := m.NewStream("b1", "a1", tcp, 100*ms, seeded(2), nil)
	if err != nil {
		t.Fatal(err)
	}
	Join(there, back)
	return there, back
}

// The acknowledgement of a question rides on its answer; alone, it leaves after AckDelay; and a train of two
// segments or more is acknowledged at once.
func TestAcknowledgementsRide(t *testing.T) {
	for _, c := range []struct {
		question, answer int
		known            time.Duration
	}{
		{100, 100, 103 * ms},
		{100, 0, 140 * ms},
		{2_920, 0, 100 * ms},
	} {
		there, back := joined(t, DefaultTCP(), flat())
		there.Watch(true)
		there.Send(0, c.question)
		answered := false
		for there.Unacked() > 0 {
			at, ok := there.Due()
			if other, has := back.Due(); has && (!ok || other < at) {
				back.Step(other)
				continue
			}
			there.Step(at)
			if there.Arrived() > 0 && !answered && c.answer > 0 {
				answered = true
				back.Send(at+3*ms, c.answer)
			}
			if there.Unacked() == 0 && at != c.known {
				t.Errorf("%d bytes, answer of %d: known to have arrived at %v, want %v", c.question,
					c.answer, at, c.known)
			}
		}
	}
}

// A trickle keeps a connection awake and yet loses the window, by half of the excess per time-out.
func TestTrickleLosesTheWindow(t *testing.T) {
	s := mustStream(t, mustModel(t, flat()), DefaultTCP())
	s.Send(0, 4<<20)
	now := pass(s, time.Hour)
	s.Consume(now, 4<<20)
	now += 200 * ms
	s.Step(now)
	open := s.Window()
	for range 100 {
		now += 100 * ms
		s.Send(now, 1)
		s.Step(now + 100*ms)
		now += 100 * ms
		s.Consume(now, 1)
	}
	if s.Window() > 20_000 || open < 1<<20 {
		t.Errorf("window of %d bytes, %d after 20 s of a byte in 200 ms; want it to close", open, s.Window())
	}
}
