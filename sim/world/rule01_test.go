package world

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

// lossOf puts objects, small ones and ones of several blocks, cuts the power of all machines as soon as the
// last is acknowledged, lets them start again, and returns how many objects are not there, byte for byte.
func lossOf(t *testing.T, seed uint64, noSync bool) (lost int) {
	w, c := newBucket(t, seed)
	for _, m := range w.Machines {
		m.Disk.NoSync = noSync
	}
	const objects = 12
	body := func(i int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%07d|", i), 10+i%3*200_000) }
	for i := range objects {
		c.expect(200, "PUT", fmt.Sprintf("/photos/%02d", i), body(i))
	}
	for _, m := range w.Machines {
		w.Crash(m)
	}
	w.mustRun(t, time.Second)
	for _, m := range w.Machines {
		w.Boot(m)
	}
	w.mustRun(t, 30*time.Second)
	for i := range objects {
		got := c.do("GET", fmt.Sprintf("/photos/%02d", i), nil)
		if got.Code != 200 || !bytes.Equal(got.Body.Bytes(), body(i)) {
			lost++
		}
	}
	if noSync {
		return lost
	}
	// What is on a write quorum survives the loss of a machine, too.
	w.Crash(w.Machines[2])
	w.mustRun(t, time.Second)
	for i := range objects {
		if got := c.do("GET", fmt.Sprintf("/photos/%02d", i), nil); !bytes.Equal(got.Body.Bytes(), body(i)) {
			lost++
		}
	}
	return lost
}

// TestRule01: an acknowledged write is durable on a write quorum. After a power cut of everything nothing is
// lost, even without one machine; on disks that do not sync, as with fsync = false, the same test finds
// losses.
func TestRule01(t *testing.T) {
	for seed := range uint64(3) {
		if lost := lossOf(t, seed, false); lost > 0 {
			t.Errorf("seed %d: %d acknowledged objects lost", seed, lost)
		}
	}
	if lost := lossOf(t, 0, true); lost == 0 {
		t.Error("nothing is lost without syncs either: the test cannot fail")
	}
}
