package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"granary/core/rt"
)

// A lane is one of many connections to a peer that each carry a small call now and then, so that together
// they carry a large one at once: what a connection that rested may send without waiting for an
// acknowledgement is little (10 segments of TCP), and is little again after every rest. Lanes are opened when
// they are asked for, rest without pings, and are closed when they were not used for Config.LaneRest. See
// DESIGN.md, "Lanes".

const (
	// laneMessageMax is the longest message of a call on a lane: one frame, written at once.
	laneMessageMax = 48 << 10
	// laneCallsMax is how many calls a lane carries at once before it counts as taken. They wait for each
	// other for a round trip or two; on another connection that rested they would wait for more.
	laneCallsMax = 4
	// laneDialsMax is how many lanes to one peer are being opened at a time.
	laneDialsMax = 8
	// lanePingEvery is the time between pings on a lane that rests; the other end gives up one on which it
	// has heard nothing for laneSilenceMax.
	lanePingEvery  = 30 * time.Second
	laneSilenceMax = 4 * lanePingEvery
)

// errRested ends a lane that was not used for long.
var errRested = fmt.Errorf("%w: not used", ErrConnLost)

// Lanes returns how many lanes to a peer are not taken, at most want and Config.LanesMax, and begins to open
// what is missing, if the peer is connected. It does not wait.
func (ep *Endpoint) Lanes(id rt.NodeID, want int) int {
	want = min(want, ep.cfg.LanesMax)
	if id == ep.self || want <= 0 {
		return 0
	}
	now := ep.env.Now()
	ep.lock.Lock()
	defer ep.lock.Unlock()
	p := ep.peerOf(id)
	p.called = true
	p.lanesWanted = max(p.lanesWanted, want)
	ep.widen(p, now)
	free := 0
	for _, c := range p.lanes {
		if c.load.Load() < laneCallsMax && !c.gone.Load() {
			free++
		}
	}
	return min(free, want)
}

// widen opens lanes until there are as many as wanted, a few at a time. Under lock.
func (ep *Endpoint) widen(p *peer, now time.Duration) {
	if ep.closed || now < p.retryAt || !p.meta.usable() {
		return
	}
	p.lanes = slices.DeleteFunc(p.lanes, func(c *conn) bool { return c.gone.Load() })
	for p.laneDials < laneDialsMax && len(p.lanes)+p.laneDials < p.lanesWanted &&
		ep.lanes < ep.cfg.LanesTotalMax {
		p.laneDials++
		ep.lanes++
		ep.group.Go("rpc.lane", func(context.Context) error {
			ep.dialLane(p)
			return nil
		})
	}
}

// dialLane opens one lane, then begins the next, and reads its own until it ends.
func (ep *Endpoint) dialLane(p *peer) {
	defer func() {
		ep.lock.Lock()
		ep.lanes--
		ep.lock.Unlock()
	}()
	dialled := func(c *conn) {
		now := ep.env.Now()
		ep.lock.Lock()
		defer ep.lock.Unlock()
		p.laneDials--
		if c == nil {
			p.lanesWanted = 0 // until somebody asks again
			return
		}
		p.lanes = append(p.lanes, c)
		ep.widen(p, now)
	}
	raw, err := ep.dialRaw(p, Bulk, true)
	if err != nil {
		ep.env.Count("rpc_dial_errors_total", 1)
		dialled(nil)
		return
	}
	c := ep.attach(raw, true, true)
	if c == nil {
		dialled(nil)
		return
	}
	open := false
	c.run(func() {
		open = true
		dialled(c)
	})
	if !open {
		dialled(nil)
	}
}

// unlane forgets a lane that has ended, and returns those that end with a Meta connection: the peer is gone,
// and a lane that rests would not notice. Under lock.
func (p *peer) unlane(c *conn) (end []*conn) {
	p.lanes = slices.DeleteFunc(p.lanes, func(o *conn) bool { return o == c })
	if c.class == Meta && c.dialled {
		end = slices.Clone(p.lanes)
		p.lanesWanted = 0
	}
	return end
}

var errNoLane = errors.New("no lane is open")

// freest returns the lanes to a peer, the least busy first.
func (ep *Endpoint) freest(id rt.NodeID) (*peer, []*conn) {
	ep.lock.Lock()
	defer ep.lock.Unlock()
	p := ep.peerOf(id)
	lanes := slices.DeleteFunc(slices.Clone(p.lanes), func(c *conn) bool { return c.gone.Load() })
	slices.SortStableFunc(lanes, func(a, b *conn) int { return cmp.Compare(a.load.Load(), b.load.Load()) })
	return p, lanes
}

// wakeLane begins to count the silence of a lane's other end from its first call on. Under lock.
func (c *conn) wakeLane() {
	if c.lane && len(c.streams) == 1 {
		c.usedAt = c.env.Now()
		c.heard.Store(int64(c.usedAt))
	}
}

// tendLane is tend for a lane that rests.
func (c *conn) tendLane(now time.Duration) error {
	c.lock.Lock()
	unanswered, pinged, used := c.token != 0, now-c.pingAt, now-c.usedAt
	c.lock.Unlock()
	silent := now - time.Duration(c.heard.Load())
	switch {
	case !c.dialled && silent >= laneSilenceMax, c.dialled && unanswered && pinged >= c.ep.cfg.SilenceMax:
		return fmt.Errorf("%w for %v", ErrSilent, silent)
	case c.dialled && used >= c.ep.cfg.LaneRest:
		c.fail(errRested)
	case c.dialled && !unanswered && pinged >= lanePingEvery:
		c.ping(uint64(now))
	}
	return nil
}
