package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/zeebo/blake3"

	"granary/core/codec"
	"granary/core/rpc"
	"granary/core/rt"
)

const (
	// gossipEvery is the mean time between two comparisons with a random member.
	gossipEvery = 2 * time.Second
	// gossipTimeout bounds one exchange.
	gossipTimeout = 5 * time.Second
)

type gossipRequest struct {
	Digest [32]byte  `cbor:"1,keyasint"`
	Doc    *document `cbor:"2,keyasint,omitempty"`
}

type gossipResponse struct {
	Doc *document `cbor:"1,keyasint,omitempty"` // nil if the digests agree
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
func (c *Cluster) handleGossip(ctx context.Context, _ rt.NodeID, req *gossipRequest) (*gossipResponse,
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
	doc, cache := c.snapshot()
	if cache.digest == req.Digest {
		return &gossipResponse{}, nil
	}
	return &gossipResponse{Doc: &doc}, nil
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
	resp, err := methodGossip.Call(ctx, c.endpoint, peer, req)
	if err != nil || resp.Doc == nil {
		return err
	}
	if _, err := c.merge(ctx, *resp.Doc); err != nil {
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
		if peer, ok := c.randomPeer(); ok {
			if err := c.exchange(ctx, peer, false); err != nil {
				c.env.Debug("gossip failed", "peer", c.Describe(peer), "err", err)
			}
		}
		pause := gossipEvery/2 + time.Duration(c.env.Rand("cluster/gossip").Int64N(int64(gossipEvery)))
		err := c.kick.ParkFor(ctx, pause)
		if err != nil && !errors.Is(err, rt.ErrTimeout) {
			return nil
		}
		if err == nil { // another version was heard of: do not ask more than a few times a second
			if c.env.Sleep(ctx, 100*time.Millisecond) != nil {
				return nil
			}
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

func (c *Cluster) randomPeer() (rt.NodeID, bool) {
	doc, _ := c.snapshot()
	var peers []rt.NodeID
	for _, id := range doc.members() {
		if id != c.env.Self() {
			peers = append(peers, id)
		}
	}
	if len(peers) == 0 {
		return rt.NodeID{}, false
	}
	return peers[c.env.Rand("cluster/gossip").IntN(len(peers))], true
}

// broadcast sends the document to every other member, in the background.
func (c *Cluster) broadcast() {
	if c.endpoint == nil {
		return
	}
	doc, _ := c.snapshot()
	for _, id := range doc.members() {
		if id == c.env.Self() {
			continue
		}
		c.group.Go("cluster broadcast", func(ctx context.Context) error {
			if err := c.exchange(ctx, id, true); err != nil {
				c.env.Debug("broadcast failed", "peer", c.Describe(id), "err", err)
			}
			return nil
		})
	}
}
