package diskfs

import (
	"fmt"
	"testing"
	"time"

	"granary/core/block"
	"granary/core/block/array"
	"granary/core/block/disktest"
	"granary/core/rt"
	"granary/prod/sched"
)

// Several disks as one are a disk, too.
func TestArrayConformance(t *testing.T) {
	disktest.Run(t, func(t *testing.T) disktest.Machine {
		var machines []*machine
		for range 3 {
			m := newMachine(t)
			m.opts.NoSync = true // whether one disk syncs is TestConformance's affair
			machines = append(machines, m)
		}
		return disktest.Machine{
			Run: func(f disktest.Task) {
				env := sched.New(rt.NodeID{1}, sched.Options{})
				var parts []block.Part
				for i, m := range machines {
					d, err := Open(env, m.opts)
					if err != nil {
						t.Fatal(err)
					}
					defer d.Close()
					m.opts.ID = d.ID()
					parts = append(parts, block.Part{ID: fmt.Sprint(i), Name: m.opts.Root, Disk: d,
						Weight: int64(i + 1)})
				}
				a, err := array.New(env, parts)
				if err != nil {
					t.Fatal(err)
				}
				f(env.Background(), env, a)
				if !env.Stop(time.Minute) {
					t.Error("tasks did not end")
				}
			},
			Fill: func() {
				for _, m := range machines {
					m.opts.Reserve = 1 << 62
				}
			},
		}
	})
}
