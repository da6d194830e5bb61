package plan

import (
	"fmt"

	"granary/core/layout"
	"granary/core/rt"
)

// Constraint limits what nodes store together, over what their capacities do: a licence, a power budget, a
// law. The sum over nodes of weight × bytes stored, plus Usable × the usable capacity, is at most AtMost.
// With Usable −0.5 and AtMost 0, the nodes hold at most half a replica of everything.
type Constraint struct {
	// Nodes and Zones have the weights, which add up where a node has both; absent is none.
	Nodes  map[rt.NodeID]float64
	Zones  map[layout.ZoneName]float64
	Usable float64
	AtMost float64 // bytes, not negative
}

// Constrained is what a cluster could hold under constraints.
type Constrained struct {
	// Usable is the bound, in bytes: what tables of ever more partitions would approach.
	Usable float64 `json:"usable_bytes"`
	// Stored is what each storing node holds then, in the order of the roles given; gateways hold nothing.
	Stored []float64 `json:"stored_bytes"`
}

// Constrain returns the most that a cluster could hold under constraints, by a linear program. Without any,
// it is the bound of Theorem 2.
//
// Errors: those of layout.NewBound; a negative AtMost; ErrTooLarge if there are too many sorts of nodes.
func Constrain(roles []layout.Role, p layout.Params, constraints ...Constraint) (*Constrained, error) {
	bound, err := layout.NewBound(roles, p)
	if err != nil {
		return nil, err
	}
	scale, _ := bound.Usable.Float64()
	all := classes(roles, scale, constraints)
	a := newAggregate(all, p.Replicas, levelsOf(all, roles, p))
	for i, limit := range constraints {
		if limit.AtMost < 0 {
			return nil, fmt.Errorf("plan: constraint %d: at most %g bytes: want zero or more", i,
				limit.AtMost)
		}
		terms := []term{{a.usable, limit.Usable}}
		most := max(0, limit.Usable)
		for j, c := range all {
			terms = append(terms, term{a.stored[j], c.weights[i]})
			most += max(0, c.weights[i]) * float64(len(c.nodes)) * min(c.capacity, 1)
		}
		if limit.AtMost/scale < most { // else it holds anyway
			a.atMost(limit.AtMost/scale, terms...)
		}
	}
	value, x, err := a.solve()
	if err != nil {
		return nil, err
	}
	out := &Constrained{Usable: -value * scale, Stored: make([]float64, len(roles))}
	held := map[rt.NodeID]float64{}
	for j, c := range all {
		for _, r := range c.nodes {
			held[r.Node] = x[a.stored[j]] * scale / float64(len(c.nodes))
		}
	}
	for i, r := range roles {
		out.Stored[i] = held[r.Node]
	}
	return out, nil
}
