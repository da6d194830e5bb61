package telemetry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

func newLog(t *testing.T, o LogOptions) (*Log, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	o.Out = &out
	l, err := NewLog(o)
	if err != nil {
		t.Fatal(err)
	}
	return l, &out
}

func TestLogLines(t *testing.T) {
	l, out := newLog(t, LogOptions{Level: "info", JSON: true})
	l.Debug("unseen")
	l.Warn("request failed", "request", "0A", "status", 503, "secret", "hunter2", "Authorization", "hunter2")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	for name, want := range map[string]string{"level": "WARN", "msg": "request failed", "request": "0A",
		"status": "503",
		"secret": "(hidden)", "Authorization": "(hidden)"} {
		if got := fmt.Sprint(line[name]); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if _, err := NewLog(LogOptions{Level: "loud"}); err == nil {
		t.Error("level loud was accepted")
	}
}

// TestLogThins shows that one kind of line cannot drown the others, and that what is left out is told.
func TestLogThins(t *testing.T) {
	now := time.Unix(1, 0)
	l, out := newLog(t, LogOptions{Now: func() time.Time { return now }})
	for range burst + 7 {
		l.Warn("flood")
	}
	l.Warn("other")
	if got := strings.Count(out.String(), "flood"); got != burst {
		t.Errorf("%d lines of a flood, want %d", got, burst)
	}
	if !strings.Contains(out.String(), "msg=other") {
		t.Error("the other line was lost")
	}
	out.Reset()
	now = now.Add(every)
	l.Warn("flood")
	l.Warn("flood")
	if got, want := strings.Count(out.String(), "\n"), 1; got != want ||
		!strings.Contains(out.String(), "suppressed=7") {
		t.Errorf("after one interval: %d lines, want %d that tells of 7:\n%s", got, want, out)
	}
	out.Reset()
	l.Flush()
	if !strings.Contains(out.String(), "suppressed=1") {
		t.Errorf("Flush wrote %q", out)
	}
}

func TestLogKindsAreBounded(t *testing.T) {
	l, out := newLog(t, LogOptions{Now: func() time.Time { return time.Unix(1, 0) }})
	for i := range 3 * kindsMax {
		l.Warn(fmt.Sprint("kind ", i))
	}
	if got, most := strings.Count(out.String(), "\n"), kindsMax+burst; got > most {
		t.Errorf("%d lines of different kinds, want at most %d", got, most)
	}
}

func scrape(m *Meter) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func TestMeter(t *testing.T) {
	l, out := newLog(t, LogOptions{})
	m := NewMeter(l)
	m.Count("requests_total", 2, "op", "Get", "status", "200")
	m.Count("requests_total", 1, "op", "Get", "status", "200")
	m.Count("requests_total", 1, "op", "Put", "status", "\xff")
	m.Gauge("depth", 7)
	m.Observe("request_seconds", 0.003, "op", "Get")
	m.Func("asked", "Asked for.", func() float64 { return 42 })
	text := scrape(m)
	for _, want := range []string{
		`granary_requests_total{op="Get",status="200"} 3`, `granary_requests_total{op="Put",status="` +
			"\uFFFD" + `"} 1`,
		"granary_depth 7", `granary_request_seconds_bucket{op="Get",le="0.005"} 1`,
		`granary_request_seconds_bucket{op="Get",le="0.0025"} 0`, "granary_asked 42", "process_open_fds",
		"go_goroutines",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if out.Len() > 0 {
		t.Errorf("right use was complained about: %s", out)
	}
}

// TestMeterFaults shows that wrong use is logged once, dropped, and never a panic.
func TestMeterFaults(t *testing.T) {
	for name, use := range map[string]func(*Meter){
		"another kind":      func(m *Meter) { m.Gauge("x", 1, "a", "1") },
		"another label":     func(m *Meter) { m.Count("x", 1, "b", "1") },
		"more labels":       func(m *Meter) { m.Count("x", 1, "a", "1", "b", "2") },
		"no labels":         func(m *Meter) { m.Count("x", 1) },
		"odd labels":        func(m *Meter) { m.Count("y", 1, "a") },
		"odd labels, known": func(m *Meter) { m.Count("x", 1, "a") },
		"a bad name":        func(m *Meter) { m.Count("y \xff", 1) },
		"a bad label":       func(m *Meter) { m.Count("y", 1, "a\xff", "1") },
		"a label twice":     func(m *Meter) { m.Count("y", 1, "a", "1", "a", "2") },
		"backwards":         func(m *Meter) { m.Count("x", -1, "a", "1") },
		"not a number":      func(m *Meter) { m.Count("x", math.NaN(), "a", "1") },
		"a function twice": func(m *Meter) {
			m.Func("f", "", func() float64 { return 0 })
			m.Func("f", "", func() float64 { return 0 })
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, out := newLog(t, LogOptions{})
			m := NewMeter(l)
			m.Count("x", 1, "a", "1")
			for range 3 {
				use(m)
			}
			if got := strings.Count(out.String(), "used wrongly"); got != 1 {
				t.Errorf("%d complaints, want 1:\n%s", got, out)
			}
			if text := scrape(m); !strings.Contains(text, `granary_x{a="1"} 1`+"\n") {
				t.Error("the right use was lost")
			}
		})
	}
}

func TestMeterSeriesAreBounded(t *testing.T) {
	l, out := newLog(t, LogOptions{})
	m := NewMeter(l)
	for i := range seriesMax + 10 {
		m.Count("x", 1, "a", fmt.Sprint(i))
	}
	if got := strings.Count(scrape(m), "granary_x{"); got != seriesMax {
		t.Errorf("%d series, want %d", got, seriesMax)
	}
	if got := strings.Count(out.String(), "series already"); got != 1 {
		t.Errorf("%d complaints, want 1", got)
	}
}

func TestMeterConcurrent(t *testing.T) {
	m := NewMeter(nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 100 {
				m.Count("x", 1, "a", fmt.Sprint(i%5))
			}
		})
	}
	wg.Wait()
	if text := scrape(m); !strings.Contains(text, `granary_x{a="4"} 160`) {
		t.Errorf("counts were lost:\n%s", text[:min(len(text), 500)])
	}
}

func TestMeterAllocations(t *testing.T) {
	m := NewMeter(nil)
	if n := testing.AllocsPerRun(100, func() { m.Count("x", 1, "a", "b", "c", "d") }); n > 1 {
		t.Errorf("%v allocations per count", n)
	}
}
