package net

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"granary/core/rpc"
	"granary/netsim"
	"granary/sim/sched"
)

// pattern fills p with the bytes that belong at offset of what a connection with this seed carries.
func pattern(p []byte, seed uint64, offset int) {
	for n := 0; n < len(p); {
		n += copy(p[n:], noise[(seed+uint64(offset+n))%uint64(len(noise)):])
	}
}

// noise is a page of bytes without a period.
var noise = func() []byte {
	p := make([]byte, 1<<20)
	for i := range p {
		p[i] = byte(uint64(i) * 0x9e3779b97f4a7c15 >> 56)
	}
	return p
}()

// storm is a network with everything in it: dials, transfers both ways, cuts, slowness, crashes and restarts.
// Every node serves what is asked of it and asks others. Each message begins with the seed of its bytes and
// their number.
type storm struct {
	*world
	draw                 *rand.Rand // of faults
	whole, broken, dials int
}

func (st *storm) serve(n *node) {
	for {
		c, err := n.Accept(n.env.Background())
		if err != nil {
			return
		}
		n.env.Go("serve", func() {
			defer c.Close()
			st.receive(c)
		})
		n.env.Go("watch", func() {
			n.env.Sleep(n.env.Background(), 15*time.Second)
			c.Close()
		})
	}
}

// receive reads one message, checks every byte of it that comes, and says thanks.
func (st *storm) receive(c rpc.Conn) {
	head := make([]byte, 16)
	if _, err := io.ReadFull(c, head); err != nil {
		return
	}
	seed, size := binary.BigEndian.Uint64(head), int(binary.BigEndian.Uint64(head[8:]))
	got, want := make([]byte, 10_000), make([]byte, 10_000)
	for done := 0; done < size; {
		m, err := c.Read(got[:min(len(got), size-done)])
		pattern(want[:m], seed, done)
		if !bytes.Equal(got[:m], want[:m]) {
			st.t.Errorf("wrong bytes at %d of message %x", done, seed)
		}
		done += m
		if err != nil && done < size {
			if errors.Is(err, io.EOF) {
				st.t.Errorf("an end in order after %d of %d bytes of message %x", done, size, seed)
			}
			st.broken++
			return
		}
	}
	st.whole++
	if _, err := c.Write([]byte("thanks")); err != nil {
		return
	}
	if m, err := c.Read(got[:1]); m != 0 || err == nil {
		st.t.Errorf("%d bytes more, %v", m, err)
	}
}

func (st *storm) ask(n *node) {
	r := n.env.Rand("ask")
	names := []string{"a1", "a2", "b1", "b2"}
	for {
		n.env.Sleep(n.env.Background(), time.Duration(r.IntN(3000))*ms)
		target := st.target(names[r.IntN(len(names))])
		size, seed, polite := r.IntN(300_000), r.Uint64(), r.IntN(2) == 0
		if r.IntN(5) == 0 {
			size *= 8
		}
		n.env.Go("ask", func() {
			c, err := n.Dial(st.within(n, 20*time.Second), target)
			if err != nil {
				return
			}
			st.dials++
			p := make([]byte, 16+size)
			binary.BigEndian.PutUint64(p, seed)
			binary.BigEndian.PutUint64(p[8:], uint64(size))
			pattern(p[16:], seed, 0)
			defer c.Close()
			if _, err := c.Write(p); err != nil || !polite {
				return
			}
			if m, err := io.ReadFull(c, p[:6]); err == nil && string(p[:m]) != "thanks" {
				st.t.Errorf("answered %q", p[:m])
			}
		})
	}
}

func (st *storm) start(name string) {
	n := st.boot(name)
	n.env.Go("accept", func() { st.serve(n) })
	n.env.Go("asks", func() { st.ask(n) })
}

func (st *storm) fault() {
	names := []string{"a1", "a2", "b1", "b2", "a", "b"}
	r := st.draw
	model := st.net.Model()
	x, y := names[r.IntN(6)], names[r.IntN(6)]
	switch r.IntN(8) {
	case 0:
		model.Cut(x, y)
	case 1:
		model.CutOneWay(x, y)
	case 2:
		model.Degrade(x, y, netsim.Extra{Delay: 100 * ms, Jitter: 50 * ms, Loss: 50_000})
	case 3:
		name := names[r.IntN(4)]
		st.nodes[name].env.Kill()
		if r.IntN(2) == 0 {
			st.net.Killed(name)
		}
		st.s.After(time.Duration(r.IntN(8000))*ms, func() {
			if st.nodes[name].env.Dead() {
				st.start(name)
			}
		})
	default:
		model.Clear()
	}
	st.s.After(time.Duration(r.IntN(4000))*ms, st.fault)
}

func runStorm(t *testing.T, seed uint64) *storm {
	topo := netsim.Regular("storm", 2, 2, netsim.Path{Delay: 50 * ms, Jitter: 10 * ms, Loss: 1000},
		netsim.Path{Delay: 250 * time.Microsecond, Bandwidth: 1e9})
	topo.Zones[0].Up = 50e6
	o := DefaultOptions()
	o.SendBuffer, o.Linger = 100_000, 30*time.Second
	so := sched.Options{Seed: seed, Shuffle: seed%2 == 1, YieldPerMille: int(seed%3) * 50}
	st := &storm{world: newWorld(t, topo, so, o)}
	for _, name := range []string{"a1", "a2", "b1", "b2"} {
		st.nodes[name].env.Kill()
		st.start(name)
	}
	st.draw = st.s.Rand("fault")
	st.s.After(0, st.fault)
	if err := st.s.Run(time.Minute); err != nil {
		t.Fatal(err)
	}
	return st
}

// Whatever happens, what is read is what was written, and an end in order is the end.
func TestStorm(t *testing.T) {
	whole, broken := 0, 0
	for seed := range uint64(8) {
		st := runStorm(t, seed)
		whole, broken = whole+st.whole, broken+st.broken
	}
	if whole < 400 || broken == 0 {
		t.Errorf("%d messages came whole, %d broken off: the storm is too weak or too strong", whole, broken)
	}
}

// A seed is a run.
func TestSameSeedSameTrace(t *testing.T) {
	first, second, other := runStorm(t, 5), runStorm(t, 5), runStorm(t, 6)
	if first.s.Hash() != second.s.Hash() || first.s.EventCount() != second.s.EventCount() {
		t.Errorf("hash %x after %d events, then %x after %d",
			first.s.Hash(), first.s.EventCount(), second.s.Hash(), second.s.EventCount())
	}
	if first.s.Hash() == other.s.Hash() {
		t.Error("another seed, the same hash")
	}
}

// Observing changes nothing.
func TestObserveIsHarmless(t *testing.T) {
	run := func(f func(Event)) uint64 {
		topo := netsim.Regular("flat", 2, 1, netsim.Path{Delay: 50 * ms, Jitter: 9 * ms}, netsim.Path{})
		o := DefaultOptions()
		o.Observe = f
		w := newWorld(t, topo, sched.Options{Seed: 3}, o)
		a, b := w.pair("a1", "b1")
		w.nodes["b1"].env.Go("read", func() { io.ReadAll(b) })
		w.run(w.nodes["a1"], func() { a.Write(make([]byte, 100_000)); a.Close() })
		w.s.Run(time.Minute)
		return w.s.Hash()
	}
	kinds, sent, delivered := map[Kind]int{}, int64(0), int64(0)
	with := run(func(e Event) {
		kinds[e.Kind]++
		switch e.Kind {
		case Send:
			sent += e.Bytes
		case Deliver:
			delivered += e.Bytes
		}
	})
	if without := run(nil); with != without {
		t.Errorf("hash %x observed, %x not", with, without)
	}
	if sent != 100_000 || delivered != 100_000+proofBytes+1 || kinds[Open] != 1 || kinds[Close] != 1 {
		t.Errorf("sent %d, delivered %d, %v", sent, delivered, kinds)
	}
}

func BenchmarkEcho(b *testing.B) {
	topo := netsim.Regular("flat", 2, 1, netsim.Path{Delay: 50 * ms, Jitter: 10 * ms}, netsim.Path{})
	w := newWorld(b, topo, sched.Options{Seed: 1}, DefaultOptions())
	x, y := w.pair("a1", "b1")
	w.nodes["b1"].env.Go("echo", func() {
		p := make([]byte, 1000)
		for {
			n, err := y.Read(p)
			if err != nil {
				return
			}
			y.Write(p[:n])
		}
	})
	p := make([]byte, 500)
	b.ReportAllocs()
	w.run(w.nodes["a1"], func() {
		for range b.N {
			x.Write(p)
			io.ReadFull(x, p)
		}
	})
}
