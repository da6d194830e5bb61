package cluster

import (
	"context"
	"errors"
	"fmt"

	"granary/core/layout"
	"granary/core/rpc"
	"granary/core/rt"
)

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

// tend applies the first layout, on the founder, once the cluster is complete.
func (c *Cluster) tend(ctx context.Context) {
	c.expireTokens(ctx)
	doc, _ := c.snapshot()
	if len(doc.ID) == 0 || doc.Founder != c.env.Self() || doc.Layout != nil {
		return
	}
	number, err := c.apply(ctx)
	switch {
	case err == nil:
		c.env.Info("first layout applied", "version", number)
	case !errors.Is(err, ErrNotReady):
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
	roles, params := d.Staged.Wanted(nil)
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

// Apply makes a new layout version from the staged changes. It runs on the founder, wherever it is asked.
//
// Errors: ErrNotReady and ErrUnsuitable with the reason, ErrHasData, errors of rpc if the founder or a
// storage node cannot be asked.
func (c *Cluster) Apply(ctx context.Context) (number uint64, err error) {
	doc, _ := c.snapshot()
	if len(doc.ID) == 0 {
		return 0, ErrNoCluster
	}
	resp, err := methodApply.Call(ctx, c.endpoint, doc.Founder, &applyRequest{})
	if err != nil {
		return 0, fmt.Errorf("apply the staged layout on %s, which founded the cluster: %w",
			c.Describe(doc.Founder), err)
	}
	return resp.Number, nil
}

func (c *Cluster) apply(ctx context.Context) (number uint64, err error) {
	doc, _ := c.snapshot()
	if why := doc.missing(); doc.Layout == nil && why != "" {
		return 0, fmt.Errorf("%w: %s", ErrNotReady, why)
	}
	if err := c.checkEmpty(ctx, doc.Layout); err != nil {
		return 0, err
	}
	err = c.change(ctx, func(doc document) (document, error) {
		next, err := doc.Staged.Next(doc.Layout)
		if err != nil {
			return doc, fmt.Errorf("%w: %w", ErrUnsuitable, err)
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
	for _, node := range v.StorageNodes() {
		resp, err := methodHolds.Call(ctx, c.endpoint, node, &holdsRequest{})
		if err != nil {
			return fmt.Errorf("ask %s whether it holds data: %w", c.Describe(node), err)
		}
		if resp.Holds {
			return fmt.Errorf("%s: %w", c.Describe(node), ErrHasData)
		}
	}
	return nil
}
