package layout

import (
	"slices"

	"granary/core/crdt"
	"granary/core/hlc"
	"granary/core/rt"
)

// Staged is what the operators want, whether applied or not: the last word on each node's role and on the
// parameters. Nodes gossip and join it. It is never cleared: once a version says the same, nothing is
// pending, and what a lost apply wanted simply stays pending. Zero wants what is.
type Staged struct {
	Roles  crdt.Map[rt.NodeID, crdt.LWW[Wish]] `cbor:"1,keyasint,omitzero"`
	Params crdt.LWW[Params]                    `cbor:"2,keyasint,omitzero"`
}

// Wish is what the operators want of one node.
type Wish struct {
	// Remove means that the node shall have no role. The other fields are zero then.
	Remove   bool     `cbor:"1,keyasint,omitempty"`
	Zone     ZoneName `cbor:"2,keyasint,omitempty"`
	Capacity uint64   `cbor:"3,keyasint,omitempty"`
	Tags     []string `cbor:"4,keyasint,omitempty"`
}

// Join returns what is wanted by the last word of both.
func (s Staged) Join(o Staged) Staged {
	return Staged{Roles: s.Roles.Join(o.Roles), Params: s.Params.Join(o.Params)}
}

// WithRole stages a role. The caller validates it first, and takes stamp from its clock.
func (s Staged) WithRole(stamp hlc.Stamp, r Role) Staged {
	s.Roles = s.Roles.With(r.Node, crdt.LWW[Wish]{Stamp: stamp, Value: Wish{
		Zone: r.Zone, Capacity: r.Capacity, Tags: slices.Sorted(slices.Values(r.Tags)),
	}})
	return s
}

// WithoutRole stages the removal of a node.
func (s Staged) WithoutRole(stamp hlc.Stamp, node rt.NodeID) Staged {
	s.Roles = s.Roles.With(node, crdt.LWW[Wish]{Stamp: stamp, Value: Wish{Remove: true}})
	return s
}

// WithParams stages parameters. The caller validates them first.
func (s Staged) WithParams(stamp hlc.Stamp, p Params) Staged {
	s.Params = s.Params.Join(crdt.LWW[Params]{Stamp: stamp, Value: p})
	return s
}

// Wanted returns roles, ascending by node, and parameters: those of current with what is staged laid over
// them. A nil current has no roles and DefaultParams.
func (s Staged) Wanted(current *Version) ([]Role, Params) {
	params := DefaultParams()
	var roles []Role
	if current != nil {
		params = current.Params
		for _, r := range current.Roles {
			if _, ok := s.Roles.Get(r.Node); !ok {
				roles = append(roles, r)
			}
		}
	}
	if s.Params.Stamp > 0 {
		params = s.Params.Value
	}
	for node, wish := range s.Roles.All() {
		if w := wish.Value; !w.Remove {
			roles = append(roles, Role{Node: node, Zone: w.Zone, Capacity: w.Capacity, Tags: w.Tags})
		}
	}
	slices.SortFunc(roles, compareRoles)
	return roles, params
}

// Next returns the version that follows current, nil for none, as it is wanted.
//
// Errors: those of Assign.
func (s Staged) Next(current *Version) (*Version, error) {
	roles, params := s.Wanted(current)
	return Assign(roles, params, current)
}

// Change is one difference between a layout and what is wanted.
type Change struct {
	Node rt.NodeID `cbor:"1,keyasint"`
	From *Role     `cbor:"2,keyasint,omitempty"` // nil for no role
	To   *Role     `cbor:"3,keyasint,omitempty"` // nil for no role
}

// Pending returns what Wanted would change in the roles of current, nil for none, ascending by node, and
// whether it would change the parameters.
func (s Staged) Pending(current *Version) (roles []Change, params bool) {
	wanted, wantedParams := s.Wanted(current)
	if current == nil {
		return Changes(nil, wanted), true
	}
	return Changes(current.Roles, wanted), wantedParams != current.Params
}

// Changes returns how roles differ from others, both ascending by node, and so are the changes. They point
// into both.
func Changes(from, to []Role) (list []Change) {
	for len(from) > 0 || len(to) > 0 {
		switch order := compareHeads(from, to); {
		case order < 0:
			list, from = append(list, Change{Node: from[0].Node, From: &from[0]}), from[1:]
		case order > 0:
			list, to = append(list, Change{Node: to[0].Node, To: &to[0]}), to[1:]
		default:
			if !equalRoles(from[0], to[0]) {
				list = append(list, Change{Node: from[0].Node, From: &from[0], To: &to[0]})
			}
			from, to = from[1:], to[1:]
		}
	}
	return list
}

// compareHeads compares the first nodes of two lists, not both empty; an empty list is last.
func compareHeads(a, b []Role) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return compareRoles(a[0], b[0])
}

func equalRoles(a, b Role) bool {
	return a.Node == b.Node && a.Zone == b.Zone && a.Capacity == b.Capacity && slices.Equal(a.Tags, b.Tags)
}
