package world

import (
	"bytes"
	"testing"
	"time"

	"granary/core/object"
)

// oldOutlives overwrites an object, of which the new version reaches one replica only, which frees what it
// thinks is replaced as soon as it may, and is lost then. It reports whether one of the two versions is
// there, whole.
func oldOutlives(t *testing.T, mutant string) bool {
	t.Helper()
	topology := preset(t, "3dc-100ms-flat")
	topology.Nodes = oneOfEachZone(topology.Nodes)
	o := Default(5, topology)
	o.Resting = true // else the others hear of it soon
	o.Reclaim = &object.Reclaim{Every: 20 * time.Second, Delay: time.Minute, ReadMax: 50 * time.Second,
		Abandoned: 40 * time.Second, Refresh: 10 * time.Second, Takeover: 2 * time.Minute,
		AuditEvery: 30 * time.Second, AuditAge: time.Minute}
	w, c := withBucket(t, o, mutant)
	old := bytes.Repeat([]byte("meow"), 50_000) // in blocks
	c.expect(200, "PUT", "/photos/x", old)
	w.mustRun(t, 5*time.Second)
	alone := w.Machines[2]
	c.ok(w.Net.Model().Isolate(alone.Name))
	if got := c.from(2).do("PUT", "/photos/x", []byte("new")); got.Code != 503 {
		t.Fatalf("a write of one replica: %d", got.Code)
	}
	c.ok(w.Net.Model().Rejoin(alone.Name))
	w.mustRun(t, 20*time.Minute)
	w.Crash(alone)
	w.mustRun(t, 5*time.Second)
	got := c.from(0).do("GET", "/photos/x", nil)
	body := got.Body.Bytes()
	return got.Code == 200 && (bytes.Equal(body, old) || string(body) == "new")
}

// What is replaced is freed only when its successor is held by a write quorum, never because one
// replica has seen one. An overwrite that fails leaves the old object whole.
func TestRule03OldOutlivesFailedOverwrite(t *testing.T) {
	for _, mutant := range []string{"", "reclaim: superseder at one replica"} {
		if kept := oldOutlives(t, mutant); kept != (mutant == "") {
			t.Errorf("with mutant %q: the object is there: %v", mutant, kept)
		}
	}
}
