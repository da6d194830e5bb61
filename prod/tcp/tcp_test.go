package tcp

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"granary/core/rpc"
	"granary/core/rpc/rpctest"
	"granary/core/rt"
	"granary/prod/sched"
)

func identity(n byte) rpc.Identity { return rpc.Identity{Seed: [32]byte{n}} }

func node(t testing.TB, n byte) rpctest.Node {
	id := identity(n)
	tr, err := Listen(Config{Identity: id, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	env := sched.New(tr.Self(), sched.Options{})
	t.Cleanup(func() {
		tr.Close()
		if !env.Stop(5 * time.Second) {
			t.Error("tasks are left")
		}
	})
	return rpctest.Node{Env: env, Transport: tr}
}

func TestConformance(t *testing.T) {
	rpctest.Run(t, func(t *testing.T) rpctest.World {
		return rpctest.World{
			Nodes: [2]rpctest.Node{node(t, 10), node(t, 20)},
			Run:   func(f func()) { f() },
		}
	})
}

// A caller that speaks no TLS, or another protocol, or shows no certificate, is cut, and does not stop
// others.
func TestStrangersAreCut(t *testing.T) {
	far := node(t, 20).Transport
	asked := make(chan rt.NodeID, 1)
	far.Admit(func(id rt.NodeID) bool {
		asked <- id
		return true
	})
	cert, err := certificate(identity(10))
	if err != nil {
		t.Fatal(err)
	}
	any := func(tls.ConnectionState) error { return nil }
	http := baseConfig(cert, any)
	http.NextProtos = []string{"h2"}
	silent := baseConfig(cert, any)
	bare := baseConfig(cert, any)
	bare.Certificates, bare.NextProtos = nil, protocols[:]
	old := baseConfig(cert, any)
	old.MinVersion, old.MaxVersion, old.NextProtos = tls.VersionTLS12, tls.VersionTLS12, protocols[:]
	for name, cfg := range map[string]*tls.Config{
		"h2": http, "no ALPN": silent, "no certificate": bare, "TLS 1.2": old,
	} {
		c, err := tls.Dial("tcp", far.Addr(), cfg)
		if err == nil {
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		if err == nil {
			t.Errorf("%s was admitted", name)
		}
	}
	raw, err := net.Dial("tcp", far.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, raw) // until it is cut
	select {
	case id := <-asked:
		t.Errorf("%v was asked about", id)
	default:
	}
	near := node(t, 10).Transport
	c, err := near.Dial(t.Context(), rpc.Target{Addr: far.Addr(), Peer: far.Self()})
	if err != nil {
		t.Fatalf("an honest caller: %v", err)
	}
	c.Close()
}

// Callers that connect and say nothing take no more than the places for handshakes, and give them back in
// time.
func TestHandshakesAreBounded(t *testing.T) {
	id := identity(20)
	cfg := Config{Identity: id, Listen: "127.0.0.1:0", HandshakesMax: 2}
	cfg.HandshakeTimeout = 100 * time.Millisecond
	far, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	far.Admit(func(rt.NodeID) bool { return true })
	var mute []net.Conn
	for range 5 {
		c, err := net.Dial("tcp", far.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		mute = append(mute, c)
	}
	for _, c := range mute {
		io.Copy(io.Discard, c) // all are cut, the first two by the timeout
	}
	near := node(t, 10).Transport
	c, err := near.Dial(t.Context(), rpc.Target{Addr: far.Addr(), Peer: far.Self()})
	if err != nil {
		t.Fatalf("after they are gone: %v", err)
	}
	c.Close()
}
