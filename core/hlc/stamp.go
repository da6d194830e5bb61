package hlc

import (
	"fmt"
	"math"
	"time"
)

// Stamp is a point in hybrid logical time: milliseconds since 1970 in the upper 48 bits, a counter in the
// lower 16. Zero is before every write. Stamps order as the numbers that they are.
type Stamp uint64

const (
	counterBits = 16
	counterMask = 1<<counterBits - 1
	millisMax   = 1<<48 - 1

	// StampMax is the last stamp that a Clock issues; it is in the year 6429. What lies beyond is a
	// forgery, kept as data but never counted on from.
	StampMax Stamp = math.MaxInt64
)

// At returns the first stamp of the millisecond of t. Times before 1970 give zero, those past the range its
// end.
func At(t time.Time) Stamp {
	ms := t.UnixMilli()
	return Stamp(min(max(ms, 0), millisMax)) << counterBits
}

// Add returns s moved by d, to whole milliseconds, the counter kept. It stays in the range of stamps.
func (s Stamp) Add(d time.Duration) Stamp {
	ms := int64(s>>counterBits) + d.Milliseconds()
	return Stamp(min(max(ms, 0), millisMax))<<counterBits | s&counterMask
}

// Sub returns the wall time between o and s, counters ignored.
func (s Stamp) Sub(o Stamp) time.Duration {
	ms := int64(s>>counterBits) - int64(o>>counterBits)
	const limit = math.MaxInt64 / int64(time.Millisecond)
	return time.Duration(min(max(ms, -limit), limit)) * time.Millisecond
}

// Time returns the millisecond of s in UTC.
func (s Stamp) Time() time.Time { return time.UnixMilli(int64(s >> counterBits)).UTC() }

// Counter returns the lower 16 bits.
func (s Stamp) Counter() uint16 { return uint16(s & counterMask) }

// String returns the time to the millisecond and the counter: 2026-01-02T03:04:05.678Z+9.
func (s Stamp) String() string {
	return fmt.Sprintf("%s+%d", s.Time().Format("2006-01-02T15:04:05.000Z"), s.Counter())
}
