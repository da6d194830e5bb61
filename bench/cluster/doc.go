// Package cluster runs granary as a user does: by its binary, with folders, ports and signals. Tests and
// benchmarks of real processes build on it.
//
// Everything lies in one folder that the caller gives: data folders, and a log file of each node which later
// starts append to. All listeners are on loopback. A process dies with the program that started it.
package cluster
