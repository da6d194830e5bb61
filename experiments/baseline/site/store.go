package site

import (
	"context"
	"errors"
	"time"

	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/sim/sched"
)

// BucketsKey is the key under which a store keeps its list of buckets. No listing has it.
const BucketsKey = "\x00buckets"

// ErrAbsent is what Get returns for a key that is not there.
var ErrAbsent = errors.New("no such key")

// Store is what every baseline offers: one bucket, and the list of buckets. Its methods are called by tasks
// of the node, and end with their context. An error other than ErrAbsent leaves open whether a write takes
// place, now or later.
type Store interface {
	Buckets(ctx context.Context) ([]byte, error)
	List(ctx context.Context) ([]string, error) // sorted
	Get(ctx context.Context, key string) ([]byte, error)
	Put(ctx context.Context, key string, value []byte) error // value must not change afterwards
	Remove(ctx context.Context, key string) error            // absent keys may be removed
}

// Open makes the store of a node: it registers handlers and starts the tasks of its own, in a task of the
// node.
type Open func(n *Node) (Store, error)

// Node is one incarnation of a site's node.
type Node struct {
	Name     string
	Env      *sched.Env
	Endpoint *rpc.Endpoint
	Engine   *quorum.Engine
	Members  []rt.NodeID // the nodes of all sites, this one too, in the order of the sites
	Disk     *Disk
	group    *rt.Group
}

// Self is the place of the node in Members.
func (n *Node) Self() int {
	for i, id := range n.Members {
		if id == n.Env.Self() {
			return i
		}
	}
	rt.Break("node %s is no member", n.Name)
	return -1
}

// Go starts a task that belongs to the node.
func (n *Node) Go(name string, f func(ctx context.Context) error) { n.group.Go(name, f) }

// Majority is how many members make a quorum.
func (n *Node) Majority() int { return len(n.Members)/2 + 1 }

// Disk is what survives the crash of a node: all that was ever changed in it, for it takes no time. The
// content is the store's; nil at first.
type Disk struct{ Content any }

// Deadline bounds a request: that of a client of granary too.
const Deadline = 10 * time.Second
