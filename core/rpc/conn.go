package rpc

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"granary/core/rt"
)

// conn is one connection and the streams on it. It has two tasks: one reads (run), one writes (writeLoop).
// Callers and handlers only queue frames and wait on their streams.
//
// Invariants, all under lock:
//
//  1. Once dead is set, streams and the queues are empty, and nothing is added to them again.
//  2. Numbers are given, and frames queued, in the same critical section: requests leave in the order of
//     their numbers.
//  3. A stream's frames leave in the order in which they were queued, except that heads and control frames
//     overtake data. What depends on data being there (the end) rides on data.
//  4. queued is the sum of the lengths of data and head frames in the queues, and of reservations not yet
//     used. It exceeds QueueMaxBytes only for a single frame.
type conn struct {
	ep      *Endpoint
	env     rt.Env
	peer    *peer
	raw     Conn
	class   Class
	dialled bool
	lane    bool // see lane.go; of an accepted connection, once hellos are exchanged
	started time.Duration
	heard   atomic.Int64 // env.Now of the last arrival
	said    atomic.Int64 // env.Now of the last Write
	load    atomic.Int64 // streams on it
	gone    atomic.Bool  // dead or retired: not for new calls

	lock    rt.Locker
	dead    error
	ready   bool // hellos are exchanged
	retired bool // its stream numbers are used up; closes after the last call
	theirs  hello
	streams map[uint32]*stream
	last    uint32 // the highest stream number used so far
	urgent  frameQueue
	data    frameQueue
	queued  int
	control int // bytes of control frames in urgent
	room    []*stream
	writer  rt.Waiter
	idle    bool // the writer waits, or is about to
	pingAt  time.Duration
	usedAt  time.Duration // of a lane: when its last call began
	token   uint64        // of the ping that was not answered yet, 0 if there is none
}

// controlMaxBytes bounds the control frames that wait for a peer which does not read.
const controlMaxBytes = 256 << 10

func newConn(ep *Endpoint, raw Conn, dialled bool) *conn {
	c := &conn{
		ep: ep, env: ep.env, raw: raw, class: raw.Class(), dialled: dialled,
		lock: ep.env.NewLock(), writer: ep.env.NewWaiter(), streams: map[uint32]*stream{},
		started: ep.env.Now(),
	}
	c.usedAt, c.pingAt = c.started, c.started
	c.heard.Store(int64(c.started))
	c.said.Store(int64(c.started))
	return c
}

// greet exchanges hellos. The endpoint's keeper closes the connection when it takes too long.
func (c *conn) greet(r *frameReader) error {
	mine := hello{
		lowest: VersionLowest, highest: VersionHighest, feature: c.ep.cfg.Feature,
		window: uint32(c.ep.cfg.window(c.class)), now: c.ep.envelope(), lane: c.lane,
	}
	if _, err := c.raw.Write(mine.frame()); err != nil {
		return err
	}
	h, err := r.header()
	if err != nil {
		return err
	}
	if h.kind != kindHello {
		return fmt.Errorf("%w: type %d instead of a hello", errFrame, h.kind)
	}
	b, err := r.payload(h)
	if err != nil {
		return err
	}
	theirs, err := parseHello(b)
	if err != nil {
		return err
	}
	if theirs.window == 0 || theirs.window > windowMax {
		return fmt.Errorf("%w: window of %d bytes", errFrame, theirs.window)
	}
	version := min(mine.highest, theirs.highest)
	if version < mine.lowest || version < theirs.lowest {
		return fmt.Errorf("%w: here %d to %d, there %d to %d", ErrVersion, mine.lowest, mine.highest,
			theirs.lowest, theirs.highest)
	}
	c.ep.observe(c.peer.id, theirs.now)
	c.ep.lock.Lock()
	c.peer.feature, c.peer.greeted = theirs.feature, true
	c.ep.lock.Unlock()
	c.lock.Lock()
	defer c.lock.Unlock()
	c.theirs, c.ready = theirs, c.dead == nil
	c.lane = c.lane || theirs.lane && !c.dialled
	return c.dead
}

// run reads the connection until it ends. established is called once hellos are exchanged.
func (c *conn) run(established func()) {
	r := newFrameReader(c)
	err := c.greet(r)
	if err == nil {
		c.ep.group.Go("rpc.write", c.writeLoop)
		established()
		err = c.readLoop(r)
	}
	c.fail(fmt.Errorf("%w: %w", ErrConnLost, err))
}

// fail ends the connection and everything on it. Only the first call counts.
func (c *conn) fail(err error) {
	c.lock.Lock()
	if c.dead != nil {
		c.lock.Unlock()
		return
	}
	c.dead = err
	c.gone.Store(true)
	hit := make([]*stream, 0, len(c.streams)+len(c.room))
	for _, id := range sortedIDs(c.streams) {
		hit = append(hit, c.streams[id])
	}
	hit = append(hit, c.room...)
	for _, st := range hit {
		st.stop(err)
	}
	clear(c.streams)
	c.load.Store(0)
	c.room, c.urgent, c.data, c.queued, c.control = nil, frameQueue{}, frameQueue{}, 0, 0
	c.lock.Unlock()

	c.raw.Close()
	c.ep.drop(c)
	c.writer.Unpark()
	for _, st := range hit {
		st.over()
	}
}

// over tells those who wait for the stream, or work for it, that it was stopped. Called without the lock.
func (st *stream) over() {
	st.wake()
	if st.cancel != nil {
		st.cancel()
	}
	if !st.started {
		st.c.ep.release(st)
	}
}

func sortedIDs(m map[uint32]*stream) []uint32 {
	ids := make([]uint32, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// forget takes st off the connection. Under lock; it reports whether the connection is to be closed, being
// retired and without other work.
func (c *conn) forget(st *stream) (done bool) {
	if c.streams[st.id] != st {
		return false
	}
	delete(c.streams, st.id)
	c.load.Add(-1)
	return c.retired && len(c.streams) == 0
}

// errRetired ends a connection that has used up its stream numbers, after its last call.
var errRetired = fmt.Errorf("%w: stream numbers used up", ErrConnLost)

// excuse takes time in which this node did not run off the silence of the peer.
func (c *conn) excuse(now, late time.Duration) {
	if heard := c.heard.Load(); late > 0 {
		c.heard.CompareAndSwap(heard, min(heard+int64(late), int64(now)))
	}
}

// tend sends a ping when one is due and reports whether the connection is to be given up.
func (c *conn) tend(now time.Duration) error {
	c.lock.Lock()
	cfg := &c.ep.cfg
	silent := now - time.Duration(c.heard.Load())
	switch {
	case c.dead != nil:
		c.lock.Unlock()
		return nil
	case !c.ready:
		c.lock.Unlock()
		if now-c.started > cfg.HelloTimeout {
			return fmt.Errorf("%w: no hello within %v", ErrSilent, cfg.HelloTimeout)
		}
		return nil
	case c.lane && len(c.streams) == 0:
		c.lock.Unlock()
		return c.tendLane(now)
	case silent >= cfg.SilenceMax:
		c.lock.Unlock()
		return fmt.Errorf("%w for %v", ErrSilent, silent)
	}
	due := c.dialled && c.token == 0 && now-c.pingAt >= cfg.PingEvery
	mute := now-time.Duration(c.said.Load()) >= cfg.PingEvery*3/2
	c.lock.Unlock()
	switch {
	case due:
		c.ping(uint64(now))
	case mute:
		c.ping(0)
	}
	return nil
}

// ping sends a ping. A token, the time of sending, makes it the one that measures the round trip: one at a
// time. Without a token it only shows that this end lives.
func (c *conn) ping(token uint64) {
	frame := ping{token: token, now: c.ep.envelope(), news: c.news()}.frame(kindPing)
	c.lock.Lock()
	if token != 0 {
		c.pingAt, c.token = time.Duration(token), token
	}
	err := c.pushControl(frame)
	c.lock.Unlock()
	if err != nil {
		c.fail(err)
	}
}

// news is what pings of this connection carry for upper layers.
func (c *conn) news() []byte {
	if c.class != Meta || c.lane || c.ep.hooks.News == nil {
		return nil
	}
	return c.ep.hooks.News()
}

// onNews hands on what a ping carried. asked is when the ping was sent that it answers; 0 if it answers none.
func (c *conn) onNews(p ping, asked time.Duration) {
	if len(p.news) > 0 && c.ep.hooks.OnNews != nil {
		c.ep.hooks.OnNews(c.peer.id, p.news, asked)
	}
}

// pong takes the answer to a ping.
func (c *conn) pong(p ping) {
	now := c.env.Now()
	c.lock.Lock()
	measures := p.token != 0 && p.token == c.token
	if measures {
		c.token = 0
	}
	c.lock.Unlock()
	if measures && c.class == Meta {
		c.ep.measured(c.peer, now-time.Duration(p.token))
		c.onNews(p, time.Duration(p.token))
	}
}
