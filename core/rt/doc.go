// Package rt is the runtime door: the only way in which code under core touches the world.
//
// Core is plain direct-style Go, functions that call, wait and return, but it starts no goroutine, uses no
// channel, reads no clock and draws no global randomness. What it needs of that kind it asks an [Env] for;
// each node has one. The production runtime implements Env with goroutines and real clocks, the simulator
// with coroutines of which exactly one runs at a time in virtual time. The code above cannot tell which.
//
// The contract with the caller:
//
//  1. A task is started only through a [Group], which is owned by a request or by the node.
//  2. A task waits only in [Waiter.Park], in [Env.Sleep], or inside the interfaces to the outside (transport,
//     store, disk, HTTP bodies), which are built on Waiter. Everything else that waits (Future, Queue,
//     Mutex, Semaphore) is built here, once, on Waiter and [Locker], for both worlds.
//  3. A Locker protects a short section and is never held across a wait; the simulator panics when it is.
//     A [Mutex] may be held across a wait.
//  4. Contexts come from the Env alone. Values added by net/http or context.WithValue may wrap them.
//  5. A broken invariant panics with a [Broken] value. No recover swallows it: the node stops.
//
// All functions may be called from any task of the node, concurrently.
package rt
