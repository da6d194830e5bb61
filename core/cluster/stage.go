package cluster

import (
	"context"
	"fmt"

	"granary/core/hlc"
	"granary/core/layout"
	"granary/core/rt"
)

// Stage adds a role, or its change, to the next layout.
//
// Errors: ErrNotMember, ErrLost, ErrUnsuitable.
func (c *Cluster) Stage(ctx context.Context, role layout.Role) error {
	return c.change(ctx, func(doc document, stamp hlc.Stamp) (document, error) {
		if !doc.present(role.Node) {
			return doc, fmt.Errorf("node %s: %w", role.Node.Short(), ErrNotMember)
		}
		if doc.standing(role.Node).Lost {
			return doc, fmt.Errorf("node %s: %w: give it an empty data folder, and so a new key",
				role.Node.Short(), ErrLost)
		}
		if err := role.Validate(); err != nil {
			return doc, fmt.Errorf("%w: %w", ErrUnsuitable, err)
		}
		return document{Staged: layout.Staged{}.WithRole(stamp, role)}, nil
	})
}

// StageParams changes the parameters of the next layout: change is given those that are wanted now.
//
// Errors: ErrNoCluster, ErrUnsuitable.
func (c *Cluster) StageParams(ctx context.Context, change func(*layout.Params)) error {
	return c.change(ctx, func(doc document, stamp hlc.Stamp) (document, error) {
		if len(doc.ID) == 0 {
			return doc, ErrNoCluster
		}
		_, params := doc.staged().Wanted(doc.Layout)
		change(&params)
		if err := params.Validate(); err != nil {
			return doc, fmt.Errorf("%w: %w", ErrUnsuitable, err)
		}
		return document{Staged: layout.Staged{}.WithParams(stamp, params)}, nil
	})
}

// Retire takes the role from a node in the next layout. The node stays a member.
//
// Errors: ErrNotMember if the node is none, or has no role to lose.
func (c *Cluster) Retire(ctx context.Context, node rt.NodeID) error {
	return c.change(ctx, func(doc document, stamp hlc.Stamp) (document, error) {
		roles, _ := doc.staged().Wanted(doc.Layout)
		for _, r := range roles {
			if r.Node == node {
				return document{Staged: layout.Staged{}.WithoutRole(stamp, node)}, nil
			}
		}
		return doc, fmt.Errorf("node %s has no role: %w", node.Short(), ErrNotMember)
	})
}

// Revert stages the roles and parameters of an earlier version of the layout; of the live one, which
// withdraws what is staged, if number is 0. A node that was removed for good gets no role again.
//
// Errors: ErrNoCluster, ErrNoLayout, ErrNoVersion.
func (c *Cluster) Revert(ctx context.Context, number uint64) error {
	return c.change(ctx, func(doc document, stamp hlc.Stamp) (document, error) {
		switch {
		case len(doc.ID) == 0:
			return doc, ErrNoCluster
		case doc.Layout == nil:
			return doc, fmt.Errorf("%w: nothing to go back to", ErrNoLayout)
		}
		roles, params := doc.Layout.Roles, doc.Layout.Params
		if number != 0 {
			var err error
			if roles, params, err = doc.roles(number); err != nil {
				return doc, err
			}
		}
		var delta layout.Staged
		wanted, wantedParams := doc.staged().Wanted(doc.Layout)
		for _, change := range layout.Changes(wanted, roles) {
			switch {
			case change.To == nil:
				delta = delta.WithoutRole(stamp, change.Node)
			case doc.present(change.Node):
				delta = delta.WithRole(stamp, *change.To)
			}
		}
		if params != wantedParams {
			delta = delta.WithParams(stamp, params)
		}
		return document{Staged: delta}, nil
	})
}
