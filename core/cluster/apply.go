package cluster

import (
	"context"
	"fmt"
	"time"

	"granary/core/hlc"
	"granary/core/layout"
	"granary/core/rpc"
	"granary/core/rt"
)

// holdsTimeout bounds asking all storage nodes whether they hold data.
const holdsTimeout = 10 * time.Second

type applyRequest struct{}

type applyResponse struct {
	Number uint64 `cbor:"1,keyasint"`
}

type holdsRequest struct{}

type holdsResponse struct {
	Holds bool `cbor:"1,keyasint"`
}

var (
	methodApply = rpc.NewMethod[applyRequest, applyResponse]("cluster.apply", rpc.Meta)
	methodHolds = rpc.NewMethod[holdsRequest, holdsResponse]("cluster.holds", rpc.Meta)
)

func (c *Cluster) handleHolds(context.Context, rt.NodeID, *holdsRequest) (*holdsResponse, error) {
	holds, err := c.holds()
	return &holdsResponse{Holds: holds}, err
}

func (c *Cluster) handleApply(ctx context.Context, _ rt.NodeID, _ *applyRequest) (*applyResponse, error) {
	number, err := c.apply(ctx)
	return &applyResponse{Number: number}, err
}

// tend does what falls due now and then: expired tokens are forgotten, removed members stay cut off, and the
// founder applies the first layout once the cluster is complete.
func (c *Cluster) tend(ctx context.Context) {
	c.expireTokens(ctx)
	c.cutRemoved()
	doc, _ := c.snapshot()
	if len(doc.ID) == 0 || doc.Founder != c.env.Self() || doc.Layout != nil || doc.missing() != "" {
		return
	}
	if number, err := c.apply(ctx); err == nil {
		c.env.Info("first layout applied", "version", number)
	} else if ctx.Err() == nil {
		c.env.Warn("the first layout could not be applied", "err", err)
	}
}

// Missing says in words what the cluster still lacks for its first layout; empty once it has one.
func (c *Cluster) Missing() string {
	doc, _ := c.snapshot()
	if doc.Layout != nil {
		return ""
	}
	if why := doc.missing(); why != "" {
		return why
	}
	return "the first layout is being computed"
}

// missing says what a first layout needs that is not there; empty if nothing.
func (d document) missing() string {
	if len(d.ID) == 0 {
		return "this node belongs to no cluster yet: run granary init or granary join"
	}
	roles, params := d.staged().Wanted(nil)
	storing, zones := 0, map[layout.ZoneName]bool{}
	for _, r := range roles {
		if r.Stores() {
			storing++
			zones[r.Zone] = true
		}
	}
	switch {
	case storing < params.Replicas:
		return fmt.Sprintf("%s needed: %d of %d storage nodes have joined",
			count(params.Replicas-storing, "more node"),
			storing, params.Replicas)
	case len(zones) < params.MinZones:
		return fmt.Sprintf("%s needed: the storage nodes are in %d of %d zones",
			count(params.MinZones-len(zones), "more zone"), len(zones), params.MinZones)
	}
	return ""
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Apply makes a new layout version from the staged changes and returns its number; that of the present one if
// nothing is staged. It runs on the founder, wherever it is asked.
//
// A write that goes on while the layout changes may reach nodes that the new layout does not ask; see
// DESIGN.md.
//
// Errors: ErrNoCluster; ErrNotReady and ErrUnsuitable with the reason, ErrHasData, errors of rpc if the
// founder or a storage node cannot be asked.
func (c *Cluster) Apply(ctx context.Context) (number uint64, err error) {
	doc, _ := c.snapshot()
	if len(doc.ID) == 0 {
		return 0, ErrNoCluster
	}
	var resp *applyResponse
	if doc.Founder != c.env.Self() {
		err = c.exchange(ctx, doc.Founder, true) // it may not know yet what was staged here
	}
	if err == nil {
		resp, err = methodApply.Call(ctx, c.endpoint, doc.Founder, &applyRequest{})
	}
	if err != nil {
		return 0, fmt.Errorf("apply the staged layout on %s, which founded the cluster: %w",
			c.Describe(doc.Founder), err)
	}
	return resp.Number, nil
}

// apply is Apply on the founder. The mutex keeps the layout what checkEmpty was asked about.
func (c *Cluster) apply(ctx context.Context) (number uint64, err error) {
	if err := c.applying.Lock(ctx); err != nil {
		return 0, err
	}
	defer c.applying.Unlock()
	doc, _ := c.snapshot()
	if doc.Founder != c.env.Self() {
		return 0, fmt.Errorf("%w: this node did not found it", ErrNotReady)
	}
	if why := doc.missing(); doc.Layout == nil && why != "" {
		return 0, fmt.Errorf("%w: %s", ErrNotReady, why)
	}
	if roles, params := doc.staged().Pending(doc.Layout); len(roles) == 0 && !params {
		return doc.number(), nil
	}
	if err := c.checkEmpty(ctx, doc.Layout); err != nil {
		return 0, err
	}
	err = c.change(ctx, func(now document, _ hlc.Stamp) (document, error) {
		if now.number() != doc.number() {
			return now, fmt.Errorf("%w: version %d came up meanwhile: apply again", ErrUnsuitable,
				now.number())
		}
		next, err := now.staged().Next(now.Layout)
		if err != nil {
			return now, fmt.Errorf("%w: %w", ErrUnsuitable, err)
		}
		number = next.Number
		return document{Layout: next}, nil
	})
	return number, err
}

// checkEmpty asks every storage node of a layout whether it holds data.
func (c *Cluster) checkEmpty(ctx context.Context, v *layout.Version) error {
	if v == nil {
		return nil
	}
	ctx, cancel := c.env.WithTimeout(ctx, holdsTimeout)
	defer cancel()
	for _, node := range v.StorageNodes() {
		resp, err := methodHolds.Call(ctx, c.endpoint, node, &holdsRequest{})
		if err != nil {
			return fmt.Errorf("ask %s whether it holds data: %w; every storage node must be up",
				c.Describe(node), err)
		}
		if resp.Holds {
			return fmt.Errorf("%s: %w", c.Describe(node), ErrHasData)
		}
	}
	return nil
}
