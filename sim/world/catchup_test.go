package world

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"granary/core/block"
)

// catchingUp is a world in which a store of zone b is not in sync with the version that is read, and a change
// to the next one goes on that cannot become readable: the nodes that come in the two other zones sleep.
type catchingUp struct {
	*World
	behind, fails, left *Machine
}

// next applies a version that replaces the nodes of zones a and c.
func (w *catchingUp) next(t *testing.T) {
	t.Helper()
	come := []*Machine{w.Machines[3], w.Machines[5]}
	if err := errors.Join(w.stage(w.left, come[0], 1<<40), w.stage(w.left, come[1], 1<<40),
		w.stage(w.left, w.fails, -1), w.stage(w.left, w.left, -1), w.apply(w.left)); err != nil {
		t.Fatal(err)
	}
	for _, m := range come {
		m.SetPaused(true)
	}
}

// wait has the node that is behind try in vain, for want of blocks, until the function that it returns is
// called.
func (w *catchingUp) wait(t *testing.T) (release func()) {
	t.Helper()
	fetching := w.behind.Node.Jobs().Find(block.ResyncJob)
	fetching.Pause()
	return fetching.Resume
}

// catchUps are ways to be behind when the next version is applied, or soon after that.
var catchUps = map[string]func(*testing.T, *catchingUp){
	"lost before it is applied": func(t *testing.T, w *catchingUp) {
		w.lose(t, w.behind, w.left)
		release := w.wait(t)
		w.mustRun(t, 30*time.Second)
		if synced(w.behind) {
			t.Fatal("in sync before its blocks were there")
		}
		w.next(t)
		release()
	},
	"lost after it is applied": func(t *testing.T, w *catchingUp) {
		w.next(t)
		w.lose(t, w.behind, w.left)
	},
	"new with the version that is read": func(t *testing.T, w *catchingUp) {
		replaced := w.behind
		w.behind = w.Machines[4]
		before := w.left.Node.Cluster().LayoutNumber()
		if err := errors.Join(w.stage(w.left, w.behind, 1<<40), w.stage(w.left, replaced, -1),
			w.apply(w.left)); err != nil {
			t.Fatal(err)
		}
		w.Crash(w.behind)
		w.mustSettle(t, before) // without it
		w.Boot(w.behind)
		w.mustRun(t, 100*time.Millisecond)
		release := w.wait(t)
		w.mustRun(t, 10*time.Second)
		if synced(w.behind) {
			t.Fatal("in sync before its blocks were there")
		}
		w.next(t)
		release()
	},
}

// A node that is catching up with the version that is read goes on with that when the next one is applied,
// and so does one that loses its store meanwhile: then another replica can fail before the next version is
// readable.
func TestCatchUpWithWhatIsRead(t *testing.T) {
	for name, begin := range catchUps {
		for _, mutant := range []string{"", "layout: the newest version first"} {
			w, c := spareWorld(t, 1, mutant)
			s := &catchingUp{w, w.Machines[1], w.Machines[0], w.Machines[2]}
			m := &moving{client: c, text: map[int]string{}}
			for i := range 40 {
				m.put(i, 1)
			}
			begin(t, s)
			w.mustRun(t, time.Minute)
			w.Crash(s.fails)
			w.mustRun(t, 5*time.Second)
			c.at = 2
			for i := range 40 {
				m.get(i)
			}
			if (len(m.wrong) > 0) != (mutant != "") {
				t.Errorf("%s, mutant %q: %d reads failed: %.200s\n%s", name, mutant, len(m.wrong),
					fmt.Sprint(m.wrong), w.Standings())
			}
		}
	}
}
