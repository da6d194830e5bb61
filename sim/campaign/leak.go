package campaign

import (
	"fmt"
	"time"

	"granary/core/object"
	"granary/sim/check"
	"granary/sim/world"
)

const (
	// leakEvery is how often it is looked whether all space is free, and leakLooks how often at most, before
	// what is left counts as leaked: long enough for the replica that takes over last, and all audits.
	leakEvery = time.Minute
	leakLooks = 20
	// scrubLooks is how many looks there are between two scrubs of all disks.
	scrubLooks = 5
)

// hasty are times of reclaim that a simulation can wait for.
func hasty() *object.Reclaim {
	return &object.Reclaim{Every: 20 * time.Second, Delay: time.Minute, ReadMax: 50 * time.Second,
		Abandoned: 40 * time.Second, Refresh: 10 * time.Second, Takeover: 2 * time.Minute,
		AuditEvery: 30 * time.Second, AuditAge: time.Minute}
}

// scrub has every node find what faults have done to its blocks and rows.
func scrub(w *world.World) {
	for _, m := range w.Machines {
		if !m.Down() {
			m.Node.Blocks().StartScrub()
			m.Node.Tables().StartScrub()
		}
	}
}

// leaks lets a healed world, in which no client works any more, free its space, and says what is left over,
// or missing.
func leaks(w *world.World) ([]check.Violation, error) {
	for look := 0; ; look++ {
		if look%scrubLooks == 0 {
			scrub(w)
		}
		all, err := w.Holdings()
		if err != nil {
			return nil, fmt.Errorf("what is kept after everything was healed: %w", err)
		}
		left := check.Leaks(all)
		if len(left) == 0 || look == leakLooks {
			return left, nil
		}
		if err := w.Sched.Run(leakEvery); err != nil {
			return nil, err
		}
	}
}
