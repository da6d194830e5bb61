package plan

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

var byteUnits = []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}

// formatBytes returns an amount in decimal units with three significant digits: "14.9 TB".
func formatBytes(n uint64) string {
	value, unit := float64(n), 0
	for value >= 999.5 && unit < len(byteUnits)-1 {
		value /= 1000
		unit++
	}
	return significant(value) + " " + byteUnits[unit]
}

// significant writes a number from 0 to about 1000 with three significant digits, without trailing zeros.
func significant(value float64) string {
	digits := 0
	switch {
	case value < 9.995:
		digits = 2
	case value < 99.95:
		digits = 1
	}
	text := strconv.FormatFloat(value, 'f', digits, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// formatChange returns an amount with its sign.
func formatChange(n int64) string {
	switch {
	case n > 0:
		return "+" + formatBytes(uint64(n))
	case n < 0:
		return "-" + formatBytes(uint64(-n))
	}
	return "nothing"
}

// formatPercent returns a share as "8.33 %".
func formatPercent(share float64) string { return significant(share*100) + " %" }

// formatSeconds returns a time as a person would say it: "3 h 20 min".
func formatSeconds(seconds float64) string {
	if seconds >= float64(math.MaxInt64/time.Second) {
		return "centuries"
	}
	d := time.Duration(math.Ceil(seconds)) * time.Second
	days, hours := d/(24*time.Hour), d/time.Hour%24
	minutes, rest := d/time.Minute%60, d/time.Second%60
	switch {
	case days > 0:
		return fmt.Sprintf("%d d %d h", days, hours)
	case hours > 0:
		return fmt.Sprintf("%d h %d min", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%d min %d s", minutes, rest)
	}
	return fmt.Sprintf("%d s", rest)
}

// formatNames joins names as a person would, and counts those beyond the first few.
func formatNames(names []string) string {
	const most = 5
	switch n := len(names); {
	case n == 0:
		return "nothing"
	case n == 1:
		return names[0]
	case n > most+1:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n-most)
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}

// plural returns "1 node" or "3 nodes".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// product multiplies; what overflows is the greatest number.
func product(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	if hi > 0 {
		return math.MaxUint64
	}
	return lo
}

// difference returns a−b, within the range of its type.
func difference(a, b uint64) int64 {
	if a >= b {
		return int64(min(a-b, math.MaxInt64))
	}
	return -int64(min(b-a, math.MaxInt64))
}

// ratio returns a/b, and 0 where there is nothing to compare with.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
