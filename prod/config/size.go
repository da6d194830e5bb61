package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Size is a number of bytes, written as a number with an optional unit: K, M, G, T, P are powers of 1000,
// as disks are sold; Ki, Mi, Gi, Ti, Pi are powers of 1024. A B at the end is allowed.
type Size int64

var units = []struct {
	name  string
	bytes int64
}{
	{"Pi", 1 << 50}, {"Ti", 1 << 40}, {"Gi", 1 << 30}, {"Mi", 1 << 20}, {"Ki", 1 << 10},
	{"P", 1e15}, {"T", 1e12}, {"G", 1e9}, {"M", 1e6}, {"K", 1e3},
}

// ParseSize reads a size; decimals are allowed in front of a unit, as in "1.5T".
func ParseSize(s string) (Size, error) {
	bad := func(why string) (Size, error) {
		return 0, fmt.Errorf("size %.40q: %s; write a number of bytes, or one like 500G, 1.5T, 64Mi", s, why)
	}
	text, factor := strings.TrimSpace(s), int64(1)
	if len(text) > 1 {
		text = strings.TrimSuffix(text, "B")
	}
	for _, u := range units {
		if head, ok := cutSuffixFold(text, u.name); ok {
			text, factor = strings.TrimSpace(head), u.bytes
			break
		}
	}
	whole, fraction, decimal := strings.Cut(text, ".")
	n, err := strconv.ParseUint(whole, 10, 63)
	if err != nil {
		return bad("not a number")
	}
	if n > uint64(1<<63-1)/uint64(factor) {
		return bad("too large")
	}
	size := int64(n) * factor
	if !decimal {
		return Size(size), nil
	}
	if factor == 1 || fraction == "" || len(fraction) > 6 {
		return bad("not a whole number of bytes")
	}
	f, err := strconv.ParseUint(fraction, 10, 32)
	if err != nil {
		return bad("not a number")
	}
	scale := int64(1)
	for range fraction {
		scale *= 10
	}
	part := factor/scale*int64(f) + factor%scale*int64(f)/scale
	if size > 1<<63-1-part {
		return bad("too large")
	}
	return Size(size + part), nil
}

func cutSuffixFold(s, suffix string) (string, bool) {
	if n := len(s) - len(suffix); n > 0 && strings.EqualFold(s[n:], suffix) {
		return s[:n], true
	}
	return s, false
}

// String returns the size as ParseSize reads it, in the largest unit that loses nothing.
func (s Size) String() string {
	for _, u := range units {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Approx returns the size for a person, to one decimal in powers of 1000.
func (s Size) Approx() string {
	for _, u := range units[5:] {
		if int64(s) >= u.bytes {
			return fmt.Sprintf("%.1f %sB", float64(s)/float64(u.bytes), u.name)
		}
	}
	return fmt.Sprintf("%d B", int64(s))
}
