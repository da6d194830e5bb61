package main

import (
	"bytes"
	"fmt"
	"math"
	"time"
)

// header names the columns of data.csv. Counts of stale reads, the bounds and the model's are of the same
// number of reads; the bounds are those of a 95 % interval; times are in ms.
const header = "write,read,jitter_ms,reads,stale,stale_low,stale_high,model," +
	"write_min_ms,write_mean_ms,write_max_ms,read_min_ms,read_mean_ms,read_max_ms\n"

// table returns the results as CSV, in their order.
func table(p params, results []result) []byte {
	var b bytes.Buffer
	b.WriteString(header)
	for _, c := range results {
		low, high := wilson(c.stale, p.reads)
		model := modelStale(p, c.size, c.jitter) * float64(p.reads)
		fmt.Fprintf(&b, "%d,%d,%d,%d,%d,%.0f,%.0f,%.0f,%s,%s\n", c.size.write, c.size.read,
			c.jitter.Milliseconds(), p.reads, c.stale, low, high, model,
			c.write.csv(p.reads), c.read.csv(p.reads))
	}
	return b.Bytes()
}

func (s span) csv(n int) string {
	ms := func(d time.Duration) string {
		us := d.Round(time.Microsecond).Microseconds()
		return fmt.Sprintf("%d.%03d", us/1000, us%1000)
	}
	return ms(s.min) + "," + ms(s.sum/time.Duration(n)) + "," + ms(s.max)
}

// wilson returns the bounds of a 95 % interval for a count of n.
//
// Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
func wilson(count, n int) (low, high float64) {
	const z = 1.96
	total := float64(n)
	share := float64(count) / total
	scale := 1 + z*z/total
	middle := (share + z*z/(2*total)) / scale
	half := z / scale * math.Sqrt(share*(1-share)/total+z*z/(4*total*total))
	return max(middle-half, 0) * total, min(middle+half, 1) * total
}
