package wan

import (
	"fmt"
	"time"
)

// Stats are what a router counted since it began, or since they were last cleared.
type Stats struct {
	Packets   int64 // delivered; a train counts as one
	Bytes     int64
	Lost      int64 // by chance, or by a cut
	Dropped   int64 // for a queue of a link was full
	Overflown int64 // for the router held BufferMax bytes already, or a device would not take it
	Strange   int64 // to no node: not IPv4, or an address that nobody has
	// RealTime is that the router has real-time priority.
	RealTime bool
	// Errors is how much later than due packets were delivered.
	Errors Errors
}

// step is the width of a class of timing errors.
const step = 10 * time.Microsecond

// Errors counts timing errors: by steps of 10 µs up to 10 ms, and the greatest.
type Errors struct {
	Count [1001]int64 // the last one: all beyond
	Total int64
	Max   time.Duration
}

func (e *Errors) add(d time.Duration) {
	d = max(d, 0)
	e.Count[min(int(d/step), len(e.Count)-1)]++
	e.Total++
	e.Max = max(e.Max, d)
}

// Quantile returns the error that the share of all packets do not exceed, rounded up to a step; at most Max.
// 0 if there were no packets.
func (e *Errors) Quantile(perMille int64) time.Duration {
	need := (e.Total*perMille + 999) / 1000
	for i, n := range e.Count {
		if need -= n; need <= 0 && i < len(e.Count)-1 && e.Total > 0 {
			return min(time.Duration(i+1)*step, e.Max)
		}
	}
	return e.Max
}

// String returns the numbers for people, over several lines.
func (s Stats) String() string {
	text := fmt.Sprintf("delivered   %d packets or trains, %d bytes\n", s.Packets, s.Bytes)
	text += fmt.Sprintf("lost        %d by chance or by a cut\n", s.Lost)
	text += fmt.Sprintf("dropped     %d from full queues of links, %d for the router's memory, ", s.Dropped,
		s.Overflown)
	text += fmt.Sprintf("%d to nobody\n", s.Strange)
	e := &s.Errors
	text += fmt.Sprintf("late by     at most %v half of them, %v 99 %%, %v 99.9 %%, %v all",
		e.Quantile(500), e.Quantile(990), e.Quantile(999), e.Max)
	if !s.RealTime {
		text += "\nreal-time priority was refused: on a busy machine packets are late"
	}
	return text
}
