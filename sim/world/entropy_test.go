package world

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"granary/netsim"
	"granary/sim/check"
)

// newBucket is a world of three places with an empty bucket, and a client of its first machine.
func newBucket(t *testing.T, seed uint64, mutants ...string) (*World, *client) {
	t.Helper()
	topology := preset(t, "3dc-100ms-flat")
	topology.Nodes = oneOfEachZone(topology.Nodes)
	return withBucket(t, Default(seed, topology), mutants...)
}

func oneOfEachZone(all []netsim.Node) (nodes []netsim.Node) {
	zones := map[string]bool{}
	for _, n := range all {
		if !zones[n.Zone] {
			zones[n.Zone] = true
			nodes = append(nodes, n)
		}
	}
	return nodes
}

func (w *World) mustRun(t *testing.T, d time.Duration) {
	t.Helper()
	if err := w.Sched.Run(d); err != nil {
		t.Fatal(err)
	}
}

func differences(t *testing.T, w *World) []check.Violation {
	t.Helper()
	replicas, err := w.Replicas()
	if err != nil {
		t.Fatal(err)
	}
	return check.Converged(replicas)
}

// A node that was down while objects were written, replaced and deleted is caught up by itself: nobody reads.
func TestCatchUpWithoutReads(t *testing.T) {
	for seed := range uint64(3) {
		w, c := newBucket(t, seed)
		put := func(i int, body string) {
			c.expect(200, "PUT", fmt.Sprintf("/photos/%03d", i), []byte(body))
		}
		for i := range 20 {
			put(i, "before")
		}
		late := w.Machines[2]
		w.Crash(late)
		for i := range 60 {
			if put(i, "meanwhile"); i%3 == 0 {
				c.expect(204, "DELETE", fmt.Sprintf("/photos/%03d", i), nil)
			}
		}
		w.mustRun(t, time.Minute)
		w.Boot(late)
		w.mustRun(t, time.Second)
		if seed == 0 && len(differences(t, w)) == 0 {
			t.Error("it missed nothing")
		}
		w.mustRun(t, 2*time.Minute)
		for _, v := range differences(t, w) {
			t.Errorf("seed %d: %v", seed, v)
		}
	}
}

// The story of a row without its payload. B alone stores X, cut off from A and C; A gets X from B by
// anti-entropy; B dies. A and C are a quorum and show X: its bytes must be there. When anti-entropy sends the
// row alone, they are not.
func TestStoryRowWithoutItsPayload(t *testing.T) {
	for _, mutant := range []string{"", "anti-entropy: row without its parts"} {
		w, c := newBucket(t, 1, mutant)
		a, b, other := w.Machines[0], w.Machines[1], w.Machines[2]
		model := w.Net.Model()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		c.at = 1
		c.expect(404, "GET", "/photos/x", nil) // B learns of the bucket
		must(model.Isolate(b.Name))
		if got := c.do("PUT", "/photos/x", []byte("meow")); got.Code != 503 {
			t.Fatalf("stored by one of three: %d", got.Code)
		}
		must(model.Isolate(other.Name))
		must(model.Rejoin(b.Name))
		w.mustRun(t, 2*time.Minute) // A and B compare
		w.Crash(b)
		must(model.Rejoin(other.Name))
		w.mustRun(t, 30*time.Second) // until they are connected
		c.at = 0
		got := c.do("GET", "/photos/x", nil)
		whole := got.Code == 200 && bytes.Equal(got.Body.Bytes(), []byte("meow"))
		if whole != (mutant == "") {
			t.Errorf("mutant %q: %s answers %d %q", mutant, a.Name, got.Code, got.Body)
		}
	}
}
