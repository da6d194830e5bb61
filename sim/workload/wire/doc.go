// Package wire carries HTTP requests between a client's task and the handler of a server node, in virtual
// time.
//
// It stands where net/http and TCP stand in production, and keeps their rules, so that a handler that passes
// here may rely on nothing that they do not give:
//
//  1. The handler runs in a task of the server's Env. When the node is killed the handler ends where it
//     stands, and the client's connection breaks, at once or, with Link.Silent, by the client's deadline
//     only.
//  2. A request's body arrives at the bandwidth of the link; Read waits for it. An answer leaves likewise,
//     and Write waits while more than Link.Window bytes are under way.
//  3. r.Context ends when ServeHTTP returns, when a Write fails, and when the client goes away, the last only
//     after the body was read to its end: before, net/http does not look.
//  4. Expect: 100-continue holds the body back until the handler reads it. A handler that answers first never
//     gets it.
//  5. When the answer begins before the body was read, up to 256 KiB of the rest are read and dropped first;
//     a longer rest closes the connection after the answer. Either way the body cannot be read any more.
//  6. Content-Length is kept: Write refuses more, and an answer that ends short breaks the connection.
//  7. Writer and body used after ServeHTTP returned, a second WriteHeader, an invalid status, a negative or
//     malformed Content-Length and two tasks in one Write are mistakes of the handler, and panic.
//  8. A panic with http.ErrAbortHandler breaks the connection. Any other panic is passed on and ends the run.
//
// Not modelled: keep-alive (each request has a connection of its own, without handshake), pipelining, HTTP/2,
// Hijack, full duplex, loss between client and server, and headers that net/http adds (Date, sniffed types).
//
// A Client may be used by many tasks of its Env.
package wire
