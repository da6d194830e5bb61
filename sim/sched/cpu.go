package sched

import (
	"math/bits"
	"time"

	"granary/core/rt"
)

// CPU is how fast the nodes of a run compute. The zero value computes in no time.
type CPU struct {
	Cores int             // of each node; 0 means 1
	Speed [rt.Works]int64 // bytes per second of one core; 0 means no time
}

// MeasuredCPU returns the numbers of a small server: two cores of an AMD EPYC, with the libraries that core
// uses, over a megabyte at a time.
func MeasuredCPU() CPU {
	c := CPU{Cores: 2}
	c.Speed[rt.MD5] = 550_000_000
	c.Speed[rt.SHA256] = 1_200_000_000
	c.Speed[rt.BLAKE3] = 2_500_000_000
	c.Speed[rt.Zstd] = 2_500_000_000
	return c
}

// span is how long the work takes on one core.
func (c *CPU) span(w rt.Work, bytes int) time.Duration {
	speed := c.Speed[w]
	if speed == 0 || bytes <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(bytes), uint64(time.Second))
	ns, _ := bits.Div64(hi, lo, uint64(speed))
	return time.Duration(ns)
}
