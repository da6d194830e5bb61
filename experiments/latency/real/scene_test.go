//go:build linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"granary/bench/s3lat"
	"granary/netsim"
)

// Every scene can be played: its topology is there, its nodes are in it, its plans are valid.
func TestScenes(t *testing.T) {
	r := &run{count: 1, restCount: 1, bigCount: 1, rest: time.Second}
	names := map[string]bool{}
	for _, s := range scenes(r) {
		if names[s.name] {
			t.Errorf("two scenes are named %q", s.name)
		}
		names[s.name] = true
		topology, err := netsim.Load(s.topology, func(name string) ([]byte, error) {
			return os.ReadFile(filepath.Join("../../..", name))
		})
		if err != nil {
			t.Fatal(err)
		}
		has := func(name string) bool {
			return slices.ContainsFunc(topology.Nodes, func(n netsim.Node) bool { return n.Name == name })
		}
		if s.gateway != "" && !has(s.gateway) {
			t.Errorf("%s: no node %q", s.name, s.gateway)
		}
		for _, m := range s.measures {
			if err := m.plan.Validate(); err != nil || !has(m.node) {
				t.Errorf("%s: at %q: %v", s.name, m.node, err)
			}
			if m.rate != 0 && m.rate != int64(topology.Between.Bandwidth) {
				t.Errorf("%s: %d bit/s, the topology has %v", s.name, m.rate, topology.Between.Bandwidth)
			}
		}
	}
}

func TestThroughput(t *testing.T) {
	var rows []s3lat.Row
	for _, op := range s3lat.Operations {
		b := s3lat.Bar{Operation: op, Size: large}
		rows = append(rows, s3lat.Summarize(b, []time.Duration{4 * time.Second}, 0, time.Second))
	}
	got := throughput(rows, linkRate)
	if len(got) != 2 || got[0].Operation != s3lat.GetObject || got[1].Operation != s3lat.PutObject {
		t.Fatalf("%d rows are left: %+v", len(got), got)
	}
	if want := 2684354560 * time.Nanosecond; got[0].Bound != want { // 64 MiB over 200 Mbit/s
		t.Errorf("bound %v, want %v", got[0].Bound, want)
	}
}
