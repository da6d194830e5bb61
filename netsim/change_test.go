package netsim

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What Wait says is what Send then does, where nothing is drawn and no link is slower than the one before.
func TestWaitForetellsSend(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topo := Regular("t", 2, 2, Path{Delay: 20 * ms, Bandwidth: 8e6}, Path{Bandwidth: 80e6})
		topo.Zones[1].Down = 8e6
		m := mustModel(t, topo)
		var now time.Duration
		for range rapid.IntRange(1, 40).Draw(t, "packets") {
			now += time.Duration(rapid.IntRange(0, 3000).Draw(t, "pause")) * time.Microsecond
			from := rapid.SampledFrom([]string{"a1", "a2"}).Draw(t, "from")
			to := rapid.SampledFrom([]string{"a1", "a2", "b1", "b2"}).Draw(t, "to")
			size := rapid.IntRange(1, MTU).Draw(t, "size")
			wait, err := m.Wait(now, from, to, size)
			if err != nil {
				t.Fatal(err)
			}
			at, ok, err := m.Send(now, from, to, size, seeded(1))
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			p := m.pairs[[2]string{from, to}]
			want := now
			if from != to {
				want = now + wait + p.path.Delay + p.path.Bandwidth.span(size)
			}
			if at != want {
				t.Fatalf("%s to %s: there at %v, foretold %v (a wait of %v)", from, to, at, want, wait)
			}
		}
	})
}

func TestSetLink(t *testing.T) {
	m := mustModel(t, Regular("t", 2, 2, Path{Delay: 20 * ms}, Path{Delay: ms}))
	send := func(now time.Duration, from, to string) time.Duration {
		at, ok, err := m.Send(now, from, to, 1000, seeded(1))
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		return at - now
	}
	check := func(now time.Duration, from, to string, want time.Duration) {
		t.Helper()
		if got := send(now, from, to); got != want {
			t.Errorf("%s to %s at %v takes %v, want %v", from, to, now, got, want)
		}
	}
	check(0, "a1", "b1", 20*ms)
	if err := m.SetLink(Link{From: "a", To: "b", Path: Path{Delay: 5 * ms, Bandwidth: 8e6}}); err != nil {
		t.Fatal(err)
	}
	check(10*ms, "a1", "b1", 10*ms) // with its predecessor
	check(10*ms, "a2", "b1", 7*ms)  // behind it on the road, which is theirs together
	check(30*ms, "b1", "a1", 20*ms) // the way back is as it was
	if err := m.SetLink(Link{From: "a", To: "b", Path: Path{Delay: 9 * ms}}); err != nil {
		t.Fatal(err)
	}
	if err := m.SetLink(Link{From: "a1", To: "a2", Path: Path{Delay: 2 * ms}}); err != nil {
		t.Fatal(err)
	}
	check(40*ms, "a1", "b1", 9*ms)
	check(40*ms, "a1", "a2", 2*ms)
	check(40*ms, "a2", "a1", ms)
	for _, bad := range []Link{{From: "a", To: "x"}, {From: "a", To: "b", Path: Path{Jitter: ms}}} {
		if err := m.SetLink(bad); !errors.Is(err, ErrTopology) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	check(50*ms, "a1", "b1", 9*ms)
}

func TestPathWith(t *testing.T) {
	p := Path{Delay: 50 * ms, Loss: 7}
	for _, s := range [][2]string{{"jitter", "10ms"}, {"loss", "1%"}, {"bandwidth", "2Mbit/s"},
		{"delay", "20ms"}} {
		var err error
		if p, err = p.With(s[0], s[1]); err != nil {
			t.Fatal(err)
		}
	}
	if want := (Path{Delay: 20 * ms, Jitter: 10 * ms, Loss: 10_000, Bandwidth: 2e6}); p != want {
		t.Errorf("%+v, want %+v", p, want)
	}
	for _, s := range [][2]string{{"delay", "fast"}, {"latency", "1ms"}} {
		if _, err := p.With(s[0], s[1]); !errors.Is(err, ErrTopology) {
			t.Errorf("%v: %v", s, err)
		}
	}
}
