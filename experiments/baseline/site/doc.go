// Package site is the world that the baselines live in: three replicas, one in each site of a simulated
// network, which speak core/rpc, and may crash and start again.
//
// A baseline is an [Open], which makes a [Store] of a [Node] before the node's endpoint starts. A [World]
// runs the nodes, and [World.On] is how a client reaches the store of a site: at the site itself, so that
// what a request takes is what the replicas say to each other.
//
// Disks and processors take no time here, in favour of the baselines.
package site
