package trace

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"granary/sim/check"
	"granary/sim/net"
	"granary/sim/sched"
)

func TestTail(t *testing.T) {
	tail := NewTail(3)
	for i := range 5 {
		if got, want := strings.Count(tail.String(), "\n"), min(i, 3); got != want {
			t.Errorf("%d lines after %d", got, i)
		}
		tail.Add(sched.Line{Msg: fmt.Sprint("line ", i)})
	}
	lines := strings.Split(strings.TrimSpace(tail.String()), "\n")
	for i, line := range lines {
		if !strings.HasSuffix(line, fmt.Sprint("line ", i+2)) {
			t.Errorf("line %d is %q", i, line)
		}
	}
	if len(lines) != 3 || tail.Dropped() != 2 {
		t.Errorf("%d lines, %d dropped", len(lines), tail.Dropped())
	}
}

func TestTimeline(t *testing.T) {
	h := &check.History{}
	put := h.Begin(time.Millisecond, check.Op{Client: 1, Kind: check.Put, Key: "a", Value: 1, Size: -1})
	h.End(3*time.Millisecond, put, check.OK)
	get := h.Begin(4*time.Millisecond, check.Op{Client: 2, Kind: check.Get, Key: "a", Absent: true, Size: -1})
	h.End(5*time.Millisecond, get, check.OK)
	h.Begin(6*time.Millisecond, check.Op{Client: 1, Kind: check.Delete, Key: "a", Size: -1})
	text, err := Timeline(h, check.Direct(h), []Span{{"nodes", "n1", "up", 0, 2 * time.Millisecond}},
		10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		TraceEvents []event `json:"traceEvents"`
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	spans := map[string]event{}
	for _, e := range got.TraceEvents {
		if e.Phase == "X" {
			spans[e.Name] = e
		}
	}
	for name, want := range map[string][2]float64{"up": {0, 2000}, "put a": {1000, 2000},
		"FAULT get a": {4000, 1000},
		"delete a":    {6000, 4000}} {
		if e := spans[name]; e.At != want[0] || e.For != want[1] {
			t.Errorf("%q is %+v, want %v", name, e, want)
		}
	}
	if spans["put a"].Track != spans["delete a"].Track || spans["put a"].Track == spans["FAULT get a"].Track {
		t.Errorf("tracks: %+v", spans)
	}
	if spans["up"].Group == spans["put a"].Group || !strings.Contains(spans["FAULT get a"].Args["fault"],
		"lost update") {
		t.Errorf("%+v", spans)
	}
}

// TestSpace: what was sent is drawn as a line to where it came, what never came as a cross, faults on the
// nodes that they hit, and operations on a faulty key above.
func TestSpace(t *testing.T) {
	s := NewSpace([]string{"a1", "b1"})
	at := func(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }
	s.Add(net.Event{Kind: net.Open, Conn: 1, From: "a1", To: "b1", At: at(0)})
	s.Add(net.Event{Kind: net.Send, Conn: 1, From: "a1", To: "b1", Bytes: 100, At: at(1)})
	s.Add(net.Event{Kind: net.Send, Conn: 1, From: "a1", To: "b1", Bytes: 77, At: at(2)})
	s.Add(net.Event{Kind: net.Deliver, Conn: 1, From: "a1", To: "b1", Bytes: proofBytes + 150, At: at(50)})
	s.Mark(Span{Track: "b", Name: "partition b", From: 0, To: at(90)})
	h := &check.History{}
	h.End(at(4), h.Begin(at(3), check.Op{Kind: check.Get, Key: "k", Value: 9, Size: -1}), check.OK)
	svg := string(s.SVG(h, check.Direct(h), 0, at(100)))
	for text, want := range map[string]int{"100 bytes, 1ms to 50ms": 1, "77 bytes to b1 never came": 1,
		"77 bytes, ": 0, "<title>partition b</title>": 1, "crimson": 1, "NaN": 0} {
		if got := strings.Count(svg, text); got != want {
			t.Errorf("%q is there %d times, want %d", text, got, want)
		}
	}
}
