package admin

import (
	"granary/core/cluster"
	"granary/core/layout"
	"granary/core/rt"
)

func (h *Handler) layout(request, none) (Layout, error) {
	c := h.Cluster.Status()
	if len(c.ID) == 0 {
		return Layout{}, cluster.ErrNoCluster
	}
	l := Layout{Params: paramsOf(c.Params), Roles: []Role{}, Staged: changesOf(c, c.Pending),
		Missing: c.Missing}
	if c.Layout != nil {
		l.Version, l.Usable, l.Params = c.Layout.Number, c.Layout.Usable(), paramsOf(c.Layout.Params)
		for _, r := range c.Layout.Roles {
			l.Roles = append(l.Roles, roleOf(c, r))
		}
		if c.PendingParams {
			wanted := paramsOf(c.Params)
			l.StagedParams = &wanted
		}
	}
	return l, nil
}

func paramsOf(p layout.Params) Params {
	return Params{Replicas: p.Replicas, MinZones: p.MinZones, MinRegions: p.MinRegions,
		Partitions: p.Partitions, Tolerance: p.Tolerance}
}

func roleOf(c cluster.Status, r layout.Role) Role {
	role := Role{Node: r.Node.String(), Zone: string(r.Zone), Capacity: r.Capacity, Tags: r.Tags}
	for _, n := range c.Nodes {
		if n.ID == r.Node {
			role.Name, role.Partitions = n.Member.Name, n.Partitions
		}
	}
	return role
}

func changesOf(c cluster.Status, changes []layout.Change) []Change {
	list := []Change{}
	for _, p := range changes {
		change := Change{Node: p.Node.String(), Name: nameIn(c, p.Node)}
		if p.From != nil {
			from := roleOf(c, *p.From)
			change.From = &from
		}
		if p.To != nil {
			to := roleOf(c, *p.To)
			change.To = &to
		}
		list = append(list, change)
	}
	return list
}

// nameIn is the name of a node, empty if it has none.
func nameIn(c cluster.Status, id rt.NodeID) string {
	for _, n := range c.Nodes {
		if n.ID == id {
			return n.Member.Name
		}
	}
	return ""
}

func (h *Handler) assign(r request, in Assign) (Layout, error) {
	c, err := h.stageable(r)
	if err != nil {
		return Layout{}, err
	}
	n, err := h.find(c, in.Node)
	if err != nil {
		return Layout{}, err
	}
	switch {
	case in.Gateway && in.Capacity > 0:
		return Layout{}, badRequest("a gateway has no capacity")
	case !in.Gateway && in.Capacity == 0:
		in.Capacity = n.Capacity
	}
	if !in.Gateway && in.Capacity == 0 {
		return Layout{}, badRequest("no capacity given, and the node has none to keep")
	}
	if in.Zone == "" {
		in.Zone = string(n.Zone)
	}
	if err := checkZone(in.Zone); err != nil {
		return Layout{}, err
	}
	role := layout.Role{Node: n.ID, Zone: layout.ZoneName(in.Zone), Capacity: in.Capacity, Tags: in.Tags}
	if err := h.Cluster.Stage(r.ctx, role); err != nil {
		return Layout{}, err
	}
	return h.layout(r, none{})
}

func (h *Handler) retire(r request, in Retire) (Layout, error) {
	c, err := h.stageable(r)
	if err != nil {
		return Layout{}, err
	}
	n, err := h.find(c, in.Node)
	if err != nil {
		return Layout{}, err
	}
	if err := h.Cluster.Retire(r.ctx, n.ID); err != nil {
		return Layout{}, err
	}
	return h.layout(r, none{})
}

func (h *Handler) stageParams(r request, in NewParams) (Layout, error) {
	if _, err := h.stageable(r); err != nil {
		return Layout{}, err
	}
	if in == (NewParams{}) {
		e := badRequest("no parameter given")
		e.Hint = "give replicas, min_zones, min_regions, partitions or tolerance; what is not given stays"
		return Layout{}, e
	}
	if err := h.Cluster.StageParams(r.ctx, func(p *layout.Params) { *p = in.Over(*p) }); err != nil {
		return Layout{}, err
	}
	return h.layout(r, none{})
}

// Over returns p with the parameters that are given instead of its own.
func (in NewParams) Over(p layout.Params) layout.Params {
	for _, f := range []struct{ from, to *int }{{in.Replicas, &p.Replicas}, {in.MinZones, &p.MinZones},
		{in.MinRegions, &p.MinRegions}, {in.Partitions, &p.Partitions}, {in.Tolerance, &p.Tolerance}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	return p
}

func (h *Handler) revert(r request, in Revert) (Layout, error) {
	if _, err := h.stageable(r); err != nil {
		return Layout{}, err
	}
	if err := h.Cluster.Revert(r.ctx, in.To); err != nil {
		return Layout{}, err
	}
	return h.layout(r, none{})
}

// stageable returns the status of a cluster whose next layout can be changed.
func (h *Handler) stageable(r request) (cluster.Status, error) {
	if h.Facts(r.ctx).Dev {
		return cluster.Status{}, errDev()
	}
	c := h.Cluster.Status()
	if len(c.ID) == 0 {
		return c, cluster.ErrNoCluster
	}
	return c, nil
}

func (h *Handler) layoutHistory(request, none) ([]Past, error) {
	c := h.Cluster.Status()
	if len(c.ID) == 0 {
		return nil, cluster.ErrNoCluster
	}
	list := []Past{}
	for _, v := range h.Cluster.History() {
		list = append(list, Past{Version: v.Number, Hash: v.Hash.String(), Made: v.Made.Time(),
			Live: c.Layout != nil && v.Number == c.Layout.Number, Params: paramsOf(v.Params),
			Changes: changesOf(c, v.Changes), Usable: v.Usable, Moves: v.Moves})
	}
	return list, nil
}
