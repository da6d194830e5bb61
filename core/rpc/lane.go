package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"granary/core/codec"
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

// CallWide makes the calls of reqs at one peer side by side, each on a lane of its own as far as there are
// free ones, waits for all, and hands every answer to take, in order. It does not wait for lanes to be
// opened.
//
// Errors: the first, an *Error or that of take; ErrUnsent if there is no lane, or if a message is too long
// for one.
func (m Method[Req, Resp]) CallWide(ctx context.Context, ep *Endpoint, to rt.NodeID, reqs []*Req,
	take func(i int, resp *Resp) error) error {
	start := ep.env.Now()
	msgs := make([][]byte, len(reqs))
	var err error
	for i, req := range reqs {
		if msgs[i], err = codec.Marshal(req); err == nil && len(msgs[i]) > laneMessageMax {
			err = ErrTooLarge
		}
		if err != nil {
			return &Error{Method: m.info.name, Peer: to, Kind: ErrUnsent, Cause: err}
		}
	}
	err = ep.callWide(ctx, m.info, to, msgs, func(i int, msg []byte) error {
		resp := new(Resp)
		if err := codec.Unmarshal(msg, resp); err != nil {
			return &Error{Method: m.info.name, Peer: to, Kind: ErrUnknown, Cause: err}
		}
		return take(i, resp)
	})
	ep.tally.called(ep, m.info, start, err)
	return err
}

func (ep *Endpoint) callWide(ctx context.Context, info *methodInfo, to rt.NodeID, msgs [][]byte,
	take func(i int, msg []byte) error) error {
	p, lanes := ep.freest(to)
	if len(lanes) == 0 {
		return &Error{Method: info.name, Peer: to, Kind: ErrUnsent, Cause: errNoLane}
	}
	streams := make([]*stream, 0, len(msgs))
	var failed error
	for i, msg := range msgs {
		c := lanes[i%len(lanes)]
		st := c.newStream()
		if _, err := c.open(ctx, st, outgoing{info: info, msg: msg}); err != nil {
			failed = ep.failed(info, p, ErrUnsent, err)
			break
		}
		streams = append(streams, st)
	}
	for i, st := range streams {
		if failed != nil {
			st.c.abandon(st)
			continue
		}
		if err := st.await(ctx); err != nil {
			failed = ep.failed(info, p, st.c.abandon(st), err)
		} else if failed = ep.verdict(info, p, st); failed == nil {
			failed = take(i, st.msg)
		}
	}
	return failed
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
