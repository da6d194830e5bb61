package netsim

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const ms = time.Millisecond

func seeded(seed uint64) Draw { return rand.NewPCG(seed, 1).Uint64 }

func mustModel(t interface {
	Helper()
	Fatal(...any)
}, topo Topology) *Model {
	t.Helper()
	m, err := NewModel(topo)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// drawTopology makes any valid topology of a few nodes.
func drawTopology(t *rapid.T) Topology {
	path := func(name string) Path {
		delay := rapid.IntRange(0, 50).Draw(t, name+" delay")
		return Path{
			Delay:     time.Duration(delay) * ms,
			Jitter:    time.Duration(rapid.IntRange(0, delay).Draw(t, name+" jitter")) * ms,
			Loss:      Loss(rapid.SampledFrom([]int{0, 0, 1000, 200_000}).Draw(t, name+" loss")),
			Bandwidth: Rate(rapid.SampledFrom([]int64{0, 0, 10e6, 1e9}).Draw(t, name+" bandwidth")),
		}
	}
	topo := Regular("drawn", 3, 2, path("between"), path("inside"))
	topo.Zones[0].Up = Rate(rapid.SampledFrom([]int64{0, 5e6}).Draw(t, "up"))
	topo.Zones[1].Down = Rate(rapid.SampledFrom([]int64{0, 5e6}).Draw(t, "down"))
	if rapid.Bool().Draw(t, "zone link") {
		topo.Links = append(topo.Links, Link{From: "a", To: "b", Path: path("a to b")})
	}
	if rapid.Bool().Draw(t, "node link") {
		topo.Links = append(topo.Links, Link{From: "a1", To: "b2", Path: path("a1 to b2")})
	}
	return topo
}

func drawName(t *rapid.T, what string) string {
	return rapid.SampledFrom([]string{"a1", "a2", "b1", "b2", "c1", "c2"}).Draw(t, what)
}

// Nothing overtakes on a pair, nothing is early, and on links without limit nothing is late.
func TestPacketsKeepOrderAndBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topo := drawTopology(t)
		m := mustModel(t, topo)
		draw := seeded(rapid.Uint64().Draw(t, "seed"))
		now := time.Duration(0)
		last := map[[2]string]time.Duration{}
		for range rapid.IntRange(1, 80).Draw(t, "packets") {
			now += time.Duration(rapid.IntRange(0, 5_000_000).Draw(t, "pause"))
			from, to := drawName(t, "from"), drawName(t, "to")
			size := rapid.IntRange(1, 20_000).Draw(t, "size")
			at, ok, err := m.Send(now, from, to, size, draw)
			if err != nil {
				t.Fatal(err)
			}
			path, _ := m.Path(from, to)
			if !ok {
				if path.Loss == 0 {
					t.Fatalf("%s to %s: lost on a path without loss", from, to)
				}
				continue
			}
			before := last[[2]string{from, to}]
			last[[2]string{from, to}] = at
			if at < before {
				t.Fatalf("%s to %s: arrives at %v, after one that arrives at %v", from, to, at, before)
			}
			if at < now+path.Delay-path.Jitter {
				t.Fatalf("%s to %s: sent %v, there %v, path %+v", from, to, now, at, path)
			}
			if limit := max(before, now+path.Delay+path.Jitter); at > limit && unlimited(m, from, to) {
				t.Fatalf("%s to %s: sent %v, there %v, after %v", from, to, now, at, limit)
			}
		}
	})
}

func unlimited(m *Model, from, to string) bool {
	p := m.pairs[[2]string{from, to}]
	return p.in == nil && len(p.out) == 0
}

// The same calls give the same answers; another seed gives others.
func TestSameDrawsSameArrivals(t *testing.T) {
	run := func(seed uint64) (all []time.Duration) {
		topo, err := Preset("3dc-100ms")
		if err != nil {
			t.Fatal(err)
		}
		m, draw := mustModel(t, topo), seeded(seed)
		for i := range 200 {
			at, _, _ := m.Send(time.Duration(i)*ms, "a1", "b1", 100, draw)
			all = append(all, at)
		}
		return all
	}
	first, second, third := run(1), run(1), run(2)
	differ := false
	for i := range first {
		if first[i] != second[i] {
			t.Fatalf("packet %d: %v, then %v", i, first[i], second[i])
		}
		differ = differ || first[i] != third[i]
	}
	if !differ {
		t.Fatal("another seed changed nothing")
	}
}

// Jitter reaches both ends of its range and centres on the delay.
func TestJitterIsUniform(t *testing.T) {
	topo := Regular("j", 2, 1, Path{Delay: 50 * ms, Jitter: 10 * ms}, Path{})
	m, draw := mustModel(t, topo), seeded(3)
	const n = 20_000
	low, high, sum := time.Hour, time.Duration(0), time.Duration(0)
	for i := range n {
		now := time.Duration(i) * time.Second
		at, _, _ := m.Send(now, "a1", "b1", 100, draw)
		low, high, sum = min(low, at-now), max(high, at-now), sum+at-now
	}
	if low < 40*ms || low > 40*ms+50*time.Microsecond || high > 60*ms || high < 60*ms-50*time.Microsecond {
		t.Errorf("delays from %v to %v, want 40 to 60 ms", low, high)
	}
	if mean := sum / n; (mean - 50*ms).Abs() > 200*time.Microsecond {
		t.Errorf("mean %v, want 50 ms", mean)
	}
}

func TestLossIsAsOftenAsSaid(t *testing.T) {
	topo := Regular("l", 2, 1, Path{Loss: 100_000}, Path{})
	m, draw := mustModel(t, topo), seeded(4)
	count := func(size int) (lost int) {
		for range 10_000 {
			if _, ok, _ := m.Send(0, "a1", "b1", size, draw); !ok {
				lost++
			}
		}
		return lost
	}
	if lost := count(MTU); lost < 900 || lost > 1100 {
		t.Errorf("%d of 10000 packets lost, want about 1000", lost)
	}
	if lost := count(10 * MTU); lost < 6300 || lost > 6700 { // 1 - 0.9^10 = 0.651
		t.Errorf("%d of 10000 trains of ten lost, want about 6513", lost)
	}
}

// A pair of sites shares its link; two pairs do not share, but for the way out and the way in.
func TestLinksAreSharedAsDeclared(t *testing.T) {
	const size = 12_500 // 1 ms at 100 Mbit/s
	type ends [][2]string
	type times []time.Duration
	limited := Path{Delay: 10 * ms, Bandwidth: 100e6}
	for _, c := range []struct {
		name  string
		zones func(*Topology)
		sends ends
		want  times
	}{
		{"one pair of sites", nil, ends{{"a1", "b1"}, {"a2", "b2"}}, times{11 * ms, 12 * ms}},
		{"two directions", nil, ends{{"a1", "b1"}, {"b1", "a1"}}, times{11 * ms, 11 * ms}},
		{"two pairs of sites", nil, ends{{"a1", "b1"}, {"a1", "c1"}}, times{11 * ms, 11 * ms}},
		{"one way out", func(t *Topology) { t.Zones[0].Up = 50e6 },
			ends{{"a1", "b1"}, {"a2", "c1"}, {"b1", "c1"}}, times{12 * ms, 14 * ms, 11 * ms}},
		{"one way in", func(t *Topology) { t.Zones[2].Down = 50e6 },
			ends{{"a1", "c1"}, {"b1", "c2"}, {"c1", "a1"}}, times{12 * ms, 14 * ms, 11 * ms}},
		{"inside a site", nil, ends{{"a1", "a2"}, {"a2", "a1"}, {"a1", "a2"}},
			times{ms, ms, 2 * ms}},
	} {
		t.Run(c.name, func(t *testing.T) {
			topo := Regular("x", 3, 2, limited, Path{Bandwidth: 100e6})
			if c.zones != nil {
				c.zones(&topo)
			}
			m := mustModel(t, topo)
			for i, s := range c.sends {
				at, ok, err := m.Send(0, s[0], s[1], size, nil)
				if at != c.want[i] || !ok || err != nil {
					t.Errorf("%v: there at %v (%v, %v), want %v", s, at, ok, err, c.want[i])
				}
			}
		})
	}
}

// A far packet does not hold up a near one that reaches the shared link first.
func TestNearPacketPassesBeforeFarOne(t *testing.T) {
	topo := Regular("x", 3, 1, Path{Delay: ms}, Path{})
	topo.Zones[2].Down = 100e6
	topo.Links = []Link{{From: "a", To: "c", Path: Path{Delay: 100 * ms}}}
	m := mustModel(t, topo)
	far, _, _ := m.Send(0, "a1", "c1", 12_500, nil)
	near, _, _ := m.Send(0, "b1", "c1", 12_500, nil)
	if far != 101*ms || near != 2*ms {
		t.Errorf("far %v, near %v; want 101ms, 2ms", far, near)
	}
}

func TestNodeReachesItself(t *testing.T) {
	m := mustModel(t, Regular("x", 1, 2, Path{}, Path{Delay: ms, Loss: Certain}))
	if err := m.Isolate("a1"); err != nil {
		t.Fatal(err)
	}
	if at, ok, err := m.Send(5*ms, "a1", "a1", 100, nil); at != 5*ms || !ok || err != nil {
		t.Errorf("to itself: %v, %v, %v", at, ok, err)
	}
	if _, _, err := m.Send(5*ms, "a1", "nobody", 100, nil); !errors.Is(err, ErrName) {
		t.Errorf("to nobody: %v, want ErrName", err)
	}
}

func TestAddNode(t *testing.T) {
	m := mustModel(t, Regular("x", 2, 1, Path{Delay: ms}, Path{}))
	if err := m.AddNode(Node{Name: "client", Zone: "b"}); err != nil {
		t.Fatal(err)
	}
	if at, ok, err := m.Send(0, "a1", "client", 1, nil); at != ms || !ok || err != nil {
		t.Errorf("to the new node: %v, %v, %v", at, ok, err)
	}
	for _, bad := range []Node{
		{Name: "a1", Zone: "b"}, {Name: "x", Zone: "z"}, {Name: "y", Zone: "a", Address: "b1"},
	} {
		if err := m.AddNode(bad); !errors.Is(err, ErrTopology) {
			t.Errorf("%+v: %v, want ErrTopology", bad, err)
		}
	}
	if n := len(m.Topology().Nodes); n != 3 {
		t.Errorf("%d nodes, want 3", n)
	}
}

func TestTimeMustNotGoBack(t *testing.T) {
	m := mustModel(t, Regular("x", 1, 2, Path{}, Path{}))
	m.Send(ms, "a1", "a2", 1, nil)
	defer func() {
		if recover() == nil {
			t.Error("a packet sent in the past was taken")
		}
	}()
	m.Send(0, "a1", "a2", 1, nil)
}

func BenchmarkSend(b *testing.B) {
	topo, _ := Preset("3dc-100ms")
	m, draw := mustModel(b, topo), seeded(1)
	b.ReportAllocs()
	for i := range b.N {
		m.Send(time.Duration(i), "a1", "b1", 500, draw)
	}
}
