package fault

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Event is one fault.
type Event struct {
	At   time.Duration // after the start of the plan
	Kind Kind
	// On is the machine or zone, To the other zone of faults between two.
	On, To string
	// For is how long it lasts; 0: for good, which is until everything is healed.
	For time.Duration
	// Amount is that of the kind: a number, or a duration.
	Amount int64
}

// String returns the event's line, which Parse reads.
func (e Event) String() string {
	s := fmt.Sprintf("%v %s %s", e.At, e.Kind, e.On)
	if e.To != "" {
		s += ">" + e.To
	}
	if f, _ := e.Kind.info(); f.amount == duration {
		s += fmt.Sprintf(" %v", time.Duration(e.Amount))
	} else if f.amount == number {
		s += fmt.Sprintf(" %d", e.Amount)
	}
	if e.For == 0 {
		return s + " for good"
	}
	return fmt.Sprintf("%s for %v", s, e.For)
}

// Parse reads an event's line. Errors say what is wrong with which part.
func Parse(line string) (e Event, err error) {
	fault := func(format string, args ...any) (Event, error) {
		return Event{}, fmt.Errorf("fault %q: %s", line, fmt.Sprintf(format, args...))
	}
	words := strings.Fields(line)
	if len(words) < 5 || words[len(words)-2] != "for" {
		return fault("want AFTER KIND ON[>TO] [AMOUNT] for HOW-LONG")
	}
	if e.At, err = time.ParseDuration(words[0]); err != nil || e.At < 0 {
		return fault("%q is no time from 0 on", words[0])
	}
	e.Kind = Kind(words[1])
	f, ok := e.Kind.info()
	if !ok {
		return fault("there is no kind %q", words[1])
	}
	e.On, e.To, ok = strings.Cut(words[2], ">")
	if ok != (f.aim == zones) || e.On == "" || ok && e.To == "" {
		return fault("%q is not what a %s hits", words[2], e.Kind)
	}
	if last := words[len(words)-1]; last != "good" {
		if e.For, err = time.ParseDuration(last); err != nil || e.For <= 0 {
			return fault("%q is no time above 0", last)
		}
	}
	amounts := words[3 : len(words)-2]
	if want := f.amount != none; len(amounts) > 1 || (len(amounts) == 1) != want {
		return fault("%d amounts", len(amounts))
	}
	switch f.amount {
	case duration:
		var d time.Duration
		d, err = time.ParseDuration(amounts[0])
		e.Amount = int64(d)
	case number:
		e.Amount, err = strconv.ParseInt(amounts[0], 10, 64)
	}
	if err != nil {
		return fault("%q is no amount", amounts[0])
	}
	return e, nil
}
