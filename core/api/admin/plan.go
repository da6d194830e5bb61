package admin

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"granary/core/cluster"
	"granary/core/layout"
	"granary/core/layout/plan"
	"granary/core/rt"
)

// planNext answers what the next version would be, without making it.
func (h *Handler) planNext(r request, _ none) (Plan, error) {
	bandwidth, err := queryBytes(r, "bandwidth")
	if err != nil {
		return Plan{}, err
	}
	c, err := h.planned(r)
	if err != nil {
		return Plan{}, err
	}
	in := inputOf(h.Env.Self(), c)
	in.AnyBandwidth = bandwidth
	report, err := plan.Make(in)
	if err != nil {
		return Plan{}, err
	}
	return Plan{Report: *report, Unchanged: unchanged(c)}, nil
}

// planned returns the status of a cluster to plan for.
func (h *Handler) planned(request) (cluster.Status, error) {
	c := h.Cluster.Status()
	if len(c.ID) == 0 {
		return c, cluster.ErrNoCluster
	}
	return c, nil
}

// unchanged reports whether nothing is staged that the live layout does not have.
func unchanged(c cluster.Status) bool {
	return c.Layout != nil && len(c.Pending) == 0 && !c.PendingParams
}

// inputOf is what is to be planned for a cluster: what is staged.
// The speeds of nodes are those at which this one, self, was seen to send to them.
func inputOf(self rt.NodeID, c cluster.Status) plan.Input {
	in := plan.Input{Previous: c.Layout, Roles: c.Roles, Params: c.Params, Names: namesOf(c),
		Bandwidth: map[rt.NodeID]uint64{}}
	fastest := uint64(0)
	for _, n := range c.Nodes {
		if !n.Connected && !n.Removed {
			in.Down = append(in.Down, n.ID)
		}
		in.Bandwidth[n.ID] = n.Bandwidth
		fastest = max(fastest, n.Bandwidth)
	}
	in.Bandwidth[self] = fastest // what it sent to whoever took the most
	return in
}

// namesOf calls every member by a name of its own: what two are called is followed by their ids.
func namesOf(c cluster.Status) map[rt.NodeID]string {
	count := map[string]int{}
	for _, n := range c.Nodes {
		count[n.Member.Name]++
	}
	names := map[rt.NodeID]string{}
	for _, n := range c.Nodes {
		switch name := n.Member.Name; {
		case name == "":
		case count[name] > 1:
			names[n.ID] = name + "-" + n.ID.Short()
		default:
			names[n.ID] = name
		}
	}
	return names
}

// queryBytes is a number of bytes in the query, 0 if it is absent.
func queryBytes(r request, name string) (uint64, error) {
	text := r.http.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, badRequest("%s=%.40q: want a number of bytes", name, text)
	}
	return n, nil
}

func (h *Handler) apply(r request, in Apply) (Applied, error) {
	if err := h.Cluster.Sync(r.ctx); err != nil {
		return Applied{}, err
	}
	c, err := h.planned(r)
	if err != nil {
		return Applied{}, err
	}
	report, err := plan.Make(inputOf(h.Env.Self(), c))
	if err != nil {
		return Applied{}, err
	}
	if in.Version != 0 && in.Version != report.Number {
		return Applied{}, notNext(report, in.Version)
	}
	if unchanged(c) {
		return Applied{Version: c.Layout.Number, Unchanged: true}, nil
	}
	if c.Layout == nil && refusedFor(report, plan.TooFewNodes, plan.TooFewZones) {
		return Applied{}, fmt.Errorf("%w: %s", cluster.ErrNotReady, c.Missing)
	}
	if err := in.permit(report); err != nil {
		return Applied{}, err
	}
	return Applied{Version: report.Number}, h.Cluster.Adopt(r.ctx, report.Next)
}

func refusedFor(r *plan.Report, codes ...plan.Code) bool {
	return slices.ContainsFunc(r.Refusals, func(n plan.Notice) bool { return slices.Contains(codes, n.Code) })
}

// permit refuses a layout that cannot be, or that has what is to be confirmed and was not.
func (c Confirmation) permit(r *plan.Report) error {
	if err := Refused(r); err != nil {
		return err
	}
	var open []plan.Notice
	var codes []string
	for _, n := range r.Warnings {
		if n.Confirm && !c.Yes && !slices.Contains(c.Confirm, string(n.Code)) {
			open = append(open, n)
			if !slices.Contains(codes, string(n.Code)) {
				codes = append(codes, string(n.Code))
			}
		}
	}
	if len(open) == 0 {
		return nil
	}
	return &Error{Status: http.StatusConflict, Code: "needs_confirmation",
		Message: fmt.Sprintf("layout version %d was not applied:\n%s", r.Number, sentences(open)),
		Hint:    "if that is meant, confirm it: --confirm " + strings.Join(codes, ","), Notices: open}
}

// Refused returns why the layout of a report cannot be, nil if it can.
func Refused(r *plan.Report) error {
	if len(r.Refusals) == 0 {
		return nil
	}
	return &Error{Status: http.StatusBadRequest, Code: "unsuitable_layout",
		Message: "there can be no such layout:\n" + sentences(r.Refusals), Notices: r.Refusals}
}

// sentences has each notice with its remedy.
func sentences(list []plan.Notice) string {
	var lines []string
	for _, n := range list {
		line := fmt.Sprintf("%s: %s", n.Code, n.Text)
		if n.Remedy != "" {
			line += "; " + n.Remedy
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func (h *Handler) explain(r request, _ none) (Explained, error) {
	c, err := h.planned(r)
	if err != nil {
		return Explained{}, err
	}
	in := inputOf(h.Env.Self(), c)
	in.Next = c.Layout
	report, err := plan.Make(in)
	if err != nil {
		return Explained{}, err
	}
	if err := Refused(report); err != nil {
		return Explained{}, err
	}
	e := Explained{Report: *report}
	what := r.http.PathValue("node")
	if what == "" {
		e.Text = report.Explain()
		return e, nil
	}
	n, err := h.find(c, what)
	if err != nil {
		return Explained{}, err
	}
	text, ok := report.ExplainNode(n.ID)
	if !ok {
		return Explained{}, &Error{Status: http.StatusNotFound, Code: "no_such_node",
			Message: what + " has no role in the layout", Hint: "see granary layout show"}
	}
	e.Text = text
	return e, nil
}

// simulate answers what the layout would be after changes, which are not staged.
func (h *Handler) simulate(r request, in Simulate) (Simulation, error) {
	c, err := h.planned(r)
	if err != nil {
		return Simulation{}, err
	}
	input := inputOf(h.Env.Self(), c)
	input.AnyBandwidth = in.Bandwidth
	if c.Layout != nil && !in.Staged {
		input.Roles, input.Params = c.Layout.Roles, c.Layout.Params
	}
	input.Roles = slices.Clone(input.Roles)
	input.Params = in.Over(input.Params)
	for _, change := range []func(cluster.Status, *plan.Input, Simulate) error{h.remove, h.resize, h.add} {
		if err := change(c, &input, in); err != nil {
			return Simulation{}, err
		}
	}
	report, err := plan.Make(input)
	if err != nil {
		return Simulation{}, err
	}
	if err := Refused(report); err != nil {
		return Simulation{}, err
	}
	return SimulationOf(report), nil
}

// roleIn returns where the role of a node that a person means is.
func (h *Handler) roleIn(c cluster.Status, roles []layout.Role, what string) (int, error) {
	n, err := h.find(c, what)
	if err != nil {
		return 0, err
	}
	i := slices.IndexFunc(roles, func(r layout.Role) bool { return r.Node == n.ID })
	if i < 0 {
		return 0, &Error{Status: http.StatusNotFound, Code: "no_such_node",
			Message: what + " has no role in this layout", Hint: "see granary layout show; add it instead"}
	}
	return i, nil
}

func (h *Handler) remove(c cluster.Status, to *plan.Input, in Simulate) error {
	for _, what := range in.Remove {
		i, err := h.roleIn(c, to.Roles, what)
		if err != nil {
			return err
		}
		to.Roles = slices.Delete(to.Roles, i, i+1)
	}
	return nil
}

func (h *Handler) resize(c cluster.Status, to *plan.Input, in Simulate) error {
	for _, resized := range in.Resize {
		i, err := h.roleIn(c, to.Roles, resized.Node)
		if err != nil {
			return err
		}
		to.Roles[i].Capacity = resized.Capacity
	}
	return nil
}

func (h *Handler) add(c cluster.Status, to *plan.Input, in Simulate) error {
	for _, added := range in.Add {
		id := layout.NamedNode(added.Name)
		if n, err := h.find(c, added.Name); err == nil { // a member that has no role yet
			id = n.ID
		}
		role := layout.Role{Node: id, Zone: layout.ZoneName(added.Zone), Capacity: added.Capacity}
		if added.Name == "" {
			return badRequest("a node to add has no name")
		}
		if slices.ContainsFunc(to.Roles, func(r layout.Role) bool { return r.Node == id }) {
			e := badRequest("%s is in the layout already", added.Name)
			e.Hint = "resize it, or add a node of another name"
			return e
		}
		if err := checkZone(added.Zone); err != nil {
			return err
		}
		to.Roles = append(to.Roles, role)
		to.Names[id] = added.Name
	}
	return nil
}

// SimulationOf returns what a report of a layout that can be says, with its table.
func SimulationOf(r *plan.Report) Simulation {
	s := Simulation{Usable: r.Usable.After, Bound: r.Usable.Bound, PartitionSize: r.Usable.PartitionSize,
		Limiting: r.Limit.Limiting, Prices: map[string]float64{}, Version: r.Number, Split: r.Next.Split,
		Params: paramsOf(r.Next.Params), Report: r}
	if r.Usable.Before > 0 {
		s.Moves = r.Migration.Replicas
	}
	names := map[string]string{}
	for _, n := range r.Nodes {
		names[n.ID] = n.Name
		if n.Removed {
			continue
		}
		s.Nodes = append(s.Nodes, Described{Name: n.Name, Zone: n.Zone, Capacity: n.Capacity,
			Partitions: n.After})
		if n.Capacity > 0 {
			s.Prices[n.Name] = n.Price
		}
	}
	for p := range layout.Partition(r.Next.Params.Partitions) {
		row := make([]string, 0, r.Next.Params.Replicas)
		for _, node := range r.Next.Replicas(p) {
			row = append(row, names[node.String()])
		}
		s.Table = append(s.Table, row)
	}
	return s
}
