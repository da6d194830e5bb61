// Package netsim models a network: sites, the nodes in them, and what happens to a packet between two nodes.
//
// It is usable without the rest of the tree. It opens no socket, reads no clock, starts no goroutine and
// draws no randomness of its own: a caller says what time it is, hands in a source of random 64-bit words,
// and is told when a packet arrives. The same calls with the same words give the same answers on every
// machine, for all is reckoned in integers.
//
// From the bottom up:
//
//   - A [Topology] describes zones, nodes and paths. [Parse] reads one from TOML; [Preset] gives the built-in
//     ones.
//   - A [Model] is a topology at work: [Model.Send] says when a packet arrives or that it is lost; links
//     queue, nothing overtakes on a pair of nodes, and faults (Cut, Isolate, Degrade and their undoing) apply
//     to every packet sent after them.
//   - A [Stream] is one direction of a TCP connection over a Model: ordered bytes, slow start,
//     retransmission. Loss and cuts become delay; they never break it.
//
// Times are durations since an origin of the caller's choice, and never go back. Nothing here is safe for
// concurrent use. What is modelled, what is not, and why: DESIGN.md.
package netsim
