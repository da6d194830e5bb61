// Package tcp is the production transport: it implements [rpc.Transport] with TLS 1.3 over TCP.
//
// A node is its Ed25519 key: the certificate each side shows is signed by itself, and only its public key
// counts. The dialling side demands the key it was told, the accepting side asks the admission function,
// both inside the handshake. A stranger is cut there: nothing is kept of it, and nothing above hears of it.
// Certificates have no dates that matter, for the clocks of nodes may be wrong.
//
// The class of a connection is negotiated by ALPN: "granary-meta/1" or "granary-bulk/1". Session tickets
// are off. In TLS 1.3 the client is done before the server has judged its key, so the server sends one
// byte, '+', once it has; Dial waits for it, and can say that the other end refused.
//
// Buffers and windows are left to the kernel, which fits them to the path within tcp_rmem and tcp_wmem;
// nothing waits to be joined with more (TCP_NODELAY). Lanes are dialled with a congestion control that does
// not spread a burst over a round trip, as BBR would.
//
// Failpoints, for tests built with failpoint-toolexec: write (before a Write sends), read (after a Read
// received), and key-created, key-synced, key-renamed between the durable steps of LoadOrCreateKey. Each
// injects the error that its value names.
package tcp
