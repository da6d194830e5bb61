// Package wan carries the packets of real processes over a netsim topology, in real time. It needs Linux,
// root and /dev/net/tun; nothing else: no netem, no tool, no configuration of the host.
//
// [Up] makes a network: for every node a network namespace of its own, with a loopback and one TUN device
// that bears the node's address. A router, one thread, reads the packets that the nodes send, asks a
// [netsim.Model] when each arrives, if at all, and writes it to the other node's device at that time. So
// delay, jitter, loss, links and faults are those of the simulator, by the same code; only the draws differ.
//
// The command netsim/cmd/wan runs a network as a process of its own. [Serve] lets others ask for it, and
// [Connect] asks: for a namespace, to run something in it; for a cut; for numbers.
//
// Nothing outlives the process that called Up, however it ends: namespaces and devices have no name in any
// file system, and the socket of Serve is an abstract one. Processes that still run inside a namespace keep
// that alive, without a network.
//
// What is promised about time, and how it is measured: DESIGN.md.
package wan
