package world

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"granary/core/layout"
	"granary/core/node"
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
		if got := c.from(i).expect(status, "GET", target, nil); body != nil && !bytes.Equal(got.Body.Bytes(), body) {
			c.t.Errorf("%s at node %d: %q, want %q", target, i, got.Body, body)
		}
	}
}

// TestSkewedClocks: whatever one coordinator's clock says, what is acknowledged is visible afterwards, a DELETE then a
// PUT and a PUT then a DELETE too.
func TestSkewedClocks(t *testing.T) {
	for _, skew := range []time.Duration{-48 * time.Hour, -59 * time.Second, -time.Second, time.Second, 59 * time.Second} {
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

// TestClockBeyondTheCap: a node whose clock is a day ahead has its writes refused, and harms nobody else's.
func TestClockBeyondTheCap(t *testing.T) {
	w, c := flatWorld(t, 4)
	c.expect(200, "PUT", "/bucket", nil)
	w.Machines[3].SetWall(24 * time.Hour)
	wrong, right := c.from(3), c.from(0)
	right.expect(200, "PUT", "/bucket/before", []byte("one"))
	if a := wrong.do("PUT", "/bucket/ahead", []byte("x")); a.Code != http.StatusServiceUnavailable ||
		!bytes.Contains(a.Body.Bytes(), []byte("check the clocks")) {
		t.Errorf("the write of tomorrow: %d %s", a.Code, a.Body)
	}
	if err := w.Sched.Run(time.Minute); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		body := []byte{byte(i)}
		right.expect(200, "PUT", "/bucket/before", body)
		right.expect(200, "PUT", "/bucket/ahead", body) // above the stamp that one replica may have
		c.sees("/bucket/before", body)
		c.sees("/bucket/ahead", body)
	}
	if off := w.Machines[3].Node.Cluster().Status().ClockOffset; off < 23*time.Hour {
		t.Errorf("its status says %v", off)
	}
	for _, m := range w.Machines[:3] {
		if off := m.Node.Cluster().ClockOffset(); off > time.Second || off < -time.Second {
			t.Errorf("%s thinks that it is off by %v", m.Name, off)
		}
	}
}

// TestSiteSetRight: all clocks were a day ahead and are set right: nothing becomes unwritable, and a node that starts
// afresh afterwards serves too.
func TestSiteSetRight(t *testing.T) {
	w, c := flatWorld(t, 5)
	for _, m := range w.Machines {
		m.SetWall(24 * time.Hour)
	}
	c.expect(200, "PUT", "/bucket", nil)
	c.expect(200, "PUT", "/bucket/key", []byte("tomorrow"))
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

// TestLayoutStaysOnceThereIsData: no layout is applied over objects.
func TestLayoutStaysOnceThereIsData(t *testing.T) {
	w, c := flatWorld(t, 6)
	c.expect(200, "PUT", "/bucket", nil)
	c.expect(200, "PUT", "/bucket/key", []byte("data"))
	err := w.Do(time.Minute, func(ctx context.Context) error {
		return w.On(ctx, w.Machines[1], func(ctx context.Context, n *node.Node) error {
			role := layout.Role{Node: w.Machines[1].ID, Zone: "elsewhere", Capacity: 1 << 30}
			if err := n.Cluster().Stage(ctx, role); err != nil {
				return err
			}
			_, err := n.Cluster().Apply(ctx)
			return err
		})
	})
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("holds data")) {
		t.Errorf("got %v", err)
	}
	c.sees("/bucket/key", []byte("data"))
}
