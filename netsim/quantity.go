package netsim

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Rate is a bandwidth in bits per second. Zero is no limit.
type Rate int64

// Loss is a probability in parts per million.
type Loss int64

// Certain is the Loss of a path that lets nothing through.
const Certain Loss = 1_000_000

// unit is a name after a number and what one of it is worth in the smallest unit of its kind.
type unit struct {
	name string
	size int64
}

// The units, largest first. A bare "0" is good in every one of them.
var (
	timeUnits = []unit{
		{"h", int64(time.Hour)}, {"m", int64(time.Minute)}, {"s", int64(time.Second)},
		{"ms", int64(time.Millisecond)}, {"us", int64(time.Microsecond)}, {"ns", 1},
	}
	rateUnits = []unit{{"Gbit/s", 1e9}, {"Mbit/s", 1e6}, {"kbit/s", 1e3}, {"bit/s", 1}}
	lossUnits = []unit{{"%", 10_000}, {"ppm", 1}}
)

// String returns the rate in the largest unit in which it is a whole number, or "unlimited".
func (r Rate) String() string {
	if r == 0 {
		return "unlimited"
	}
	return format(int64(r), rateUnits)
}

// String returns the loss in percent where that is a whole number, else in ppm.
func (l Loss) String() string { return format(int64(l), lossUnits) }

// span is how long n bytes occupy a link of rate r, rounded up to a nanosecond: a link never carries more
// than its rate. r must not be zero.
func (r Rate) span(n int) time.Duration {
	hi, lo := bits.Mul64(uint64(n), 8*uint64(time.Second))
	q, rest := bits.Div64(hi, lo, uint64(r))
	if rest > 0 {
		q++
	}
	return time.Duration(q)
}

func format(v int64, units []unit) string {
	for _, u := range units {
		if v != 0 && v%u.size == 0 {
			return strconv.FormatInt(v/u.size, 10) + u.name
		}
	}
	return "0"
}

// quantity reads a decimal number and a unit, such as "0.25ms", exactly: a value that is no whole number of
// the kind's smallest unit is refused, not rounded.
func quantity(s string, units []unit) (int64, error) {
	if s == "0" {
		return 0, nil
	}
	end := strings.IndexFunc(s, func(c rune) bool { return c != '.' && (c < '0' || c > '9') })
	if end <= 0 {
		return 0, fmt.Errorf("%q: want a number and a unit (%s)", s, names(units))
	}
	size := int64(0)
	for _, u := range units {
		if u.name == s[end:] {
			size = u.size
		}
	}
	if size == 0 {
		return 0, fmt.Errorf("%q: unknown unit %q, want one of %s", s, s[end:], names(units))
	}
	v, ok := scale(s[:end], size)
	if !ok {
		return 0, fmt.Errorf("%q: too large, or not a whole number of %s", s, units[len(units)-1].name)
	}
	return v, nil
}

// scale multiplies a plain decimal number by size. It reports false for what is no number, overflows, or
// leaves a fraction.
func scale(number string, size int64) (int64, bool) {
	whole, frac, dotted := strings.Cut(number, ".")
	if dotted && frac == "" || len(frac) > 12 {
		return 0, false
	}
	digits, err := strconv.ParseInt(whole+frac, 10, 64)
	if err != nil || whole == "" || digits > math.MaxInt64/size {
		return 0, false
	}
	v := digits * size
	for range frac {
		if v%10 != 0 {
			return 0, false
		}
		v /= 10
	}
	return v, true
}

func names(units []unit) string {
	list := make([]string, len(units))
	for i, u := range units {
		list[i] = u.name
	}
	return strings.Join(list, ", ")
}
