package tcp

import (
	"time"

	"granary/core/rpc"
)

// Config describes a Transport. The zero values of all but Identity are good.
type Config struct {
	// Identity is the node's key, as LoadOrCreateKey returns it. Required.
	Identity rpc.Identity
	// Listen is the address to accept connections at, host:port. Empty: none are accepted.
	Listen string
	// Advertise is the address that other nodes shall dial. Empty: the one that is listened at.
	Advertise string
	// HandshakeTimeout bounds a handshake, on either side. 0: 5 s.
	HandshakeTimeout time.Duration
	// HandshakesMax bounds the handshakes of accepted connections that run at a time; a connection beyond
	// is closed at once. 0: 256.
	HandshakesMax int
	// BufferBytes sets the kernel's send and receive buffers of each connection. 0 leaves them to the
	// kernel, which fits them to the path where tcp_rmem and tcp_wmem allow; 100 ms at 1 Gbit/s need 12.5
	// MB.
	BufferBytes int
}

func (c Config) withDefaults() Config {
	if c.HandshakeTimeout == 0 {
		c.HandshakeTimeout = 5 * time.Second
	}
	if c.HandshakesMax == 0 {
		c.HandshakesMax = 256
	}
	return c
}

const (
	// acceptQueue bounds the connections that wait for Accept; one beyond is closed.
	acceptQueue = 256
	// acceptPause follows a failed accept: usually the process is out of file descriptors.
	acceptPause  = 50 * time.Millisecond
	keepIdle     = 15 * time.Second
	keepInterval = 5 * time.Second
	keepCount    = 3
)
