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
		return document{ID: c.env.Secret(16), Founder: self, Members: aMember(self, stamp, c.self),
			Staged: layout.Staged{}.WithParams(stamp, params).WithRole(stamp, role)}, nil
	})
}

// Remove marks a member as removed, for good. It refuses a member that the live layout gives partitions to,
// and the founder, who applies the layouts.
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
		case node == doc.Founder:
			return doc, fmt.Errorf("node %s: %w: it applies the layouts", node.Short(), ErrFounder)
		}
		m.Removed = true
		return document{Members: members{}.With(node, m),
			Staged: layout.Staged{}.WithoutRole(stamp, node)}, nil
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
		return document{Members: aMember(c.env.Self(), stamp, c.self)}, nil
	})
}
