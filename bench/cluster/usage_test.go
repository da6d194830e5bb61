package cluster

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	got, err := parseStat([]byte("17 (a) b) S 1 17 17 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 5 0 100 1 1\n"))
	if err != nil || got != 3*time.Second {
		t.Errorf("parseStat: %v, %v, want 3s", got, err)
	}
	for _, bad := range []string{"", "17 (a) S 1", "17 (a) S 1 17 17 0 -1 4194560 1 2 3 4 x 50 0"} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("parseStat(%q) = %v, want an error", bad, got)
		}
	}
}

func TestParseStatus(t *testing.T) {
	text := []byte("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n")
	if got, err := parseStatus(text, "VmHWM"); err != nil || got != 2<<20 {
		t.Errorf("VmHWM: %d, %v, want 2 MiB", got, err)
	}
	if got, err := parseStatus(text, "VmSwap"); err == nil {
		t.Errorf("VmSwap: %d, want an error", got)
	}
}

// TestOwnUsage reads the numbers of the test itself.
func TestOwnUsage(t *testing.T) {
	u, err := usageOf(os.Getpid())
	if os.IsNotExist(err) {
		return // no /proc here
	}
	if err != nil || u.Peak < u.RSS || u.RSS < 1<<20 {
		t.Errorf("usageOf: %+v, %v", u, err)
	}
}
