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

type applyRequest struct {
	// Version is to become the layout. Nil: what is staged shall.
	Version *layout.Version `cbor:"1,keyasint,omitempty"`
}

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

func (c *Cluster) handleApply(ctx context.Context, _ rt.NodeID, req *applyRequest) (*applyResponse, error) {
	number, err := c.apply(ctx, req.Version)
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
	if number, err := c.apply(ctx, nil); err == nil {
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
	if err := c.Sync(ctx); err != nil {
		return 0, err
	}
	return c.callApply(ctx, &applyRequest{})
}

// Adopt makes a version the layout that somebody has made, and looked at: it must follow the live one, and
// have the roles and parameters that are staged, or, to place anew what is there, those of the live one. So
// nothing is applied that was staged, or applied, after v was made; Sync before that makes a refusal rare.
//
// Errors: ErrChanged if v does not follow from what is so now; those of Apply.
func (c *Cluster) Adopt(ctx context.Context, v *layout.Version) error {
	if doc, _ := c.snapshot(); len(doc.ID) == 0 {
		return ErrNoCluster
	}
	_, err := c.callApply(ctx, &applyRequest{Version: v})
	return err
}

// Sync makes this node and the founder know the same, in particular of what is staged.
//
// Errors: ErrNoCluster; errors of rpc if the founder cannot be asked.
func (c *Cluster) Sync(ctx context.Context) error {
	doc, _ := c.snapshot()
	switch {
	case len(doc.ID) == 0:
		return ErrNoCluster
	case doc.Founder == c.env.Self():
		return nil
	}
	if err := c.exchange(ctx, doc.Founder, true); err != nil {
		return fmt.Errorf("ask %s, which founded the cluster and applies its layouts: %w",
			c.Describe(doc.Founder), err)
	}
	return nil
}

func (c *Cluster) callApply(ctx context.Context, req *applyRequest) (uint64, error) {
	doc, _ := c.snapshot()
	resp, err := methodApply.Call(ctx, c.endpoint, doc.Founder, req)
	if err != nil {
		return 0, fmt.Errorf("apply the layout on %s, which founded the cluster: %w",
			c.Describe(doc.Founder), err)
	}
	return resp.Number, nil
}

// apply is Apply and Adopt on the founder; a nil version is what is staged. The mutex keeps the layout what
// checkEmpty was asked about.
func (c *Cluster) apply(ctx context.Context, version *layout.Version) (number uint64, err error) {
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
	if version != nil {
		if err := doc.fits(version); err != nil { // before anybody is asked
			return 0, err
		}
	} else if roles, params := doc.staged().Pending(doc.Layout); len(roles) == 0 && !params {
		return doc.number(), nil
	}
	if err := c.checkEmpty(ctx, doc.Layout); err != nil {
		return 0, err
	}
	err = c.change(ctx, func(now document, stamp hlc.Stamp) (document, error) {
		next := version
		if next == nil {
			if next, err = now.staged().Next(now.Layout); err != nil {
				return now, fmt.Errorf("%w: %w", ErrUnsuitable, err)
			}
		}
		if err := now.fits(next); err != nil {
			return now, err
		}
		if version != nil {
			c.verify(version, now.Layout)
		}
		number = next.Number
		return document{Layout: next, Past: recorded(stamp, next, now.Layout)}, nil
	})
	return number, err
}

// fits refuses a version that is not valid, does not follow the live one, or is not of the roles and
// parameters that are staged or live.
func (d document) fits(v *layout.Version) error {
	if err := v.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsuitable, err)
	}
	var parent layout.Hash
	if d.Layout != nil {
		parent = d.Layout.Hash()
	}
	if v.Number != d.number()+1 || v.Parent != parent {
		return fmt.Errorf("version %d does not follow version %d, which is live: %w", v.Number, d.number(),
			ErrChanged)
	}
	roles, params := d.staged().Wanted(d.Layout)
	if v.Params == params && len(layout.Changes(roles, v.Roles)) == 0 {
		return nil
	}
	if d.Layout != nil && v.Params == d.Layout.Params && len(layout.Changes(d.Layout.Roles, v.Roles)) == 0 {
		return nil
	}
	return fmt.Errorf("version %d was made from other staged changes: %w", v.Number, ErrChanged)
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
			return fmt.Errorf("%s holds data of layout version %d: %w", c.Describe(node), v.Number,
				ErrHasData)
		}
	}
	return nil
}
