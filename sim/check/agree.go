package check

import (
	"fmt"
	"slices"
)

// Verdict is the judgement of all checkers of single histories.
type Verdict struct {
	Violations []Violation // of Direct
	Report     Report      // of Porcupine
}

// Agree runs [Direct] and [Porcupine] and compares their verdicts on every key. Keys that porcupine gave up
// on are not compared, but counted in the report.
//
// Errors: the checkers disagree, which is a fault of this package. The verdict is then still that of both.
func Agree(h *History, budget int) (Verdict, error) {
	v := Verdict{Violations: Direct(h), Report: Porcupine(h, budget)}
	var broken []string
	for _, x := range v.Violations {
		if x.promise() && !slices.Contains(v.Report.Unknown, x.Key) {
			broken = append(broken, x.Key)
		}
	}
	slices.Sort(broken)
	broken = slices.Compact(broken)
	if slices.Equal(broken, v.Report.Illegal) {
		return v, nil
	}
	return v, fmt.Errorf("check: the checkers disagree: broken keys by the direct rule %q, by the model %q",
		broken, v.Report.Illegal)
}
