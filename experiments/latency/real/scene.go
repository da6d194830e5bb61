//go:build linux

package main

import (
	"fmt"
	"time"

	"granary/bench/s3lat"
)

// scene is a cluster on a network, and what is measured on it.
type scene struct {
	name     string
	topology string // preset or file
	gateway  string // the node that stores nothing, if there is one
	system   string // in the data
	sysctl   map[string]string
	measures []measure
}

// measure is one plan at one node.
type measure struct {
	node string
	plan s3lat.Plan
	// rate, if it is set, is that of the link that the objects must pass: the bound is their bytes over it,
	// and only the whole requests are reported.
	rate int64 // bit/s
}

// named is what a measure of a scene is called, on the screen and by -only.
func (s scene) named(m measure) string {
	size := fmt.Sprintf("%d B", m.plan.Size)
	if m.plan.Size >= middle {
		size = fmt.Sprintf("%d MiB", m.plan.Size>>20)
	}
	if m.plan.Idle > 0 {
		size += " after a rest"
	}
	return fmt.Sprintf("%s, %s at %s", s.name, size, m.node)
}

// The congestion controls of the data. Reno is that of the simulator, and every namespace may choose it;
// cubic, the rule today, begins with the same window, and begins anew after a rest. On a line that is full
// its answer to a queue that overflows is that of thirty years ago, so there the machine's own is used.
const (
	reno = "reno"
	own  = ""
)

// hosts are the settings of a Linux host that nobody tuned, so that the data do not depend on those of this
// machine, but for one: a window leaves as one train, as in the simulator, and not in trains of two segments.
// On the way it is the same; but seven hosts share the processors here, and each train costs them some 50 µs.
func hosts(congestion string) map[string]string {
	settings := map[string]string{
		"net.ipv4.tcp_slow_start_after_idle": "1",
		"net.ipv4.tcp_rmem":                  "4096 131072 6291456",
		"net.ipv4.tcp_wmem":                  "4096 16384 4194304",
		"net.ipv4.tcp_min_tso_segs":          "10",
	}
	if congestion != own {
		settings["net.ipv4.tcp_congestion_control"] = congestion
	}
	return settings
}

const (
	small  = 256
	middle = 1 << 20
	large  = 64 << 20

	linkRate = 200e6 // bit/s, of the topology 200mbit
)

// scenes are all that the command measures.
func scenes(r *run) []scene {
	plan := func(size int64, count, warm int, idle time.Duration, ops ...s3lat.Operation) s3lat.Plan {
		return s3lat.Plan{Count: count, Warm: warm, Size: size, Idle: idle, Operations: ops}
	}
	all, moving := s3lat.Whole, []s3lat.Operation{s3lat.PutObject, s3lat.GetObject}
	system, near, long := "granary", reno, own
	if r.congestion != "" {
		system, near, long = system+", "+r.congestion, r.congestion, r.congestion
	}
	return []scene{{
		name: "three sites", topology: "3dc-100ms", system: system, sysctl: hosts(near),
		measures: []measure{
			{node: "a1", plan: plan(small, r.count, 10, 0, all...)},
			{node: "a1", plan: plan(middle, r.count, 20, 0, all...)},
			{node: "a1", plan: plan(small, r.restCount, 0, r.rest, moving...)},
			{node: "a1", plan: plan(middle, r.restCount, 0, r.rest, moving...)},
		},
	}, {
		name: "long links", topology: "experiments/latency/200mbit.toml", gateway: "d1", system: system,
		sysctl: hosts(long),
		measures: []measure{
			{node: "a1", rate: linkRate, plan: plan(large, r.bigCount, 1, 0, s3lat.PutObject)},
			{node: "d1", rate: linkRate, plan: plan(large, r.bigCount, 1, 0, s3lat.GetObject)},
		},
	}}
}
