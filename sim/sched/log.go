package sched

import (
	"fmt"
	"strings"
	"time"
)

// Line is one log line.
type Line struct {
	At    time.Duration
	Node  string
	Task  string
	Level string
	Msg   string
	KV    []any
}

// String renders the line as text.
func (l Line) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%12v %-10s %-18s %-5s %s", l.At, l.Node, l.Task, l.Level, l.Msg)
	for i := 0; i+1 < len(l.KV); i += 2 {
		fmt.Fprintf(&b, " %v=%v", l.KV[i], l.KV[i+1])
	}
	return b.String()
}

func (e *Env) log(level, msg string, kv []any) {
	if e.dead || e.s.opts.Log == nil {
		return
	}
	l := Line{At: e.s.now, Node: e.name, Level: level, Msg: msg, KV: kv}
	if t := e.s.cur; t != nil {
		l.Task = t.name
	}
	e.s.opts.Log(l)
}

// Debug implements rt.Logger.
func (e *Env) Debug(msg string, kv ...any) { e.log("debug", msg, kv) }

// Info implements rt.Logger.
func (e *Env) Info(msg string, kv ...any) { e.log("info", msg, kv) }

// Warn implements rt.Logger.
func (e *Env) Warn(msg string, kv ...any) { e.log("warn", msg, kv) }

// Error implements rt.Logger.
func (e *Env) Error(msg string, kv ...any) { e.log("error", msg, kv) }

// Count implements rt.Meter: it adds to a counter of the run.
func (e *Env) Count(name string, delta float64, _ ...string) {
	if !e.dead {
		e.s.counters[name] += delta
	}
}

// Gauge implements rt.Meter; the simulator keeps none.
func (e *Env) Gauge(string, float64, ...string) {}

// Observe implements rt.Meter; the simulator keeps none.
func (e *Env) Observe(string, float64, ...string) {}
