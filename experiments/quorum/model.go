package main

import "time"

// modelStale is the share of stale reads that arithmetic predicts for three sites.
//
// A message takes delay ± jitter, uniform, independent of all others but for this: nothing overtakes on the
// way from one site to another, so the answer of the writing site to the reading one waits for the write that
// is on the same way.
//
// Below, draws are scaled to 0 … 1 from the fastest message to the slowest, and start is the time of the
// fastest in the same unit.
func modelStale(p params, q size, jitter time.Duration) float64 {
	switch {
	case q.meet(p.sites):
		return 0
	case q.write == 1 && q.read == 1:
		return 1 // the reader's own replica answers before anything can have reached it
	case jitter == 0:
		return 0
	}
	start := float64(p.delay-jitter) / float64(2*jitter)
	if q.write == 2 {
		return modelWrite2(start)
	}
	return modelRead2(start)
}

// modelWrite2 is for W=2, R=1. The writer's own replica and the third site make the quorum; the read is stale
// if the write takes longer to the reading site, z, than to the third one, x, and the answer, y, back:
// P(z > x + y + start).
func modelWrite2(start float64) float64 {
	room := max(1-start, 0)
	return room * room * room / 6
}

// modelRead2 is for W=1, R=2. The writer's own replica is the quorum. The reader's own one answers at once,
// knowing nothing; the read is stale if the third site answers before the writer's, and was asked, after x,
// before the write came, after another x. With y for the third site's answer, and s = x + y: the writer's
// answer comes later than s unless its own two draws sum to less and the write on the same way, which left
// at the same time as the questions, is there as well.
func modelRead2(start float64) float64 {
	const steps = 500
	sum := 0.0
	for i := range steps {
		x := (float64(i) + 0.5) / steps
		for k := range steps {
			y := (float64(k) + 0.5) / steps
			s := x + y
			sum += (1 - x) * (1 - roundTrip(s)*min(s+start, 1))
		}
	}
	return sum / (steps * steps)
}

// roundTrip is the probability that two uniform draws sum to at most s.
func roundTrip(s float64) float64 {
	if s <= 1 {
		return s * s / 2
	}
	return 1 - (2-s)*(2-s)/2
}
