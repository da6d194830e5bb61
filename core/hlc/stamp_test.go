package hlc

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestStampString(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.FixedZone("x", 3600))
	tests := []struct {
		s    Stamp
		want string
	}{
		{0, "1970-01-01T00:00:00.000Z+0"},
		{At(at) + 9, "2026-01-02T02:04:05.678Z+9"},
		{At(at) + 1<<16, "2026-01-02T02:04:05.679Z+0"}, // the counter carries
		{At(time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC)), "1970-01-01T00:00:00.000Z+0"},
		{StampMax, "6429-10-17T02:45:55.327Z+65535"},
	}
	for _, tt := range tests {
		if got := tt.s.String(); got != tt.want {
			t.Errorf("%d = %q, want %q", uint64(tt.s), got, tt.want)
		}
	}
}

func TestStampArithmetic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Stamp(rapid.Uint64Max(uint64(StampMax)).Draw(t, "s"))
		d := time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "ms")) * time.Millisecond
		if got := s.Add(d); got.Sub(s) != d || got.Counter() != s.Counter() || got.Add(-d) != s {
			t.Fatalf("%v + %v = %v", s, d, got)
		}
		if got := At(s.Time()); got != s&^counterMask {
			t.Fatalf("%v by its time is %v", s, got)
		}
		if s+1 <= s || s.Add(time.Hour) <= s || s.Add(-time.Hour) > s {
			t.Fatalf("order broken at %v", s)
		}
		far := Stamp(rapid.Uint64().Draw(t, "far"))
		if (far.Sub(s) < 0) != (far>>counterBits < s>>counterBits) {
			t.Fatalf("%v - %v = %v", far, s, far.Sub(s))
		}
	})
}
