package tcp

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"granary/core/rpc"
	"granary/core/rt"
)

// A lane is not paced, other connections have the control of the machine, and none waits to fill a packet.
func TestSocketOptions(t *testing.T) {
	near, far := node(t, 10).Transport, node(t, 20).Transport
	far.Admit(func(rt.NodeID) bool { return true })
	plain, err := net.Dial("tcp", far.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	usual, _ := options(t, plain)
	for _, lane := range []bool{false, true} {
		to := rpc.Target{Addr: far.Addr(), Peer: far.Self(), Class: rpc.Bulk, Lane: lane}
		c, err := near.Dial(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		want := usual
		if lane {
			want = lanesControl
		}
		control, noDelay := options(t, c.(*conn).raw.Conn)
		if control != want || noDelay == 0 {
			t.Errorf("lane %t: congestion control %q, no delay %d; want %q, 1", lane, control, noDelay, want)
		}
	}
}

// options reads congestion control and TCP_NODELAY of a connection.
func options(t *testing.T, c net.Conn) (control string, noDelay int) {
	t.Helper()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var name [16]byte
	size := uint32(len(name))
	var code syscall.Errno
	controlErr := raw.Control(func(fd uintptr) {
		noDelay, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY)
		_, _, code = syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_CONGESTION,
			uintptr(unsafe.Pointer(&name)), uintptr(unsafe.Pointer(&size)), 0)
	})
	if controlErr != nil || err != nil || code != 0 {
		t.Fatal(controlErr, err, code)
	}
	return strings.TrimRight(string(name[:size]), "\x00"), noDelay
}
