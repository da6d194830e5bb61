package world

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"
)

// jittery is a cluster of six machines in three places, 100 ms apart and up to 20 ms more or less, and a
// client of the first machine of the second.
func jittery(t *testing.T, seed uint64, mutants ...string) (*World, *client) {
	t.Helper()
	w, c := withBucket(t, Default(seed, preset(t, "3dc-100ms")), mutants...)
	for c.w.Machines[c.at].Zone == w.Machines[0].Zone {
		c.at++
	}
	return w, c
}

// latencies begins a request every 50 ms, whatever becomes of those before, and returns how long they took,
// in ascending order. All must succeed.
func (c *client) latencies(method string, n int) (all []time.Duration) {
	c.t.Helper()
	left := n
	for i := range n {
		c.w.Sched.After(time.Duration(i)*50*time.Millisecond, func() {
			c.w.Env.Go("load", func() {
				from := c.w.Sched.Now()
				rec := &answer{ResponseRecorder: httptest.NewRecorder(), env: c.w.Sched, from: from}
				u := &url.URL{Scheme: "http", Host: "sim", Path: fmt.Sprintf("/photos/%d", i%20)}
				err := c.ask(c.w.Env.Background(), rec, method, u, []byte("meow"), nil)
				if err != nil || rec.Code != 200 {
					c.t.Errorf("%s %d: %v, status %d", method, i, err, rec.Code)
				}
				all = append(all, c.w.Sched.Now()-from)
				left--
			})
		})
	}
	if err := c.w.Sched.RunUntil(time.Hour, func() bool { return left == 0 }); err != nil {
		c.t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// worsening is the most by which the loss of a zone may lengthen the slowest hundredth of requests.
const worsening = 1.15

// TestZoneLossIsHardlyNoticed: with one place of three gone, or its nodes stopped as by SIGSTOP, the slowest
// hundredth of reads and of writes takes at most 1.15 times what it did, from the first request on.
func TestZoneLossIsHardlyNoticed(t *testing.T) {
	for name, fail := range map[string]func(w *World, m *Machine){
		"power cut": func(w *World, m *Machine) { w.Crash(m) },
		"SIGSTOP":   func(_ *World, m *Machine) { m.SetPaused(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, c := jittery(t, 1)
			c.latencies("PUT", 20) // the objects, and connections
			const n = 300
			p99 := func(method string) time.Duration { return c.latencies(method, n)[n-n/100-1] }
			puts, gets := p99("PUT"), p99("GET")
			for _, m := range w.Machines {
				if m.Zone == w.Machines[0].Zone {
					fail(w, m)
				}
			}
			for method, before := range map[string]time.Duration{"PUT": puts, "GET": gets} {
				after := p99(method)
				t.Logf("%s: p99 %v, without the zone %v", method, before, after)
				if float64(after) > worsening*float64(before) {
					t.Errorf("%s: p99 %v, without the zone %v: more than %v times", method, before, after,
						worsening)
				}
			}
		})
	}
}

// patience is well above what a hedge and a round trip take, and below every time-out.
const patience = time.Second

// TestStoppedPeerCostsAHedge: the node that a block is read from, because it is the nearest that has it, is
// stopped as by SIGSTOP. The read asks another one after a moment, which the broken one does not.
func TestStoppedPeerCostsAHedge(t *testing.T) {
	for _, mutant := range []string{"", "silent replica is waited for"} {
		took := stoppedPeer(t, mutant)
		if quick := took < patience; quick != (mutant == "") {
			t.Errorf("mutant %q: a read takes %v", mutant, took)
		}
	}
}

// stoppedPeer returns how long the slowest of some reads of blocks takes when the other machine of the
// client's place is stopped.
func stoppedPeer(t *testing.T, mutant string) (slowest time.Duration) {
	w, c := jittery(t, 1, mutant)
	const objects = 6
	for i := range objects {
		c.expect(200, "PUT", fmt.Sprint("/photos/block", i), bytes.Repeat([]byte{byte(i)}, 200_000))
	}
	w.mustRun(t, 10*time.Second)
	for _, m := range w.Machines {
		if at := w.Machines[c.at]; m.Zone == at.Zone && m != at {
			m.SetPaused(true)
		}
	}
	for i := range objects {
		from := w.Sched.Now()
		c.expect(200, "GET", fmt.Sprint("/photos/block", i), nil)
		slowest = max(slowest, w.Sched.Now()-from)
	}
	if mutant == "" && w.Sched.Sometimes()["block read hedged"] == 0 {
		t.Error("no read was hedged")
	}
	return slowest
}
