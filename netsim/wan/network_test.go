//go:build linux

package wan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"granary/netsim"
)

// up brings a topology up for a test, which is skipped where that is not allowed.
func up(t *testing.T, topo netsim.Topology, o Options) *Network {
	t.Helper()
	if err := Check(); errors.Is(err, ErrPrivilege) || errors.Is(err, os.ErrNotExist) {
		t.Skipf("no network can be made here: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	n, err := Up(topo, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// socket opens a UDP socket at a node.
func socket(t *testing.T, n *Network, node string) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	err := n.Enter(node, func() (err error) {
		c, err = net.ListenUDP("udp4", &net.UDPAddr{Port: 7})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func at(n *Network, index int) netip.AddrPort { return netip.AddrPortFrom(addrOf(index), 7) }

// two are two sites of one node with that path.
func two(p netsim.Path) netsim.Topology {
	return netsim.Regular("two", 2, 1, p, netsim.Path{})
}

// A ping-pong against the topology: no round trip is shorter than the topology allows, and the router's own
// count of its errors is of every packet. How large they were is reported; they depend on the machine.
func TestPingPong(t *testing.T) {
	path := netsim.Path{Delay: 5 * time.Millisecond, Jitter: 2 * time.Millisecond}
	n := up(t, two(path), Options{})
	a, b := socket(t, n, "a1"), socket(t, n, "b1")
	go func() {
		buf := make([]byte, 100)
		for {
			size, from, err := b.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			b.WriteToUDPAddrPort(buf[:size], from)
		}
	}()
	const rounds = 200
	var sum, least time.Duration = 0, time.Hour
	buf := make([]byte, 100)
	for i := range rounds {
		ping := fmt.Sprint("ping ", i)
		start := time.Now()
		if _, err := a.WriteToUDPAddrPort([]byte(ping), at(n, 1)); err != nil {
			t.Fatal(err)
		}
		size, from, err := a.ReadFromUDPAddrPort(buf)
		took := time.Since(start)
		if err != nil || string(buf[:size]) != ping || from != at(n, 1) {
			t.Fatalf("%q from %v, %v; want %q", buf[:size], from, err, ping)
		}
		if took < 2*(path.Delay-path.Jitter) {
			t.Errorf("round trip %d took %v, less than twice %v ± %v", i, took, path.Delay, path.Jitter)
		}
		sum, least = sum+took, min(least, took)
	}
	s := n.Stats(true)
	if s.Packets < 2*rounds || s.Errors.Total != s.Packets {
		t.Errorf("counted %d packets and %d errors, want %d at least", s.Packets, s.Errors.Total, 2*rounds)
	}
	t.Logf("round trips: %v at least, %v in the mean\n%v", least, sum/rounds, s)
	if again := n.Stats(false); again.Packets != 0 {
		t.Errorf("%d packets after a reset", again.Packets)
	}
}

// What is sent together with very different draws comes out in the order of sending, at either end.
func TestFirstInFirstOut(t *testing.T) {
	const delay = 10 * time.Millisecond
	n := up(t, two(netsim.Path{Delay: delay, Jitter: delay}), Options{Seed: 5})
	a, b := socket(t, n, "a1"), socket(t, n, "b1")
	const count = 150 // fits into the socket's buffer
	for i := range count {
		for to, c := range map[int]*net.UDPConn{1: a, 0: b} {
			if _, err := c.WriteToUDPAddrPort([]byte{byte(i >> 8), byte(i)}, at(n, to)); err != nil {
				t.Fatal(err)
			}
		}
	}
	buf := make([]byte, 10)
	for _, c := range []*net.UDPConn{a, b} {
		for i := range count {
			if _, _, err := c.ReadFromUDPAddrPort(buf); err != nil || int(buf[0])<<8+int(buf[1]) != i {
				t.Fatalf("packet %d came as number %d, %v", int(buf[0])<<8+int(buf[1]), i, err)
			}
		}
	}
}

// A cut loses what is sent during it and nothing else: of a mark sent before, one during and one after it,
// the second is missing.
func TestCutAndHeal(t *testing.T) {
	n := up(t, two(netsim.Path{Delay: time.Millisecond}), Options{})
	a, b := socket(t, n, "a1"), socket(t, n, "b1")
	send := func(mark string) {
		if _, err := a.WriteToUDPAddrPort([]byte(mark), at(n, 1)); err != nil {
			t.Fatal(err)
		}
	}
	receive := func(want string) {
		t.Helper()
		buf := make([]byte, 100)
		size, _, err := b.ReadFromUDPAddrPort(buf)
		if err != nil || string(buf[:size]) != want {
			t.Fatalf("%q, %v; want %q", buf[:size], err, want)
		}
	}
	send("before")
	receive("before")
	if err := n.Cut("a", "b1"); err != nil {
		t.Fatal(err)
	}
	send("during")
	for n.Stats(false).Lost == 0 { // it is lost when the router has read it
		runtime.Gosched()
	}
	err := n.change(func(m *netsim.Model) error {
		return m.Degrade("b", "a", netsim.Extra{Loss: netsim.Certain})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Heal(netsim.Any, netsim.Any); err != nil {
		t.Fatal(err)
	}
	if ok, err := n.router.model.Reaches("b1", "a1"); ok || err != nil {
		t.Errorf("healing the cuts has healed a way that was worse than cut, %v", err)
	}
	send("after")
	receive("after")
	if err := n.Cut("a", "nobody"); !errors.Is(err, netsim.ErrName) {
		t.Errorf("a cut of nobody: %v", err)
	}
}

// A link lets no more through than its rate, and drops what would wait too long.
func TestBandwidthAndQueue(t *testing.T) {
	const queue = 40 * time.Millisecond
	n := up(t, two(netsim.Path{Bandwidth: 8e6}), Options{Queue: queue}) // a byte takes a microsecond
	a, b := socket(t, n, "a1"), socket(t, n, "b1")
	const count, size = 100, 1000 + 28 // with headers
	start := time.Now()
	for range count {
		if _, err := a.WriteToUDPAddrPort(make([]byte, size-28), at(n, 1)); err != nil {
			t.Fatal(err)
		}
	}
	var dropped int64
	for i := int64(0); i < count-dropped; i++ {
		if _, _, err := b.ReadFromUDPAddrPort(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		dropped = n.Stats(false).Dropped
		if got, least := time.Since(start), time.Duration(i+1)*size*time.Microsecond; got < least {
			t.Errorf("packet %d came after %v, want at least %v", i, got, least)
		}
	}
	if most := int64(count - queue.Microseconds()/size); dropped > most {
		t.Errorf("%d of %d dropped, want at most %d", dropped, count, most)
	}
}

// TCP brings every byte, in trains and one by one, over a path that delays and one that loses.
func TestStreamsAreWhole(t *testing.T) {
	for name, path := range map[string]netsim.Path{
		"trains": {Delay: time.Millisecond, Jitter: time.Millisecond},
		"lossy":  {Delay: time.Millisecond, Loss: 5000},
	} {
		t.Run(name, func(t *testing.T) {
			n := up(t, two(path), Options{Seed: 3})
			want := make([]byte, 3<<20)
			rand.NewChaCha8([32]byte{}).Read(want)
			got, err := transfer(n, want)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes of %d arrived, or others: %v", len(got), len(want), err)
			}
			s := n.Stats(false)
			if trains := s.Packets < int64(len(want)/1460); trains != (name == "trains") {
				t.Errorf("%d bytes in %d packets", s.Bytes, s.Packets)
			}
			if (s.Lost > 0) != (path.Loss > 0) || s.Strange != 0 || s.Overflown != 0 {
				t.Errorf("%v", s)
			}
		})
	}
}

// transfer sends bytes from a1 to b1 over TCP.
func transfer(n *Network, data []byte) ([]byte, error) {
	var l, c net.Conn
	var listener net.Listener
	err := n.Enter("b1", func() (err error) {
		listener, err = net.Listen("tcp4", ":80")
		return err
	})
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	err = n.Enter("a1", func() (err error) {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 80, Addr: addrOf(1).As4()}); err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), "tcp")
		defer f.Close()
		c, err = net.FileConn(f)
		return err
	})
	if err != nil {
		return nil, err
	}
	if l, err = listener.Accept(); err != nil {
		return nil, err
	}
	defer l.Close()
	go func() {
		c.Write(data)
		c.Close()
	}()
	return io.ReadAll(l)
}

// A network serves others while it is up, under its name, and is gone afterwards.
func TestServeAndConnect(t *testing.T) {
	n := up(t, two(netsim.Path{Delay: time.Millisecond}), Options{})
	name := fmt.Sprint("test-", os.Getpid())
	served := make(chan error, 1)
	go func() { served <- Serve(context.Background(), name, n) }()
	c, err := Connect(name)
	for errors.Is(err, ErrDown) {
		c, err = Connect(name)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := Serve(t.Context(), name, n); !errors.Is(err, ErrUp) {
		t.Errorf("a second one of the name: %v", err)
	}
	places, err := c.Places()
	if err != nil || len(places) != 2 || places[1] != (Place{"b1", "b", addrOf(1)}) {
		t.Errorf("places %v, %v", places, err)
	}
	if err := c.Set("a", "b", map[string]string{"delay": "3ms", "bandwidth": "1Mbit/s"}); err != nil {
		t.Error(err)
	}
	want := netsim.Path{Delay: 3 * time.Millisecond, Bandwidth: 1e6}
	if got, err := n.Link("a", "b"); err != nil || got != want {
		t.Errorf("link a to b is %+v, %v; want %+v", got, err, want)
	}
	if got, err := n.Link("b", "a"); err != nil || got != (netsim.Path{Delay: time.Millisecond}) {
		t.Errorf("link b to a is %+v, %v", got, err)
	}
	for what, err := range map[string]error{
		"loss":    c.Set("a", "b", map[string]string{"loss": "1%"}),
		"setting": c.Set("a", "b", map[string]string{"speed": "1"}),
		"name":    c.Set("a", "x", map[string]string{"delay": "1ms"}),
		"cut":     c.Cut("a", "x"),
	} {
		if err == nil {
			t.Errorf("a bad %s was accepted", what)
		}
	}
	if err := errors.Join(c.Cut("a", "b"), c.Heal("a", "b")); err != nil {
		t.Error(err)
	}
	if s, err := c.Stats(true); err != nil || s.Errors.Total != s.Packets {
		t.Errorf("%v, %v", s, err)
	}
	if err := c.Down(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := Connect(name); !errors.Is(err, ErrDown) {
		t.Errorf("after its end: %v", err)
	}
}

// A command sees the network of its node and nothing else, and when the network is closed, no device.
func TestStart(t *testing.T) {
	n := up(t, two(netsim.Path{}), Options{})
	run := func() string {
		cmd := exec.Command("cat", "/proc/self/net/dev")
		var out strings.Builder
		cmd.Stdout = &out
		if err := n.Start("b1", cmd); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if got := run(); !strings.Contains(got, deviceName+":") || strings.Contains(got, "eth") {
		t.Errorf("the command sees\n%s", got)
	}
	if err := n.Start("b2", exec.Command("true")); !errors.Is(err, netsim.ErrName) {
		t.Errorf("at an unknown node: %v", err)
	}
	own, err := os.ReadFile("/proc/thread-self/net/dev")
	if err != nil || strings.Contains(string(own), deviceName+":") {
		t.Errorf("a thread stayed in a namespace: %v\n%s", err, own)
	}
}

func TestUpRefusesNonsense(t *testing.T) {
	for name, topo := range map[string]netsim.Topology{
		"empty": {}, "large": netsim.Regular("large", 2, 126, netsim.Path{}, netsim.Path{}),
		"bad": two(netsim.Path{Jitter: 1}),
	} {
		if n, err := Up(topo, Options{}); !errors.Is(err, netsim.ErrTopology) {
			t.Errorf("%s: %v, %v", name, n, err)
		}
	}
}

// What the router reads off a packet: where it goes, and its size on the wire.
func TestPacketsAreUnderstood(t *testing.T) {
	r := &router{nodes: make([]node, 3)}
	packet := func(size int, to netip.Addr, edit func(b []byte)) []byte {
		b := make([]byte, headerBytes+size)
		b[headerBytes] = 0x45
		d := to.As4()
		copy(b[headerBytes+16:], d[:])
		if edit != nil {
			edit(b)
		}
		return b
	}
	train := func(b []byte) { b[1], b[2], b[4], b[5] = unix.VIRTIO_NET_HDR_GSO_TCPV4, 52, 0xa8, 0x05 } // 1448
	for name, tt := range map[string]struct {
		data     []byte
		to, size int
	}{
		"plain":     {packet(100, addrOf(2), nil), 2, 100},
		"beyond":    {packet(100, addrOf(3), nil), -1, 100},
		"first":     {packet(100, first, nil), -1, 100},
		"foreign":   {packet(100, netip.MustParseAddr("10.87.0.1"), nil), -1, 100},
		"IPv6":      {packet(100, addrOf(0), func(b []byte) { b[headerBytes] = 0x60 }), -1, 100},
		"short":     {make([]byte, headerBytes+19), -1, 19},
		"shortest":  {nil, -1, 1},
		"train":     {packet(52+3*1448, addrOf(0), train), 0, 3 * 1500},
		"uneven":    {packet(52+2*1448+1, addrOf(0), train), 0, 2*1500 + 53},
		"one of it": {packet(52+1448, addrOf(0), train), 0, 1500},
	} {
		if got := r.destination(tt.data); got != tt.to {
			t.Errorf("%s: to %d, want %d", name, got, tt.to)
		}
		if got := wireSize(tt.data); got != tt.size {
			t.Errorf("%s: %d bytes on the wire, want %d", name, got, tt.size)
		}
	}
}
