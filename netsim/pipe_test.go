package netsim

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// slowPipe is pipe's obvious twin: it never forgets and looks at every nanosecond that could begin a free
// stretch.
type slowPipe struct {
	rate Rate
	all  []slot
}

func (p *slowPipe) reserve(at time.Duration, n int) slot {
	need := p.rate.span(n)
	best := time.Duration(-1)
	free := func(start time.Duration) bool {
		for _, s := range p.all {
			if start < s.end && s.start < start+need {
				return false
			}
		}
		return true
	}
	candidates := []time.Duration{at}
	for _, s := range p.all {
		candidates = append(candidates, s.end)
	}
	for _, c := range candidates {
		if c >= at && (best < 0 || c < best) && free(c) {
			best = c
		}
	}
	taken := slot{best, best + need}
	p.all = append(p.all, taken)
	return taken
}

func TestPipeReservesAsItsSlowTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := Rate(rapid.SampledFrom([]int64{1_000_000_000, 8_000_000_000, 7_777}).Draw(t, "rate"))
		fast, slow := pipe{rate: rate}, slowPipe{rate: rate}
		now := time.Duration(0)
		for range rapid.IntRange(1, 60).Draw(t, "packets") {
			now += time.Duration(rapid.IntRange(0, 300).Draw(t, "pause"))
			at := now + time.Duration(rapid.IntRange(0, 2000).Draw(t, "ahead"))
			n := rapid.IntRange(1, 100).Draw(t, "bytes")
			if got, want := fast.reserve(now, at, n), slow.reserve(at, n); got != want {
				t.Fatalf("now %d, at %d, %d bytes: got %v, the slow twin %v", now, at, n, got, want)
			}
			for i := 1; i < len(fast.busy); i++ {
				if fast.busy[i-1].end >= fast.busy[i].start {
					t.Fatalf("spans touch or overlap: %v", fast.busy)
				}
			}
		}
	})
}

// No stretch of time carries more than the rate allows, whatever is asked.
func TestPipeConservesBandwidth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := pipe{rate: Rate(rapid.Int64Range(int64(RateMin), 1e10).Draw(t, "rate"))}
		var slots []slot
		var sizes []int
		for range rapid.IntRange(1, 30).Draw(t, "packets") {
			n := rapid.IntRange(1, 3000).Draw(t, "bytes")
			slots = append(slots, p.reserve(0, time.Duration(rapid.IntRange(0, 1e6).Draw(t, "at")), n))
			sizes = append(sizes, n)
		}
		for i := range slots {
			bits, first, last := int64(0), slots[i].start, slots[i].end
			for j := range slots {
				if slots[j].start >= first && slots[j].end <= last+time.Millisecond {
					bits += 8 * int64(sizes[j])
				}
			}
			last += time.Millisecond
			if span := int64(last - first); bits > int64(p.rate)/1e9*span+int64(p.rate)%1e9*span/1e9+1 {
				t.Fatalf("%d bits in %d ns at %v", bits, span, p.rate)
			}
		}
	})
}

func TestSpanRoundsUp(t *testing.T) {
	for _, c := range []struct {
		rate Rate
		n    int
		want time.Duration
	}{
		{1_000_000_000, 1500, 12 * time.Microsecond},
		{RateMin, 1, 8 * time.Millisecond},
		{7, 1, 1142857143},
		{RateMax, 1, 1},
		{RateMin, PacketMax, 8388608 * time.Millisecond},
	} {
		if got := c.rate.span(c.n); got != c.want {
			t.Errorf("%d bytes at %v: %v, want %v", c.n, c.rate, got, c.want)
		}
	}
}
