package trace

import (
	"encoding/json"
	"fmt"
	"time"

	"granary/sim/check"
)

// Span is a stretch of time on a track of its own, such as a node's incarnation or a partition of the
// network.
type Span struct {
	Group, Track string // the viewer's process and thread
	Name         string
	From, To     time.Duration
}

// event is one event of the format.
//
// Source: "Trace Event Format", which Chrome and Perfetto read; times are in microseconds.
type event struct {
	Name  string            `json:"name"`
	Phase string            `json:"ph"`
	At    float64           `json:"ts"`
	For   float64           `json:"dur,omitempty"`
	Group int               `json:"pid"`
	Track int               `json:"tid"`
	Args  map[string]string `json:"args,omitempty"`
}

// timeline collects events; groups and tracks are numbered in order of appearance.
type timeline struct {
	events []event
	groups map[string]int
	tracks map[[2]string]int
}

// Timeline returns a trace of a history and of further spans, each client and each track of a span on a line
// of its own. Operations that break the promise are marked with the fault; those that never returned last
// until end.
//
// Errors: none that a history can cause; those of package json.
func Timeline(h *check.History, faults []check.Violation, spans []Span, end time.Duration) ([]byte, error) {
	t := &timeline{groups: map[string]int{}, tracks: map[[2]string]int{}}
	for _, s := range spans {
		t.add(s, nil)
	}
	marks := map[int]string{}
	for _, f := range faults {
		marks[f.Op] = string(f.Fault) + ": " + f.Text
	}
	for i := range h.Ops {
		op := &h.Ops[i]
		s := Span{Group: "clients", Track: fmt.Sprintf("client %d", op.Client), From: op.CalledAt,
			To: op.ReturnedAt}
		s.Name = fmt.Sprintf("%s %s", op.Kind, op.Key)
		if op.Return == check.Forever {
			s.To = end
		}
		args := map[string]string{"operation": fmt.Sprintf("#%d %s", i, op)}
		if mark := marks[i]; mark != "" {
			s.Name, args["fault"] = "FAULT "+s.Name, mark
		}
		t.add(s, args)
	}
	return json.Marshal(map[string]any{"displayTimeUnit": "ms", "traceEvents": t.events})
}

// add puts a span on its track.
func (t *timeline) add(s Span, args map[string]string) {
	group, track := t.place(s)
	at, length := micros(s.From), micros(max(s.To-s.From, 0))
	t.events = append(t.events, event{Name: s.Name, Phase: "X", At: at, For: length, Group: group,
		Track: track,
		Args:  args})
}

// place returns the numbers of a span's group and track, and names them when they are new.
func (t *timeline) place(s Span) (group, track int) {
	name := func(what, text string) {
		t.events = append(t.events, event{Name: what, Phase: "M", Group: group, Track: track,
			Args: map[string]string{"name": text}})
	}
	group, known := t.groups[s.Group]
	if !known {
		group = len(t.groups) + 1
		t.groups[s.Group] = group
		name("process_name", s.Group)
	}
	key := [2]string{s.Group, s.Track}
	if track, known = t.tracks[key]; !known {
		track = len(t.tracks) + 1
		t.tracks[key] = track
		name("thread_name", s.Track)
	}
	return group, track
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
