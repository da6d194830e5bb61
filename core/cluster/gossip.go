package cluster

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/zeebo/blake3"

	"granary/core/codec"
	"granary/core/hlc"
	"granary/core/rpc"
	"granary/core/rt"
)

const (
	// gossipEvery is the mean time between two comparisons with a random member.
	gossipEvery = 2 * time.Second
	// gossipTimeout bounds one exchange.
	gossipTimeout = 5 * time.Second
	// gossipPause is the least time between two exchanges, however often newer layouts are heard of.
	gossipPause = 100 * time.Millisecond
	// broadcastsMax bounds the exchanges that changes start at once; whom they leave out, gossip reaches.
	broadcastsMax = 64
)

type gossipRequest struct {
	Digest [32]byte  `cbor:"1,keyasint"`
	Doc    *document `cbor:"2,keyasint,omitempty"`
}

type gossipResponse struct {
	Doc   *document `cbor:"1,keyasint,omitempty"` // nil if the digests agree
	Wall  int64     `cbor:"2,keyasint"`           // the answerer's wall clock, ms since the Unix epoch
	Stamp hlc.Stamp `cbor:"3,keyasint"`           // the newest that the answerer knows
	Mark  *mark     `cbor:"4,keyasint,omitempty"` // what the answerer has heard of the asker's store
}

var methodGossip = rpc.NewMethod[gossipRequest, gossipResponse]("cluster.gossip", rpc.Meta)

func digestOf(d document) [32]byte {
	raw, err := codec.Marshal(d)
	if err != nil {
		rt.Break("cluster document cannot be encoded: %v", err)
	}
	return blake3.Sum256(raw)
}

// handleGossip merges what the asker sent and answers with the document if it still differs.
func (c *Cluster) handleGossip(ctx context.Context, from rt.NodeID, req *gossipRequest) (*gossipResponse,
	error) {
	if req.Doc != nil {
		changed, err := c.merge(ctx, *req.Doc)
		if err != nil {
			return nil, err
		}
		if changed {
			c.env.Sometimes("cluster document merged", true)
		}
	}
	resp := &gossipResponse{Wall: c.env.Wall().UnixMilli(), Stamp: c.clock.Last(), Mark: c.markOf(from)}
	if doc, cache := c.snapshot(); cache.digest != req.Digest {
		resp.Doc = &doc
	}
	return resp, nil
}

// exchange makes the documents of this node and peer equal.
func (c *Cluster) exchange(ctx context.Context, peer rt.NodeID, full bool) error {
	ctx, cancel := c.env.WithTimeout(ctx, gossipTimeout)
	defer cancel()
	doc, cache := c.snapshot()
	req := &gossipRequest{Digest: cache.digest}
	if full {
		req.Doc = &doc
	}
	start := c.env.Now()
	resp, err := methodGossip.Call(ctx, c.endpoint, peer, req)
	if err != nil {
		return err
	}
	c.noteClock(peer, resp.Wall, resp.Stamp, c.env.Now()-start)
	if resp.Doc == nil {
		return c.compare(ctx, peer, resp.Mark)
	}
	if _, err := c.merge(ctx, *resp.Doc); err != nil {
		return err
	}
	if err := c.compare(ctx, peer, resp.Mark); err != nil {
		return err
	}
	merged, cache := c.snapshot()
	if cache.digest == digestOf(*resp.Doc) {
		return nil
	}
	_, err = methodGossip.Call(ctx, c.endpoint, peer, &gossipRequest{Digest: cache.digest, Doc: &merged})
	return err
}

// runGossip compares documents with one random member after another until the node stops.
func (c *Cluster) runGossip(ctx context.Context) error {
	for {
		c.tend(ctx)
		c.warm()
		c.ask()
		if peer, ok := c.nextPeer(); ok {
			if err := c.exchange(ctx, peer, false); err != nil {
				c.env.Debug("gossip failed", "peer", c.Describe(peer), "err", err)
			}
		}
		pause := gossipEvery/2 + time.Duration(c.env.Rand("cluster/gossip").Int64N(int64(gossipEvery)))
		err := c.kick.ParkFor(ctx, pause)
		if err != nil && !errors.Is(err, rt.ErrTimeout) {
			return nil
		}
		if err == nil && c.env.Sleep(ctx, gossipPause) != nil {
			return nil
		}
	}
}

// warm keeps connections to every other member open.
func (c *Cluster) warm() {
	doc, _ := c.snapshot()
	for _, id := range doc.members() {
		c.endpoint.Warm(id)
	}
}

// heardLayout remembers a peer that knows a newer layout, and asks it soon.
func (c *Cluster) heardLayout(from rt.NodeID, version uint64) {
	c.lock.Lock()
	newer := version > c.doc.number() && c.doc.present(from)
	if newer {
		c.ahead = from
	}
	c.lock.Unlock()
	if newer {
		c.kick.Unpark()
	}
}

// nextPeer is the member to compare with: one that knows a newer layout, else a random one.
func (c *Cluster) nextPeer() (rt.NodeID, bool) {
	random := c.env.Rand("cluster/gossip")
	c.lock.Lock()
	defer c.lock.Unlock()
	ahead := c.ahead
	c.ahead = rt.NodeID{}
	if c.doc.present(ahead) {
		return ahead, true
	}
	peers := c.others()
	if len(peers) == 0 {
		return rt.NodeID{}, false
	}
	return peers[random.IntN(len(peers))], true
}

// others are the members besides this node. Under lock.
func (c *Cluster) others() []rt.NodeID {
	self := c.env.Self()
	return slices.DeleteFunc(c.doc.members(), func(id rt.NodeID) bool { return id == self })
}

// broadcast sends the document to every other member, in the background.
func (c *Cluster) broadcast() {
	if c.endpoint == nil {
		return
	}
	c.lock.Lock()
	peers := c.others()
	c.lock.Unlock()
	c.exchangeWith(peers, true)
}

// exchangeWith makes an exchange with each of some peers, in the background.
func (c *Cluster) exchangeWith(peers []rt.NodeID, full bool) {
	for _, id := range peers {
		if !c.broadcasts.TryAcquire(1) {
			return
		}
		c.group.Go("cluster exchange", func(ctx context.Context) error {
			defer c.broadcasts.Release(1)
			if err := c.exchange(ctx, id, full); err != nil {
				c.env.Debug("exchange failed", "peer", c.Describe(id), "err", err)
			}
			return nil
		})
	}
}

// Learn fetches what node knows of the cluster: it refused something as planned with an old layout.
func (c *Cluster) Learn(ctx context.Context, node rt.NodeID) error {
	if node == c.env.Self() {
		return nil
	}
	return c.exchange(ctx, node, false)
}

// OnChange wakes a waiter whenever the document changes; before Start.
func (c *Cluster) OnChange(w rt.Waiter) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.waiting = append(c.waiting, w)
}
