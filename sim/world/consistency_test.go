package world

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"granary/core/table"
)

// level sets the consistency of the client's bucket.
func (c *client) level(name string, level table.Consistency) {
	c.t.Helper()
	if err := c.w.SetConsistency(name, level); err != nil {
		c.t.Fatal(err)
	}
	if err := c.w.Sched.Run(5 * time.Second); err != nil {
		c.t.Fatal(err)
	}
}

// TestRoundsByConsistency: what reads cost at the level of their bucket, and of their header.
func TestRoundsByConsistency(t *testing.T) {
	_, c := flatWorld(t, 5)
	c.must(200, 2, "PUT", "/bucket", nil)
	small, big := content(1024), content(2<<20)
	for _, tc := range []struct {
		level  table.Consistency
		rounds float64
	}{{table.Monotonic, 1}, {table.Eventual, 0}, {table.ReadAfterWrite, 1}} {
		c.level("bucket", tc.level)
		c.must(200, 1, "PUT", "/bucket/small", small)
		c.must(200, 1, "PUT", "/bucket/big", big)
		if err := c.w.Sched.Run(time.Second); err != nil { // the third copies
			t.Fatal(err)
		}
		c.must(200, tc.rounds, "HEAD", "/bucket/small", nil)
		for path, want := range map[string][]byte{"/bucket/small": small, "/bucket/big": big} {
			if got := c.must(200, tc.rounds, "GET", path, nil); !bytes.Equal(got.Body.Bytes(), want) {
				t.Errorf("%v: %s came back changed", tc.level, path)
			}
		}
		got := c.must(200, tc.rounds, "GET", "/bucket?list-type=2", nil)
		if strings.Count(got.Body.String(), "<Key>") != 2 {
			t.Errorf("%v: listing: %s", tc.level, got.Body)
		}
		c.must(200, 0, "GET", "/bucket/small", nil, "X-Granary-Consistency", "eventual")
		c.must(200, 1, "GET", "/bucket/small", nil, "X-Granary-Consistency", "monotonic")
		c.must(204, 1, "DELETE", "/bucket/small", nil)
	}
}

// TestMonotonicListing: a key that only one replica knows of, once listed, stays listed for those who do not
// ask that replica.
func TestMonotonicListing(t *testing.T) {
	for _, level := range []table.Consistency{table.Monotonic, table.ReadAfterWrite} {
		w, c := flatWorld(t, 6)
		c.must(200, 2, "PUT", "/bucket", nil)
		c.level("bucket", level)
		c.must(200, 1, "PUT", "/bucket/known", content(10))
		model := w.Net.Model()
		site := func(i int) string { return w.Machines[i].Zone }
		last := len(w.Machines) - 1
		check := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		// The write gets no further than its own site.
		check(model.Isolate(site(0)))
		if got := c.do("PUT", "/bucket/half/new", content(10)); got.Code != 503 {
			t.Fatalf("a write of one replica: %d", got.Code)
		}
		// The site hears the second one again, which gets what it missed no sooner than it is asked.
		check(model.Rejoin(site(0)))
		check(model.Isolate(site(last)))
		list := func(at int) bool {
			c.at = at
			got := c.do("GET", "/bucket?list-type=2&delimiter=/", nil)
			if got.Code != 200 {
				t.Fatalf("listing at %s: %d %s", site(at), got.Code, got.Body)
			}
			return strings.Contains(got.Body.String(), "<Prefix>half/</Prefix>")
		}
		if !list(0) {
			t.Fatalf("%v: the site that stored it does not list it", level)
		}
		check(model.Rejoin(site(last)))
		check(model.Isolate(site(0)))
		seen := list(last)
		if level == table.Monotonic && !seen {
			t.Error("a monotonic listing went back")
		}
		t.Logf("%v: listed again: %v", level, seen)
	}
}
