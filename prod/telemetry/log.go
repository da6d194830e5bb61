package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"granary/core/rt"
)

// Bounds of the log.
const (
	burst    = 50                     // lines of one kind at once
	every    = 100 * time.Millisecond // after which one more is allowed
	kindsMax = 1024                   // kinds told apart; further ones share one allowance
)

// LogOptions shape a Log.
type LogOptions struct {
	// Out is where lines go. Required.
	Out io.Writer
	// Level is the least level that is written: debug, info, warn or error. Empty: info.
	Level string
	// JSON writes one JSON object per line instead of text.
	JSON bool
	// Now is the clock of the allowances. nil: time.Now.
	Now func() time.Time
}

// Log implements rt.Logger. A kind of line is its level and message; of each kind a burst is written, then
// ten a second, the next of which says how many were suppressed. Safe for concurrent use.
type Log struct {
	slog  *slog.Logger
	level slog.Level
	now   func() time.Time

	mu    sync.Mutex
	kinds map[kind]*allowance
}

type kind struct {
	level slog.Level
	msg   string
}

// allowance is a token bucket, as the time at which it is full again.
type allowance struct {
	full       time.Time
	suppressed int
}

var _ rt.Logger = (*Log)(nil)

// hiddenNames are attributes whose values are never written.
var hiddenNames = map[string]bool{"secret": true, "token": true, "password": true, "authorization": true}

// NewLog returns a log.
//
// Errors: a level that does not exist.
func NewLog(o LogOptions) (*Log, error) {
	l := &Log{now: o.Now, kinds: map[kind]*allowance{}}
	if l.now == nil {
		l.now = time.Now
	}
	if o.Level != "" {
		if err := l.level.UnmarshalText([]byte(o.Level)); err != nil {
			return nil, fmt.Errorf("log level %q: %w", o.Level, err)
		}
	}
	opts := &slog.HandlerOptions{Level: l.level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if hiddenNames[strings.ToLower(a.Key)] {
			a.Value = slog.StringValue("(hidden)")
		}
		return a
	}}
	var h slog.Handler = slog.NewTextHandler(o.Out, opts)
	if o.JSON {
		h = slog.NewJSONHandler(o.Out, opts)
	}
	l.slog = slog.New(h)
	return l, nil
}

// Debug implements rt.Logger.
func (l *Log) Debug(msg string, kv ...any) { l.write(slog.LevelDebug, msg, kv) }

// Info implements rt.Logger.
func (l *Log) Info(msg string, kv ...any) { l.write(slog.LevelInfo, msg, kv) }

// Warn implements rt.Logger.
func (l *Log) Warn(msg string, kv ...any) { l.write(slog.LevelWarn, msg, kv) }

// Error implements rt.Logger.
func (l *Log) Error(msg string, kv ...any) { l.write(slog.LevelError, msg, kv) }

func (l *Log) write(level slog.Level, msg string, kv []any) {
	if level < l.level {
		return
	}
	suppressed, ok := l.allow(kind{level, msg})
	if !ok {
		return
	}
	if suppressed > 0 {
		kv = append(kv[:len(kv):len(kv)], "suppressed", suppressed)
	}
	l.slog.Log(context.Background(), level, msg, kv...)
}

// allow reports whether a line may be written, and how many of its kind were not since the last one.
func (l *Log) allow(k kind) (suppressed int, ok bool) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.kinds[k]
	if a == nil {
		if len(l.kinds) >= kindsMax {
			k = kind{}
		}
		if a = l.kinds[k]; a == nil {
			a = &allowance{}
			l.kinds[k] = a
		}
	}
	if a.full.Before(now) {
		a.full = now
	}
	if a.full.Sub(now) > (burst-1)*every {
		a.suppressed++
		return 0, false
	}
	a.full = a.full.Add(every)
	suppressed, a.suppressed = a.suppressed, 0
	return suppressed, true
}

// Flush writes how many lines were suppressed and not told yet. Call it before the process ends.
func (l *Log) Flush() {
	l.mu.Lock()
	total := 0
	for _, a := range l.kinds {
		total += a.suppressed
		a.suppressed = 0
	}
	l.mu.Unlock()
	if total > 0 {
		l.slog.Warn("log lines were suppressed", "suppressed", total)
	}
}

// Std returns a writer for packages that log lines of text, such as net/http; each becomes a line of the
// given message.
func (l *Log) Std(msg string) io.Writer { return lineWriter{l, msg} }

type lineWriter struct {
	log *Log
	msg string
}

// Write logs one line.
func (w lineWriter) Write(p []byte) (int, error) {
	w.log.Warn(w.msg, "text", strings.TrimSpace(string(p)))
	return len(p), nil
}
