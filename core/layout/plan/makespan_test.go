package plan

import (
	"math"
	"math/bits"
	"testing"

	"pgregory.net/rapid"

	"granary/core/layout"
	"granary/core/rt"
)

// TestMakespan compares the time with its slow twin: for each set of links, what must pass through one of
// them takes at least so long. Where zones have no limits, that is exact.
func TestMakespan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := rapid.IntRange(2, 6).Draw(t, "members")
		tr := &traffic{}
		for range members {
			l := link{name: "node", speed: float64(rapid.IntRange(1, 5).Draw(t, "speed"))}
			tr.out, tr.in, tr.zoneOf = append(tr.out, l), append(tr.in, l), append(tr.zoneOf, 0)
		}
		tr.zoneOut, tr.zoneIn = make([]link, 1), make([]link, 1)
		var moves []move
		for range rapid.IntRange(1, 12).Draw(t, "moves") {
			to := rapid.IntRange(0, members-1).Draw(t, "to")
			others := rapid.IntRange(0, members-1).Filter(func(n int) bool { return n != to })
			mv := move{to: to, bytes: rapid.Uint64Range(1, 1000).Draw(t, "bytes"),
				sources: rapid.SliceOfNDistinct(others, 1, 3, rapid.ID).Draw(t, "sources")}
			moves = append(moves, mv)
			tr.groups = append(tr.groups, group{sources: mv.sources, bytes: float64(mv.bytes)})
			tr.in[to].busy += float64(mv.bytes)
			tr.bytes += float64(mv.bytes)
		}
		want := leastTime(tr, moves)
		tr.greedy(moves)
		if tr.seconds < want*(1-1e-9) {
			t.Fatalf("greed needs %g s, the least is %g", tr.seconds, want)
		}
		tr.improve()
		if tr.method != byProgram || math.Abs(tr.seconds-want) > 1e-9*want {
			t.Fatalf("%s needs %g s, the least is %g", tr.method, tr.seconds, want)
		}
	})
}

// leastTime is the least time by every set of senders, for what only they have, and by every receiver.
func leastTime(t *traffic, moves []move) float64 {
	least := 0.0
	for _, l := range t.in {
		least = max(least, l.busy/l.speed)
	}
	for set := 1; set < 1<<len(t.out); set++ {
		speed, bytes := 0.0, 0.0
		for n, l := range t.out {
			if set>>n&1 == 1 {
				speed += l.speed
			}
		}
		for _, mv := range moves {
			inside := 0
			for _, n := range mv.sources {
				inside += set >> n & 1
			}
			if inside == len(mv.sources) {
				bytes += float64(mv.bytes)
			}
		}
		if bits.OnesCount(uint(set)) > 0 {
			least = max(least, bytes/speed)
		}
	}
	return least
}

// TestTime: what a report says of the time, and when it says nothing.
func TestTime(t *testing.T) {
	p := layout.DefaultParams()
	first := make1(t, Input{Roles: talk(), Params: p}).Next
	pluto := append(talk(), role(8, "pluto", 10*terabyte))
	many, fine := randomCluster(20, 5), p
	fine.Partitions = 1024
	before := make1(t, Input{Roles: many, Params: fine}).Next
	measured := map[rt.NodeID]uint64{}
	for i := 1; i <= 8; i++ {
		measured[node(i)] = 100_000_000
	}
	allButOne := map[rt.NodeID]uint64{node(1): 100_000_000}
	slow := map[layout.ZoneName]uint64{"pluto": 50_000_000}
	tests := []struct {
		name    string
		in      Input
		method  string
		seconds float64 // 0: unknown, or not looked at
		slowest string
	}{
		{"given", Input{Previous: first, Roles: pluto, AnyBandwidth: 100_000_000}, byProgram, 99_075,
			"persil"},
		{"measured", Input{Previous: first, Roles: pluto, Bandwidth: measured}, byProgram, 99_075,
			"persil"},
		{"a slow zone", Input{Previous: first, Roles: pluto, Bandwidth: measured, ZoneBandwidth: slow},
			byProgram, 198_150, "zone pluto"},
		{"some unknown", Input{Previous: first, Roles: pluto, Bandwidth: allButOne}, "", 0, ""},
		{"nothing moves", Input{Previous: first, Roles: talk(), AnyBandwidth: 1}, "", 0, ""},
		{"too many sorts of moves", Input{Previous: before, Roles: many[1:], Params: fine, AnyBandwidth: 1},
			byGreed, 0, ""},
	}
	for _, tt := range tests {
		if tt.in.Names = names(); tt.in.Params.Replicas == 0 {
			tt.in.Params = p
		}
		g := make1(t, tt.in).Migration
		if g.Method != tt.method || (g.Seconds == nil) != (tt.method == "") {
			t.Errorf("%s: method %q, seconds %v; want %q", tt.name, g.Method, g.Seconds, tt.method)
			continue
		}
		if tt.seconds == 0 {
			continue
		}
		if math.Abs(*g.Seconds-tt.seconds) > tt.seconds/1000 || g.Bottleneck != tt.slowest {
			t.Errorf("%s: %g s by %s, want %g by %s", tt.name, *g.Seconds, g.Bottleneck, tt.seconds,
				tt.slowest)
		}
	}
}
