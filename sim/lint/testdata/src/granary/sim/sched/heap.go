package sched

import "granary/core/rt"

func start(env rt.Env, f func()) {
	env.Spawn("root", f)
	go f() // want `go statement`
}
