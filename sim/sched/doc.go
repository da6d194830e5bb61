// Package sched is the simulator's runtime: it implements [rt.Env] with coroutines of which exactly one runs
// at a time, in virtual time.
//
// A run is a pure function of its seed and of the code. All randomness descends from the seed through named
// streams; time advances only when every task waits; ties are broken by order of creation, or by a seeded
// shuffle. Every switch between tasks, every timer and whatever else is given to [Sched.Fold] goes into the
// trace hash: same seed, same commit, same hash, on every machine and with any GOMAXPROCS.
//
// A task is a coroutine of iter.Pull. A node is killed by marking it dead first, so that nothing its deferred
// functions do can leak out, and then ending each of its tasks with runtime.Goexit, which no recover can
// swallow.
//
// What one-task-at-a-time would hide is made visible again: Unlock, Now, Wall and Rand may yield to another
// task with a small seeded probability; a lock held across a wait panics at the offending line; a task that
// asks for more than StepsMax things without ever waiting is reported.
//
// A Sched and its Envs belong to the goroutine that calls Run and to the tasks it resumes.
package sched
