package net

import (
	"hash/crc32"
	"time"

	"granary/core/rt"
	"granary/netsim"
	"granary/sim/sched"
)

// flow is one direction of a connection: the bytes, and the stream that says how many of them are there.
//
// The stream's bytes are the prefix (of the handshake), the data, and one for the end, as in TCP. Invariant:
// a timer is set for whatever the stream has due; poll restores it after every call, for the twin too, whose
// acknowledgements may have left with the data.
type flow struct {
	net      *Net
	from, to *Conn
	stream   *netsim.Stream
	twin     *flow // the other direction
	prefix   int64
	written  int64
	taken    int64 // data bytes read
	told     int64 // of the stream's bytes, how many the reader was woken for
	fin      bool
	hidden   bool     // the other node does not have the connection yet
	chunks   [][]byte // written and not read; read starts at chunks[0][offset]
	offset   int
	timer    *sched.Timer
	due      time.Duration
}

func (n *Net) newFlow(from, to *Conn, prefix int64, roundTrip time.Duration) *flow {
	f := &flow{net: n, from: from, to: to, prefix: prefix, hidden: prefix > 0}
	takes := func(time.Duration) bool { return to.takes() }
	s, err := n.model.NewStream(from.t.node, to.t.node, n.opts.TCP, roundTrip, n.draw, takes)
	if err != nil {
		rt.Break("sim/net: %v", err)
	}
	f.stream = s
	return f
}

// begin sends the prefix.
func (f *flow) begin() {
	f.stream.Send(f.net.sched.Now(), int(f.prefix))
	f.poll()
}

// readable is how many data bytes can be read.
func (f *flow) readable() int64 {
	return max(0, min(f.stream.Arrived()-f.prefix, f.written)-f.taken)
}

// ended reports whether the reader has everything and the end.
func (f *flow) ended() bool {
	return f.fin && f.taken == f.written && f.stream.Arrived() == f.prefix+f.written+1
}

// read fills p with bytes that are there.
func (f *flow) read(p []byte) int {
	for n := 0; n < len(p); {
		head := f.chunks[0][f.offset:]
		m := copy(p[n:], head)
		n += m
		f.offset += m
		if m == len(head) {
			f.chunks[0] = nil
			f.chunks, f.offset = f.chunks[1:], 0
		}
	}
	f.taken += int64(len(p))
	f.stream.Consume(f.net.sched.Now(), len(p))
	f.poll()
	return len(p)
}

// room is how many of n bytes the send buffer has room for; while it is nearly full, none, and the stream is
// asked to say when that changes.
func (f *flow) room(n int) int {
	f.stream.Step(f.net.sched.Now())
	f.poll()
	free := f.free()
	if free < min(int64(n), f.enough()) {
		f.stream.Watch(true)
		f.poll()
		return 0
	}
	return int(min(int64(n), free))
}

// buffer is the size of the send buffer now.
func (f *flow) buffer() int64 {
	tcp := &f.net.opts.TCP
	return min(f.net.opts.SendBuffer, 2*max(f.stream.Window(), int64(tcp.Initial*tcp.Segment)))
}

// free is the room in the send buffer; negative when the buffer has shrunk.
func (f *flow) free() int64 { return f.buffer() - f.stream.Unacked() }

// enough is the room for which a waiting writer is woken.
func (f *flow) enough() int64 { return (f.buffer() + 3) / 4 }

// write hands in a copy of p.
func (f *flow) write(p []byte) {
	f.net.note(Event{
		Kind: Send, Conn: f.from.number, From: f.from.t.node, To: f.to.t.node,
		Bytes: int64(len(p)), Digest: crc32.Checksum(p, castagnoli),
	})
	f.chunks = append(f.chunks, append([]byte(nil), p...))
	f.written += int64(len(p))
	f.stream.Send(f.net.sched.Now(), len(p))
	f.poll()
}

// finish hands in the end.
func (f *flow) finish() {
	f.fin = true
	f.stream.Send(f.net.sched.Now(), 1)
	f.poll()
}

// fire is the timer.
func (f *flow) fire() {
	f.timer = nil
	c := f.from
	if !c.t.alive() || c.closed && f.net.sched.Now()-c.closedAt > f.net.opts.Linger {
		f.stream.Halt()
	}
	f.stream.Step(f.net.sched.Now())
	f.poll()
}

// poll tells the two ends what has changed and sets the timer. It neither waits nor yields.
func (f *flow) poll() {
	if arrived := f.stream.Arrived(); arrived > f.told {
		f.arrived(arrived)
	}
	if f.free() >= f.enough() {
		f.from.unblock()
	}
	f.arm()
	f.twin.arm()
}

// arm sets the timer.
func (f *flow) arm() {
	due, ok := f.stream.Due()
	if f.timer != nil && (!ok || due != f.due) {
		f.timer.Stop()
		f.timer = nil
	}
	if ok && f.timer == nil {
		f.due = due
		f.timer = f.net.sched.After(due-f.net.sched.Now(), f.fire)
	}
}

// arrived shows the connection to the other node once the prefix is there, and wakes its reader.
func (f *flow) arrived(total int64) {
	f.net.note(Event{
		Kind: Deliver, Conn: f.from.number, From: f.from.t.node, To: f.to.t.node, Bytes: total - f.told,
	})
	f.told = total
	if f.hidden && total >= f.prefix {
		f.hidden = false
		f.stream.Consume(f.net.sched.Now(), int(f.prefix))
		if !f.to.t.opened(f.to) {
			f.to.broken = ErrReset
			f.to.refuse()
		}
	}
	f.to.reader.Unpark()
}
