// Package rpc carries calls between nodes: frames, streams, credit, deadlines and cancellation over any
// [Transport].
//
// An [Endpoint] is a node's end of all its conversations. A [Method] is a typed call; [Handle] gives it a
// handler on one side, [Method.Call] calls it on the other. Both messages of a call may be followed by a
// body of any length ([Method.CallBody]). Every call has its own stream, so that calls do not wait for each
// other, and its own credit, so that a slow reader holds up nobody else and buffers nothing beyond its
// window.
//
// The contract with the caller:
//
//  1. A call returns when the answer is there, when its context ends, or when its connection dies, which a
//     silent peer brings about within Config.SilenceMax. No call outlives its context by more than a
//     moment.
//  2. An error says whether the peer may have acted: ErrUnsent means that it certainly did not, ErrUnknown
//     that it may have. See [Error].
//  3. A handler's context ends at the caller's deadline, when the caller gives up, and when the connection
//     dies. Deadlines travel as remaining time; no remote clock is trusted.
//     A handler that returns ErrUnanswered ends a call that its caller does not wait for, see CallWide.
//  4. A call to the node itself runs the handler at once in the caller's task and encodes nothing: request
//     and answer are shared. Neither side changes a message once it was handed over. Config.EncodeSelf, set
//     by the simulator for a share of its runs, sends copies instead.
//  5. Every message carries the sender's clock stamp and layout version, and merges into the receiver's
//     clock before anything else is done with it.
//  6. Everything in memory has a named limit in [Config]; what exceeds one waits (sending) or is answered
//     with ErrOverloaded (receiving).
//
// # Connections
//
// A node speaks to a peer over connections that it dialled itself, one of class Meta and up to
// Config.BulkConnsMax of class Bulk, and answers on the connection that brought the question. So two nodes
// that call each other hold two Meta connections; nobody has to break a tie.
//
// # Wire format
//
// A connection is a sequence of frames, all integers big endian:
//
//	 0      1      2                 5                       9
//	+------+------+-----------------+-----------------------+--------------------+
//	| type | flags| length (24 bit) | stream (32 bit)       | payload ...        |
//	+------+------+-----------------+-----------------------+--------------------+
//
// length counts the payload, at most 65,536 bytes. Integrity is the transport's affair (TLS). Streams are
// numbered by the side that dialled, upwards from 1; stream 0 is the connection itself. Flags: 1 end
// (nothing more follows in this direction of the stream), 2 body (the message is followed by a body).
//
//	type  name      stream  payload
//	1     hello     0       "granary" (7) | lowest (2) | highest (2) | feature (4) | window (4)
//	                        | stamp (8) | layout (8) [ | flags: 1 lane (1) ]
//	2     request   n       n (1) | method (n) | time left in µs, 0 none (8)
//	                        | stamp (8) | layout (8) | size (4) | bytes
//	3     response  n       status (1) | stamp (8) | layout (8) | size (4) | bytes
//	4     data      n       bytes
//	5     credit    n       bytes more that may be sent (4)
//	6     reset     n       n (1) | code (n) | text
//	7     ping      0       token (8) | stamp (8) | layout (8) [ | news (1 to 256) ]
//	8     pong      0       token of the ping (8) | stamp (8) | layout (8) [ | news (1 to 256) ]
//
// Each side's first frame is a hello, and it sends nothing else before it has read the other's; both then
// speak the highest version that both know. A longer hello is legal: a later version may append to it.
// window is how many bytes of data the sender of the hello takes per stream before it has granted more.
//
// size counts the whole message. What does not fit into the first frame is carried by the first data frames
// of the stream, followed by the body. Data frames, and nothing else, cost credit. A response ends the
// request's direction: what the caller had still to send is not wanted any more. A reset from the caller
// cancels the call; one from the other side ends a body that cannot be finished. News are for upper layers,
// see [Hooks]. Status: 0 ok, 1 error, 2 overloaded, 3 unknown method, 4 refused; the bytes of all but ok are
// those of a reset.
package rpc
