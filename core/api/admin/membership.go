package admin

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"granary/core/cluster"
	"granary/core/layout"
)

// prefixMin is the shortest beginning of a node id that names a node.
const prefixMin = 4

func (h *Handler) listNodes(request, none) ([]Node, error) {
	list := h.nodes(h.Cluster.Status())
	if list == nil {
		list = []Node{}
	}
	return list, nil
}

// find returns the member that a person means.
func (h *Handler) find(c cluster.Status, what string) (cluster.NodeStatus, error) {
	var found []cluster.NodeStatus
	for _, n := range c.Nodes {
		id := n.ID.String()
		begins := len(what) >= prefixMin && strings.HasPrefix(id, strings.ToLower(what))
		if what == id || n.Member.Name == what || begins {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return cluster.NodeStatus{}, &Error{Status: http.StatusNotFound, Code: "no_such_node",
			Message: "no node has the id or name " + what, Hint: "see granary status"}
	}
	return cluster.NodeStatus{}, &Error{Status: http.StatusConflict, Code: "ambiguous_node",
		Message: "more than one node is called " + what, Hint: "use more of its id: see granary status"}
}

func (h *Handler) removeNode(r request, _ none) (Done, error) {
	n, err := h.find(h.Cluster.Status(), r.http.PathValue("node"))
	if err != nil {
		return Done{}, err
	}
	return Done{}, h.Cluster.Remove(r.ctx, n.ID)
}

func (h *Handler) acceptLoss(r request, in AcceptLoss) (Done, error) {
	n, err := h.find(h.Cluster.Status(), r.http.PathValue("node"))
	if err != nil {
		return Done{}, err
	}
	if !in.Yes {
		e := badRequest("what node %s alone holds would be lost, for good: say yes to that", nameOf(n))
		e.Hint = "one node of three that is gone needs no such word: granary layout remove, then layout apply"
		return Done{}, e
	}
	return Done{}, h.Cluster.AcceptLoss(r.ctx, n.ID)
}

func (h *Handler) token(r request, _ none) (Token, error) {
	if h.Facts(r.ctx).Dev {
		return Token{}, errDev()
	}
	t, err := h.Cluster.NewToken(r.ctx)
	if err != nil {
		return Token{}, err
	}
	return Token{Token: t.String(), Address: t.Addr, Expires: h.Env.Wall().Add(cluster.TokenTTL)}, nil
}

// zoneMax bounds a zone's name, in bytes.
const zoneMax = 64

// checkZone refuses names that are not one short line of text, or that differ from another only by space
// around them.
func checkZone(zone string) error {
	if len(zone) > zoneMax || !utf8.ValidString(zone) || strings.TrimSpace(zone) != zone ||
		strings.ContainsFunc(zone, unicode.IsControl) {
		return badRequest("zone %.80q: want at most %d bytes of text, without space around it or control "+
			"characters", zone, zoneMax)
	}
	return nil
}

// role returns the role that a node asks for itself.
func (h *Handler) role(r request, o Offer) (layout.Role, error) {
	f := h.Facts(r.ctx)
	switch {
	case f.Dev:
		return layout.Role{}, errDev()
	case o.Gateway && o.Capacity > 0:
		return layout.Role{}, badRequest("a gateway has no capacity")
	}
	if o.Zone == "" {
		o.Zone = f.Zone
	}
	if o.Zone == "" {
		e := badRequest("no zone given")
		e.Hint = "name the place this node shares its fate with: --zone ZONE, or node.zone in the " +
			"configuration"
		return layout.Role{}, e
	}
	if err := checkZone(o.Zone); err != nil {
		return layout.Role{}, err
	}
	if !o.Gateway && o.Capacity == 0 {
		if o.Capacity = f.Capacity; o.Capacity == 0 {
			e := badRequest("no capacity given, and the disk's is not known: %s", f.DiskError)
			e.Hint = "say what the node offers: --capacity 500G, or node.capacity in the configuration"
			return layout.Role{}, e
		}
	}
	return layout.Role{Node: h.Env.Self(), Zone: layout.ZoneName(o.Zone), Capacity: o.Capacity}, nil
}

func (h *Handler) init(r request, in Init) (Status, error) {
	role, err := h.role(r, in.Offer)
	if err != nil {
		return Status{}, err
	}
	params := layout.DefaultParams()
	if in.Replicas != 0 {
		params.Replicas = in.Replicas
	}
	params.MinZones = in.MinZones
	if err := h.Cluster.Found(r.ctx, params, role); err != nil {
		return Status{}, err
	}
	h.Env.Info("cluster founded", "replicas", params.Replicas, "zone", role.Zone)
	return h.status(r, none{})
}

func (h *Handler) join(r request, in Join) (Status, error) {
	role, err := h.role(r, in.Offer)
	if err != nil {
		return Status{}, err
	}
	token, err := cluster.ParseToken(in.Token)
	if err != nil {
		return Status{}, err
	}
	if err := h.Cluster.JoinWith(r.ctx, token, role); err != nil {
		return Status{}, err
	}
	h.Env.Info("joined a cluster", "through", token.Addr, "zone", role.Zone)
	return h.status(r, none{})
}
