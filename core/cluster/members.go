package cluster

import (
	"context"
	"fmt"
	"slices"

	"granary/core/hlc"
	"granary/core/layout"
	"granary/core/rt"
)

// Found makes this node the first of a new cluster, with params for its layouts and its own role staged.
//
// Errors: ErrInCluster, ErrUnsuitable, ErrBadMember.
func (c *Cluster) Found(ctx context.Context, params layout.Params, role layout.Role) error {
	if err := c.entering.Lock(ctx); err != nil {
		return err
	}
	defer c.entering.Unlock()
	self := c.env.Self()
	role.Node = self
	return c.change(ctx, func(doc document, stamp hlc.Stamp) (document, error) {
		if len(doc.ID) > 0 {
			return doc, ErrInCluster
		}
		if err := c.self.Validate(); err != nil {
			return doc, err
		}
		if err := params.Validate(); err != nil {
			return doc, fmt.Errorf("%w: %w", ErrUnsuitable, err)
		}
		if err := role.Validate(); err != nil {
			return doc, fmt.Errorf("%w: %w", ErrUnsuitable, err)
		}
		return document{ID: c.env.Secret(16), Founder: self,
			Members: aMember(self, stamp, c.self, standing{Life: 1, Store: c.storeID}),
			Staged:  layout.Staged{}.WithParams(stamp, params).WithRole(stamp, role)}, nil
	})
}

// Remove marks a member as removed, for good. It refuses a member that a live layout gives partitions to, and
// the founder before it has made the first layout.
//
// Errors: ErrNotMember, ErrHasData, ErrFounder.
func (c *Cluster) Remove(ctx context.Context, node rt.NodeID) error {
	return c.change(ctx, func(doc document, stamp hlc.Stamp) (document, error) {
		m, ok := doc.Members.Get(node)
		switch {
		case !ok:
			return doc, fmt.Errorf("node %s: %w", node.Short(), ErrNotMember)
		case doc.Layout != nil && slices.Contains(doc.Layout.StorageNodes(), node):
			return doc, fmt.Errorf("node %s stores data in layout version %d: %w", node.Short(),
				doc.number(), ErrHasData)
		case doc.beforeLives() && slices.Contains(doc.Before.StorageNodes(), node):
			return doc, fmt.Errorf("node %s stores data in layout version %d: %w", node.Short(),
				doc.Before.Number, ErrHasData)
		case node == doc.Founder && doc.Layout == nil:
			return doc, fmt.Errorf("node %s: %w: it makes the first one", node.Short(), ErrFounder)
		}
		m.Removed = true
		return document{Members: members{}.With(node, m),
			Staged: layout.Staged{}.WithoutRole(stamp, node)}, nil
	})
}

// AcceptLoss gives a node up for good: no quorum waits for it any more, it has no role in the next layout,
// and what it alone knew is lost. It cannot be taken back; should the node return, nobody asks it.
//
// That is for when more nodes are gone than quorums can do without. One node of three that is gone stops
// nothing: Retire it, and apply.
//
// Errors: ErrNotMember.
func (c *Cluster) AcceptLoss(ctx context.Context, node rt.NodeID) error {
	return c.change(ctx, func(doc document, stamp hlc.Stamp) (document, error) {
		if _, ok := doc.Members.Get(node); !ok || node == c.env.Self() {
			return doc, fmt.Errorf("node %s: %w other than this one", node.Short(), ErrNotMember)
		}
		delta := stand(node, standing{Lost: true})
		delta.Staged = layout.Staged{}.WithoutRole(stamp, node)
		return delta, nil
	})
}

// Update tells the cluster of this node's present address and name, if they changed.
//
// Errors: ErrBadMember.
func (c *Cluster) Update(ctx context.Context) error {
	doc, _ := c.snapshot()
	if m, ok := doc.Members.Get(c.env.Self()); !ok || m.Removed || m.Info.Value == c.self {
		return nil
	}
	if err := c.self.Validate(); err != nil {
		return err
	}
	return c.change(ctx, func(_ document, stamp hlc.Stamp) (document, error) {
		return document{Members: aMember(c.env.Self(), stamp, c.self, standing{})}, nil
	})
}
