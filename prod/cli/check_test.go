package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestCheck refuses a running node, finds a stopped one clean, and exits with 1 when something is wrong.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	server := run(t, dir, "server", "--dev", "--s3-listen", "127.0.0.1:0")
	server.await(`eval "\$\(granary env\)"`)
	code, text := run(t, dir, "check").exit()
	if code != ExitFailed || !strings.Contains(text, "in use by process") {
		t.Errorf("check of a running node: exit %d: %s", code, text)
	}
	server.signal(syscall.SIGTERM)
	server.exit()
	code, text = run(t, dir, "check", "--blocks").exit()
	if code != 0 || !strings.HasSuffix(text, "clean\n") {
		t.Errorf("check of a sound node: exit %d: %s", code, text)
	}
	if err := os.Remove(filepath.Join(dir, "granary-data", "node.key")); err != nil {
		t.Fatal(err)
	}
	code, text = run(t, dir, "check").exit()
	if code != ExitFailed || !strings.Contains(text, "fault     ") || !strings.Contains(text, "1 fault in") {
		t.Errorf("check of a node without its key: exit %d: %s", code, text)
	}
	code, text = run(t, dir, "check", "--json").exit()
	var report checkReport
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&report); err != nil || code != ExitFailed ||
		report.Faulty != 1 || len(report.Faults) != 1 || report.Rows["bucket"] != 1 {
		t.Errorf("as JSON: exit %d, %v: %s", code, err, text)
	}
}
