package rpctest_test

import (
	"testing"
	"time"

	"granary/core/rpc"
	"granary/core/rpc/rpctest"
	"granary/netsim"
	"granary/sim/net"
	"granary/sim/sched"
)

// world is two nodes 10 ms apart on a line that loses packets.
func world(t testing.TB, s *sched.Sched) rpctest.World {
	line := netsim.Path{Delay: 5 * time.Millisecond, Jitter: time.Millisecond, Loss: 2000}
	topo := netsim.Regular("pair", 2, 1, line, netsim.Path{})
	m, err := netsim.NewModel(topo)
	if err != nil {
		t.Fatal(err)
	}
	n, err := net.New(s, m, net.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	var w rpctest.World
	var envs [2]*sched.Env
	for i, node := range topo.Nodes {
		id := rpc.Identity{Seed: [32]byte{byte(i + 1)}}
		envs[i] = s.NewEnv(net.PeerOf(id), node.Name)
		tr, err := n.NewTransport(envs[i], node.Name, id)
		if err != nil {
			t.Fatal(err)
		}
		w.Nodes[i] = rpctest.Node{Env: envs[i], Transport: tr}
	}
	w.Run = func(f func()) {
		done := false
		envs[0].Go("test", func() {
			f()
			done = true
		})
		if err := s.RunUntil(time.Hour, func() bool { return done }); err != nil {
			t.Fatal(err)
		}
	}
	w.Cut = func(on bool) {
		m.Clear()
		if on {
			if err := m.Cut(topo.Nodes[0].Name, topo.Nodes[1].Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	return w
}

func options(seed uint64) sched.Options {
	return sched.Options{Seed: seed, Shuffle: seed%2 == 0, YieldPerMille: int(seed%4) * 50}
}

// The storm, in many orders of events.
func TestStorm(t *testing.T) {
	for seed := range uint64(20) {
		s := sched.New(options(seed))
		rpctest.Storm(t, world(t, s))
		s.Stop()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// The same seed is the same run.
func TestSameSeedSameHash(t *testing.T) {
	var hash [2]uint64
	for i := range hash {
		s := sched.New(options(7))
		rpctest.Storm(t, world(t, s))
		hash[i] = s.Hash()
		s.Stop()
	}
	if hash[0] != hash[1] {
		t.Errorf("two runs of a seed have the hashes %x and %x", hash[0], hash[1])
	}
}
