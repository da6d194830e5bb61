package plan

import (
	"math"
	"math/bits"
	"testing"

	"pgregory.net/rapid"
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
