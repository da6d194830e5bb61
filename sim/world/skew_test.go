package world

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// from is the client at another node.
func (c *client) from(i int) *client {
	other := *c
	other.at = i
	return &other
}

// expect is do that expects a status.
func (c *client) expect(status int, method, target string, body []byte) *answer {
	c.t.Helper()
	a := c.do(method, target, body)
	if a.Code != status {
		c.t.Fatalf("%s %s at node %d: status %d, want %d: %s", method, target, c.at, a.Code, status, a.Body)
	}
	return a
}

// sees holds every node to return body for the object, nil for none.
func (c *client) sees(target string, body []byte) {
	c.t.Helper()
	for i := range c.w.Machines {
		status := http.StatusOK
		if body == nil {
			status = http.StatusNotFound
		}
		if got := c.from(i).expect(status, "GET", target, nil); body != nil &&
			!bytes.Equal(got.Body.Bytes(), body) {
			c.t.Errorf("%s at node %d: %q, want %q", target, i, got.Body, body)
		}
	}
}

// TestSkewedClocks: whatever one coordinator's clock says, what is acknowledged is visible afterwards, a
// DELETE then a PUT and a PUT then a DELETE too.
func TestSkewedClocks(t *testing.T) {
	for _, skew := range []time.Duration{-10 * time.Minute, -59 * time.Second, -time.Second, time.Second,
		59 * time.Second} {
		t.Run(skew.String(), func(t *testing.T) {
			w, c := flatWorld(t, 3)
			c.expect(200, "PUT", "/bucket", nil)
			w.Machines[3].SetWall(skew)
			wrong, right := c.from(3), c.from(0)
			for i := range 3 {
				key := fmt.Sprintf("/bucket/key%d", i)
				right.expect(200, "PUT", key, []byte("first"))
				wrong.expect(200, "PUT", key, []byte("second"))
				c.sees(key, []byte("second"))
				right.expect(200, "PUT", key, []byte("third"))
				c.sees(key, []byte("third"))
				wrong.expect(204, "DELETE", key, nil)
				c.sees(key, nil)
				right.expect(200, "PUT", key, []byte("fourth"))
				c.sees(key, []byte("fourth"))
				right.expect(204, "DELETE", key, nil)
				wrong.expect(200, "PUT", key, []byte("fifth"))
				c.sees(key, []byte("fifth"))
			}
		})
	}
}

// TestClockBeyondTheCap: a node whose clock is ten minutes ahead has its writes refused, and harms nobody
// else's.
func TestClockBeyondTheCap(t *testing.T) {
	w, c := flatWorld(t, 4)
	c.expect(200, "PUT", "/bucket", nil)
	w.Machines[3].SetWall(10 * time.Minute)
	wrong, right := c.from(3), c.from(0)
	right.expect(200, "PUT", "/bucket/before", []byte("one"))
	if a := wrong.do("PUT", "/bucket/ahead", []byte("x")); a.Code != http.StatusServiceUnavailable ||
		!bytes.Contains(a.Body.Bytes(), []byte("check the clocks")) {
		t.Errorf("the write from the future: %d %s", a.Code, a.Body)
	}
	if err := w.Sched.Run(time.Minute); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		body := []byte{byte(i)}
		right.expect(200, "PUT", "/bucket/before", body)
		right.expect(200, "PUT", "/bucket/ahead", body) // one replica may hold the other, of unknown outcome
		c.sees("/bucket/before", body)
	}
	if off := w.Machines[3].Node.Cluster().Status().ClockOffset; off < 9*time.Minute {
		t.Errorf("its status says %v", off)
	}
	for _, m := range w.Machines[:3] {
		if off := m.Node.Cluster().ClockOffset(); off > time.Second || off < -time.Second {
			t.Errorf("%s thinks that it is off by %v", m.Name, off)
		}
	}
}

// TestBootWithAWrongClock: a node that starts with a clock beyond the cap, either way, compares it with its
// peers' and then serves like any other.
func TestBootWithAWrongClock(t *testing.T) {
	for _, skew := range []time.Duration{-10 * time.Minute, 10 * time.Minute} {
		w, c := flatWorld(t, 7)
		c.expect(200, "PUT", "/bucket", nil)
		w.Crash(w.Machines[3])
		w.Sched.Run(time.Second)
		w.Machines[3].SetWall(skew)
		w.Boot(w.Machines[3])
		if err := w.Sched.Run(30 * time.Second); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			key, other := fmt.Sprintf("/bucket/key%d", i), fmt.Sprintf("/bucket/other%d", i)
			c.from(3).expect(200, "PUT", key, []byte("wrong"))
			c.sees(key, []byte("wrong"))
			c.expect(200, "PUT", key, []byte("right"))
			c.sees(key, []byte("right"))
			c.expect(200, "PUT", other, []byte("right"))
			c.from(3).expect(204, "DELETE", other, nil)
			c.sees(other, nil)
		}
	}
}

// TestSiteSetRight: all clocks were ten minutes ahead and are set right: nothing becomes unwritable, and a
// node that starts afresh afterwards serves too.
func TestSiteSetRight(t *testing.T) {
	w, c := flatWorld(t, 5)
	for _, m := range w.Machines {
		m.SetWall(10 * time.Minute)
	}
	c.expect(200, "PUT", "/bucket", nil)
	c.expect(200, "PUT", "/bucket/key", []byte("later"))
	for _, m := range w.Machines {
		m.SetWall(0)
	}
	for i := range w.Machines {
		body := []byte{byte(i)}
		c.from(i).expect(200, "PUT", "/bucket/key", body)
		c.sees("/bucket/key", body)
		c.from(i).expect(200, "PUT", fmt.Sprintf("/bucket/other%d", i), body)
	}
	w.Crash(w.Machines[2])
	if err := w.Sched.Run(time.Second); err != nil {
		t.Fatal(err)
	}
	w.Boot(w.Machines[2])
	if err := w.Sched.Run(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	c.from(2).expect(200, "PUT", "/bucket/key", []byte("after"))
	c.sees("/bucket/key", []byte("after"))
}
