package net

import (
	"fmt"
	"testing"

	"granary/core/rpc/rpctest"
	"granary/netsim"
	"granary/sim/sched"
)

// The suite passes on every kind of network, in every order of tasks.
func TestConformance(t *testing.T) {
	lossy, err := netsim.Preset("3dc-100ms")
	if err != nil {
		t.Fatal(err)
	}
	lossy.Between.Loss = 5000
	lossy.Between.Bandwidth = 1e9
	lan, err := netsim.Preset("lan")
	if err != nil {
		t.Fatal(err)
	}
	for _, topo := range []netsim.Topology{lan, lossy} {
		for seed := range uint64(2) {
			t.Run(fmt.Sprint(topo.Name, " seed ", seed), func(t *testing.T) {
				so := sched.Options{Seed: seed, Shuffle: seed%2 == 1, YieldPerMille: int(seed) * 60}
				rpctest.Run(t, func(t *testing.T) rpctest.World { return suite(t, topo, so) })
			})
		}
	}
}

func suite(t *testing.T, topo netsim.Topology, so sched.Options) rpctest.World {
	w := newWorld(t, topo, so, DefaultOptions())
	a, b := w.nodes["a1"], w.nodes["b1"]
	a.Admit(nil)
	b.Admit(nil)
	return rpctest.World{
		Nodes: [2]rpctest.Node{{Env: a.env, Transport: a.Transport}, {Env: b.env, Transport: b.Transport}},
		Run:   func(f func()) { w.run(a, f) },
		Cut: func(on bool) {
			if !on {
				w.net.Model().Clear()
			} else if err := w.net.Model().Cut("a", "b"); err != nil {
				t.Fatal(err)
			}
		},
	}
}
