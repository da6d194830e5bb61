package roles

import (
	"fmt"
	"strconv"
	"strings"

	"granary/core/layout"
)

// Tolerance is a share of the usable capacity, in ten-thousandths.
type Tolerance int

// ParseTolerance reads a percentage, "1%" or "0.25%", or a fraction, "0.01". Finer than a ten-thousandth
// there is nothing.
func ParseTolerance(s string) (Tolerance, error) {
	bad := func(why string) (Tolerance, error) {
		return 0, fmt.Errorf("tolerance %.40q: %s; write a percentage like 1%% or 0.25%%, or a fraction "+
			"like 0.01, up to %v", s, why, Tolerance(layout.ToleranceMax))
	}
	text, percent := strings.CutSuffix(strings.TrimSpace(s), "%")
	digits := 4
	if percent {
		text, digits = strings.TrimSpace(text), 2
	}
	whole, fraction, _ := strings.Cut(text, ".")
	fraction = strings.TrimRight(fraction, "0")
	if len(fraction) > digits {
		return bad("finer than 0.01%")
	}
	n, err := strconv.ParseUint(whole+fraction+strings.Repeat("0", digits-len(fraction)), 10, 63)
	switch {
	case err != nil || whole == "":
		return bad("not a share")
	case n > layout.ToleranceMax:
		return bad("too large")
	}
	return Tolerance(n), nil
}

// String returns the tolerance as a percentage.
func (t Tolerance) String() string {
	text := fmt.Sprintf("%d.%02d", t/100, t%100)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".") + "%"
}
