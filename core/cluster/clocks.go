package cluster

import (
	"slices"
	"time"

	"granary/core/hlc"
	"granary/core/rt"
)

const (
	// ClockWarn is how far this node's wall clock may be from the median of its peers' before the log says
	// so.
	ClockWarn = time.Second
	// readingAge is how long the reading of a peer's wall clock counts.
	readingAge = time.Minute
)

// clocks is what this node knows of its peers' clocks, from their answers to gossip.
type clocks struct {
	readings map[rt.NodeID]clockReading
	offset   time.Duration // of our wall clock from the median
	warned   bool
}

type clockReading struct {
	at    time.Duration // on our monotonic clock
	ahead time.Duration // of our wall clock
	stamp hlc.Stamp     // the newest that the peer knew
}

// noteClock takes in what a peer said of its clocks in an answer that took so long.
//
// Stamps in messages are merged only within hlc.SkewMax, so that one bad clock carries nobody away; what a
// majority of the members has reached is merged whatever it is. So a node whose clock is far behind takes its
// stamps from its peers, and so does one that joins a cluster whose clocks were once far ahead. A wall clock
// that is off by more than the cap is corrected by the median before it makes stamps.
func (c *Cluster) noteClock(peer rt.NodeID, wallMilli int64, stamp hlc.Stamp, took time.Duration) {
	now, wall, own := c.env.Now(), c.env.Wall(), c.clock.Last()
	ahead := time.UnixMilli(wallMilli).UTC().Add(took / 2).Sub(wall)
	c.lock.Lock()
	c.clocks.readings[peer] = clockReading{now, ahead, stamp}
	for id := range c.clocks.readings { //det:ok the keys are deleted, in any order
		if !c.doc.present(id) {
			delete(c.clocks.readings, id)
		}
	}
	offset, reached := c.clocks.judge(c.doc.members(), c.env.Self(), now, own)
	c.clocks.offset = offset
	warn := max(offset, -offset) > ClockWarn
	tell := warn != c.clocks.warned
	c.clocks.warned = warn
	c.lock.Unlock()

	c.clock.Merge(reached)
	if max(offset, -offset) > hlc.SkewMax {
		c.clock.Correct(-offset)
	} else {
		c.clock.Correct(0)
	}
	c.env.Gauge("clock_offset_seconds", offset.Seconds())
	switch {
	case tell && warn:
		c.env.Warn("this node's clock differs from its peers': set it, for example with NTP", "offset",
			offset,
			"tolerated", hlc.SkewMax)
	case tell:
		c.env.Info("this node's clock agrees with its peers' again", "offset", offset)
	}
}

// judge returns how far our wall clock is ahead of the median of all that were read lately, ours among them,
// and the newest stamp that a majority of the members is known to have reached.
func (k *clocks) judge(members []rt.NodeID, self rt.NodeID, now time.Duration,
	own hlc.Stamp) (offset time.Duration, reached hlc.Stamp) {
	walls, stamps := []time.Duration{0}, []hlc.Stamp{own}
	for _, id := range members {
		r, ok := k.readings[id]
		if id == self || !ok {
			continue
		}
		stamps = append(stamps, r.stamp)
		if now-r.at <= readingAge {
			walls = append(walls, r.ahead)
		}
	}
	slices.Sort(walls)
	median := (walls[(len(walls)-1)/2] + walls[len(walls)/2]) / 2
	slices.Sort(stamps)
	if majority := len(members)/2 + 1; majority <= len(stamps) {
		reached = stamps[len(stamps)-majority]
	}
	return -median, reached
}

// ClockOffset is how far this node's wall clock is ahead of the median of its peers' and its own; negative
// when it is behind. Zero before the first comparison.
func (c *Cluster) ClockOffset() time.Duration {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.clocks.offset
}
