package sched

import (
	"testing"
	"time"

	"granary/core/rt"
	"granary/core/rt/rttest"
)

func TestConformance(t *testing.T) {
	rttest.Run(t, func(t *testing.T, f func(rt.Env)) {
		env := New(rt.NodeID{1}, Options{})
		env.Spawn("test", func() { f(env) })
		env.tasks.Wait()
		if !env.Stop(time.Minute) {
			t.Error("tasks left")
		}
	})
}

func TestBrokenReachesFatal(t *testing.T) {
	var got rt.Broken
	env := New(rt.NodeID{1}, Options{Fatal: func(b rt.Broken) { got = b }})
	func() {
		defer func() { recover() }()
		defer env.Watch()
		rt.Break("%d is not %d", 1, 2)
	}()
	if got.What != "1 is not 2" {
		t.Errorf("Fatal got %q", got.What)
	}
}
