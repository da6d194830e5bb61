// Package net carries core's byte streams over a simulated network: it implements [rpc.Transport] on a
// [netsim.Model] in virtual time.
//
// A [Net] is the network of one world and serves all its nodes. Faults are made on its Model: Cut, Isolate,
// Degrade and their undoing. The contract with the code above:
//
//  1. Opening a connection costs a round trip for TCP and one for TLS (Options.TLSRounds); both ends are then
//     known to each other by key. The one who dials may send at once; the other one gets the connection from
//     Accept half a round trip later.
//  2. Bytes arrive in order, whole, and once, or not at all. Loss and cuts make them late (see
//     netsim.Stream); they break no connection. To notice silence is the business of the layer above.
//  3. A crashed node (its Env was killed) says nothing. What it sent still arrives; what is sent to it is
//     lost until a new incarnation has registered the node's address with NewTransport, which answers the
//     next packet of an old connection with a reset.
//  4. After Close the other end reads what was written, then io.EOF. What it sends afterwards is answered
//     with a reset.
//
// Every opening, send, delivery, close and reset is folded into the trace hash, and told to Options.Observe.
//
// A Net belongs to the scheduler it was made with, and is used by its tasks and timers alone.
package net
