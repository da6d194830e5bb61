package cluster

import (
	"slices"
	"time"

	"granary/core/rt"
)

// awaitedFor is how long a node is out of reach before a change of the layout goes on without it; a restart
// takes less.
const awaitedFor = 2 * time.Minute

// watchLagging notes since when the nodes that lag behind the newest layout are out of reach.
func (c *Cluster) watchLagging(doc document) {
	var far []rt.NodeID
	if doc.beforeLives() {
		far = slices.DeleteFunc(doc.lagging(), func(id rt.NodeID) bool {
			return id == c.env.Self() || c.endpoint.Connected(id)
		})
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	before := c.away
	c.away = map[rt.NodeID]time.Duration{}
	for _, id := range far {
		c.away[id] = c.env.Now()
		if since, ok := before[id]; ok {
			c.away[id] = since
		}
	}
}

// awaits reports whether the version before stays open for the sake of a node that lags.
func (c *Cluster) awaits(id rt.NodeID) bool {
	if c.env.Mutant("layout: closed before all are in sync") {
		return false
	}
	c.lock.Lock()
	since, away := c.away[id]
	c.lock.Unlock()
	gone := away && c.env.Now()-since >= awaitedFor
	c.env.Sometimes("a layout was closed without a node", gone)
	return !gone
}
