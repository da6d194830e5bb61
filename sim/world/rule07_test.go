package world

import (
	"testing"
	"time"
)

// keptGone deletes an object while one of three machines is away for an hour. Then another one loses its
// store, the first comes back, and the third, which alone knows of the deletion, goes. It reports whether the
// object stays gone, to whoever is answered, and what is there in the end.
func keptGone(t *testing.T, mutant string) (gone bool) {
	t.Helper()
	w, c := spareWorld(t, 3, mutant)
	knows, loses, away := w.Machines[0], w.Machines[1], w.Machines[2]
	c.expect(200, "PUT", "/photos/x", []byte("meow"))
	w.mustRun(t, 5*time.Second)
	w.Crash(away)
	w.mustRun(t, time.Second)
	c.expect(204, "DELETE", "/photos/x", nil)
	w.mustRun(t, time.Hour)
	w.lose(t, loses, knows)
	w.Boot(away)
	w.Crash(knows)
	w.mustRun(t, 2*time.Second)
	c.at = 3
	gone = true
	for range 5 {
		gone = gone && c.do("GET", "/photos/x", nil).Code != 200
		w.mustRun(t, 5*time.Second)
	}
	w.Boot(knows)
	err := w.Sched.RunUntil(2*time.Minute, func() bool { return synced(loses) })
	if err != nil && mutant == "" {
		t.Fatal(w.Standings())
	}
	for at := range w.Machines {
		c.at = at
		gone = gone && c.do("GET", "/photos/x", nil).Code == 404
	}
	return gone
}

// No time makes a tombstone old enough to be dropped while a replica may not know of it, and a store
// that lost its memory does not vote until it is whole again.
func TestRule07DeletedStaysDeleted(t *testing.T) {
	for _, mutant := range []string{"", "layout: a syncing store votes"} {
		if gone := keptGone(t, mutant); gone != (mutant == "") {
			t.Errorf("with mutant %q: what was deleted is gone: %v", mutant, gone)
		}
	}
}
