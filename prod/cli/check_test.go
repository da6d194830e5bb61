package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
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

// TestRestoreLists lists the snapshots of a stopped node, and refuses a name that there is not.
func TestRestoreLists(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "granary-data")
	server := run(t, dir, "server", "--dev", "--s3-listen", "127.0.0.1:0",
		"--set", "metadata.snapshot_every=1s")
	server.await(`eval "\$\(granary env\)"`)
	list := regexp.MustCompile(`(?m)^(\S+Z) +\S+ [KM]B$`)
	var found []string
	late := time.After(patience)
	for found == nil {
		_, text := run(t, dir, "restore").exit()
		found = list.FindStringSubmatch(text)
		select {
		case <-late:
			t.Fatalf("no snapshot in time: %s", text)
		default:
		}
	}
	code, text := run(t, dir, "job", "list").exit()
	if code != 0 || !strings.Contains(text, "metadata snapshot") {
		t.Errorf("job list: exit %d: %s", code, text)
	}
	if code, text := run(t, dir, "restore", found[1]).exit(); code != ExitFailed ||
		!strings.Contains(text, "in use by process") {
		t.Errorf("restore of a running node: exit %d: %s", code, text)
	}
	server.signal(syscall.SIGTERM)
	server.exit()
	if code, text := run(t, dir, "restore", "yesterday").exit(); code != ExitFailed ||
		!strings.Contains(text, "no such snapshot") {
		t.Errorf("restore of nothing: exit %d: %s", code, text)
	}
	newest, err := filepath.Glob(filepath.Join(data, "snapshots", "*.db"))
	if err != nil || len(newest) == 0 {
		t.Fatal(newest, err)
	}
	name := strings.TrimSuffix(filepath.Base(newest[0]), ".db")
	if code, text := run(t, dir, "restore", name).exit(); code != 0 || !strings.Contains(text, "again") {
		t.Errorf("restore: exit %d: %s", code, text)
	}
	if code, text := run(t, dir, "check", "--blocks").exit(); code != 0 {
		t.Errorf("check of a restored node: exit %d: %s", code, text)
	}
}
