package cli

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	"granary/core/api/admin"
	"granary/core/layout/plan"
	"granary/core/rt"
	"granary/prod/config"
	"granary/prod/roles"
)

// bandwidthFlag is a speed of the network.
type bandwidthFlag struct {
	Bandwidth string `placeholder:"SIZE" help:"Bytes per second of nodes that were not measured: 100M."`
}

func (f bandwidthFlag) bandwidth() (uint64, error) {
	if f.Bandwidth == "" {
		return 0, nil
	}
	size, err := config.ParseSize(f.Bandwidth)
	if err != nil {
		return 0, usageError{fmt.Errorf("--bandwidth: %w", err)}
	}
	return uint64(size), nil
}

type layoutPlanCmd struct{ bandwidthFlag }

// Run shows what the next version would be.
func (c layoutPlanCmd) Run(a *app) error {
	path := "/v1/layout/plan"
	bandwidth, err := c.bandwidth()
	if err != nil {
		return err
	}
	if bandwidth > 0 {
		path += fmt.Sprintf("?bandwidth=%d", bandwidth)
	}
	var p admin.Plan
	if err := a.ask("GET", path, nil, &p); err != nil {
		return err
	}
	err = a.print(p, func() {
		if p.Unchanged {
			a.printf("nothing is staged; granary layout explain says what limits the live layout\n")
			return
		}
		a.printf("%s", p.Text())
		if len(p.Refusals) == 0 {
			a.printf("\nApply it with granary layout apply --version %d%s\n", p.Number,
				confirmation(&p.Report))
		}
	})
	if err == nil && len(p.Refusals) > 0 {
		err = errors.New("what is staged cannot be applied")
	}
	return err
}

// confirmation is the flag that confirms what a report asks to confirm.
func confirmation(r *plan.Report) string {
	var codes []string
	for _, n := range r.Warnings {
		if n.Confirm && !slices.Contains(codes, string(n.Code)) {
			codes = append(codes, string(n.Code))
		}
	}
	if len(codes) == 0 {
		return ""
	}
	return " --confirm " + strings.Join(codes, ",")
}

type layoutExplainCmd struct {
	Node string `arg:"" optional:"" help:"Id, the beginning of it, or name. Without: the whole layout."`
}

// Run explains the live layout.
func (c layoutExplainCmd) Run(a *app) error {
	path := "/v1/layout/explain"
	if c.Node != "" {
		path += "/" + url.PathEscape(c.Node)
	}
	var e admin.Explained
	if err := a.ask("GET", path, nil, &e); err != nil {
		return err
	}
	return a.print(e, func() { a.printf("%s", e.Text) })
}

type layoutRebalanceCmd struct {
	Budget string `required:"" placeholder:"SIZE" help:"What may be moved, were the cluster full: 500G."`
	DryRun bool   `help:"Only show what it would do."`
	applyFlags
}

// Run places anew what is there.
func (c layoutRebalanceCmd) Run(a *app) error {
	budget, err := config.ParseSize(c.Budget)
	if err != nil {
		return usageError{fmt.Errorf("--budget: %w", err)}
	}
	in := admin.Rebalance{Budget: uint64(budget), DryRun: c.DryRun, Apply: c.apply()}
	var done admin.Rebalanced
	if err := a.ask("POST", "/v1/layout/rebalance", in, &done); err != nil {
		return err
	}
	return a.print(done, func() {
		switch {
		case done.Unchanged:
			a.printf("nothing to gain: layout version %d stays\n", done.Version)
		case c.DryRun:
			a.printf("%s\nDo it with granary layout rebalance --budget %s --version %d%s\n",
				done.Report.Text(), c.Budget, done.Version, confirmation(done.Report))
		default:
			a.printf("%s\nlayout version %d is live\n", done.Report.Text(), done.Version)
		}
	})
}

type layoutSimulateCmd struct {
	Roles    string   `placeholder:"FILE" help:"Take the cluster from this file, without a server."`
	Previous string   `placeholder:"FILE" help:"With --roles: follow the layout that --json printed."`
	Remove   []string `placeholder:"NODE" help:"Without this node."`
	Add      []string `placeholder:"NAME:ZONE:SIZE" help:"With one more node; size 0 is a gateway."`
	Resize   []string `placeholder:"NODE:SIZE" help:"With another capacity of a node."`
	Staged   bool     `help:"Start from what is staged, instead of what is live."`
	paramFlags
	bandwidthFlag
}

// Run shows what a layout would be.
func (c layoutSimulateCmd) Run(a *app) error {
	in, err := c.changes()
	if err != nil {
		return err
	}
	var s admin.Simulation
	switch {
	case c.Roles != "" && c.Staged:
		return usageError{errStagedFile}
	case c.Roles == "" && c.Previous != "":
		return usageError{errors.New("--previous follows a layout of files: give --roles FILE too")}
	case c.Roles != "":
		s, err = simulate(c.Roles, c.Previous, in)
	default:
		err = a.ask("POST", "/v1/layout/simulate", in, &s)
	}
	if err != nil {
		return err
	}
	return a.print(s, func() { a.printf("%s", s.Report.Text()) })
}

// changes reads the flags.
func (c layoutSimulateCmd) changes() (in admin.Simulate, err error) {
	in.Staged, in.Remove = c.Staged, c.Remove
	if in.Bandwidth, err = c.bandwidth(); err != nil {
		return in, err
	}
	if in.NewParams, err = c.params(); err != nil {
		return in, err
	}
	for _, text := range c.Add {
		rest, size, ok := cutLast(text, ":")
		name, zone, ok2 := cutLast(rest, ":")
		if !ok || !ok2 {
			return in, usageError{fmt.Errorf("--add %s: want NAME:ZONE:SIZE, as in persil:neptune:10T", text)}
		}
		capacity, err := config.ParseSize(size)
		if err != nil {
			return in, usageError{fmt.Errorf("--add %s: %w", text, err)}
		}
		in.Add = append(in.Add, admin.Imagined{Name: name, Zone: zone, Capacity: uint64(capacity)})
	}
	for _, text := range c.Resize {
		name, size, ok := cutLast(text, ":")
		if !ok {
			return in, usageError{fmt.Errorf("--resize %s: want NODE:SIZE, as in celeri:10T", text)}
		}
		capacity, err := config.ParseSize(size)
		if err != nil {
			return in, usageError{fmt.Errorf("--resize %s: %w", text, err)}
		}
		in.Resize = append(in.Resize, admin.Resized{Node: name, Capacity: uint64(capacity)})
	}
	return in, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// simulate makes the layout of a file, changed, that follows the one in another file, if that is named.
func simulate(path, previous string, in admin.Simulate) (s admin.Simulation, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return s, usageError{err}
	}
	f, err := roles.Parse(path, raw)
	if err != nil {
		return s, usageError{err}
	}
	input := plan.Input{AnyBandwidth: in.Bandwidth, Names: map[rt.NodeID]string{}}
	if previous != "" {
		if raw, err = os.ReadFile(previous); err != nil {
			return s, usageError{err}
		}
		if input.Previous, input.Names, err = roles.ParsePrevious(previous, raw, f); err != nil {
			return s, usageError{err}
		}
	}
	if err := imagine(path, f, in); err != nil {
		return s, usageError{err}
	}
	maps.Copy(input.Names, f.Names())
	input.Roles, input.Params = f.Roles(), in.Over(f.Params)
	report, err := plan.Make(input)
	if err != nil {
		return s, err
	}
	if err := admin.Refused(report); err != nil {
		return s, err
	}
	return admin.SimulationOf(report), nil
}

// imagine changes the nodes of a file.
func imagine(path string, f *roles.File, in admin.Simulate) error {
	find := func(name string) int {
		return slices.IndexFunc(f.Nodes, func(n roles.Node) bool { return n.Name == name })
	}
	absent := func(flag, name string) error {
		var names []string
		for _, n := range f.Nodes {
			names = append(names, n.Name)
		}
		return fmt.Errorf("%s %s: %s has no such node; it has %.200s", flag, name, path,
			strings.Join(names, ", "))
	}
	for _, name := range in.Remove {
		i := find(name)
		if i < 0 {
			return absent("--remove", name)
		}
		f.Nodes = slices.Delete(f.Nodes, i, i+1)
	}
	for _, r := range in.Resize {
		i := find(r.Node)
		if i < 0 {
			return absent("--resize", r.Node)
		}
		f.Nodes[i].Capacity = r.Capacity
	}
	for _, added := range in.Add {
		if find(added.Name) >= 0 {
			return fmt.Errorf("--add %s: %s has a node of that name: use --resize, or another name",
				added.Name, path)
		}
		n := roles.Node{Name: added.Name, Zone: added.Zone, Capacity: added.Capacity}
		if n.Name == "" || n.Zone == "" {
			return fmt.Errorf("--add %s:%s: want a name and a zone", n.Name, n.Zone)
		}
		f.Nodes = append(f.Nodes, n)
	}
	return nil
}
