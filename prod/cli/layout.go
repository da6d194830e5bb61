package cli

import (
	"errors"
	"fmt"
	"strings"

	"granary/core/api/admin"
	"granary/prod/config"
	"granary/prod/roles"
)

type layoutShowCmd struct{}

// Run shows the layout.
func (layoutShowCmd) Run(a *app) error {
	var l admin.Layout
	if err := a.ask("GET", "/v1/layout", nil, &l); err != nil {
		return err
	}
	return a.print(l, func() { a.layout(l) })
}

func (a *app) layout(l admin.Layout) {
	if l.Version == 0 {
		a.printf("no layout yet: %s\nwanted: %s\n", l.Missing, params(l.Params))
	} else {
		a.printf("layout version %d: %s, room for %s\n\n", l.Version, params(l.Params), approx(l.Usable))
		t := a.table("NODE", "NAME", "ZONE", "CAPACITY", "PARTITIONS", "TAGS")
		for _, r := range l.Roles {
			t.row(short(r.Node), r.Name, r.Zone, capacity(r), r.Partitions, strings.Join(r.Tags, ","))
		}
		t.end("no roles")
	}
	if l.StagedParams != nil {
		a.printf("\nstaged: %s\n", params(*l.StagedParams))
	}
	if len(l.Staged) > 0 {
		a.printf("\nstaged:\n")
		a.changes(l.Staged)
	}
}

func (a *app) changes(list []admin.Change) {
	t := a.table("NODE", "NAME", "FROM", "TO")
	for _, c := range list {
		t.row(short(c.Node), c.Name, role(c.From), role(c.To))
	}
	t.end("no role changes")
}

// params says what a layout is made with.
func params(p admin.Params) string {
	zones := "as many zones as there are"
	if p.MinZones > 0 {
		zones = "at least " + plural(p.MinZones, "zone")
	}
	if p.MinRegions > 1 {
		zones += " and " + plural(p.MinRegions, "region")
	}
	text := fmt.Sprintf("%s in %s, %s", plural(p.Replicas, "replica"), zones,
		plural(p.Partitions, "partition"))
	if p.Tolerance > 0 {
		text += ", tolerance " + roles.Tolerance(p.Tolerance).String()
	}
	return text
}

func capacity(r admin.Role) string {
	if r.Capacity == 0 {
		return "gateway"
	}
	return approx(r.Capacity)
}

func role(r *admin.Role) string {
	if r == nil {
		return "no role"
	}
	return fmt.Sprintf("%s in %s", capacity(*r), r.Zone)
}

type layoutAssignCmd struct {
	Node     string   `arg:"" help:"Id, the beginning of it, or name."`
	Zone     string   `placeholder:"ZONE" help:"Its place; by default as it is."`
	Capacity string   `placeholder:"SIZE" help:"What it offers; by default as it is."`
	Gateway  bool     `help:"It stores nothing."`
	Tag      []string `placeholder:"TAG" help:"For people."`
}

// Run stages a role.
func (c layoutAssignCmd) Run(a *app) error {
	in := admin.Assign{Node: c.Node, Zone: c.Zone, Gateway: c.Gateway, Tags: c.Tag}
	if c.Capacity != "" {
		size, err := config.ParseSize(c.Capacity)
		if err != nil {
			return usageError{fmt.Errorf("--capacity: %w", err)}
		}
		in.Capacity = uint64(size)
	}
	return a.stage("/v1/layout/assign", in)
}

// stage changes what is staged, and shows what is staged then.
func (a *app) stage(path string, in any) error {
	var l admin.Layout
	if err := a.ask("POST", path, in, &l); err != nil {
		return err
	}
	return a.print(l, func() {
		a.layout(l)
		if len(l.Staged) == 0 && l.StagedParams == nil {
			a.printf("\nNothing is staged.\n")
			return
		}
		a.printf("\nSee what it would do with granary layout plan; apply it with granary layout apply.\n")
	})
}

type layoutRemoveCmd struct {
	Node string `arg:"" help:"Id, the beginning of it, or name."`
}

// Run stages that a node has no role.
func (c layoutRemoveCmd) Run(a *app) error {
	return a.stage("/v1/layout/remove", admin.Retire{Node: c.Node})
}

// paramFlags are parameters of a layout.
type paramFlags struct {
	Replicas   *int    `placeholder:"N" help:"Copies of each partition, on distinct nodes."`
	MinZones   *int    `placeholder:"N" help:"Least number of zones among them; 0 is as many as there are."`
	MinRegions *int    `placeholder:"N" help:"Least number of regions: zones are named region/zone."`
	Partitions *int    `placeholder:"N" help:"A power of two; at least 12 per node is advised."`
	Tolerance  *string `placeholder:"SHARE" help:"Capacity that may be given up to move less: 1%, 0.01."`
}

func (f paramFlags) params() (admin.NewParams, error) {
	in := admin.NewParams{Replicas: f.Replicas, MinZones: f.MinZones, MinRegions: f.MinRegions,
		Partitions: f.Partitions}
	if f.Tolerance != nil {
		t, err := roles.ParseTolerance(*f.Tolerance)
		if err != nil {
			return in, usageError{fmt.Errorf("--tolerance: %w", err)}
		}
		in.Tolerance = (*int)(&t)
	}
	return in, nil
}

type layoutParamsCmd struct{ paramFlags }

// Run stages parameters.
func (c layoutParamsCmd) Run(a *app) error {
	in, err := c.params()
	if err != nil {
		return err
	}
	if in == (admin.NewParams{}) {
		return usageError{errors.New("nothing to change: give --replicas, --min-zones, --min-regions, " +
			"--partitions or --tolerance; granary layout show has the present ones")}
	}
	return a.stage("/v1/layout/params", in)
}

type layoutRevertCmd struct {
	To uint64 `placeholder:"VERSION" help:"Stage the roles and parameters of this earlier version."`
}

// Run withdraws what is staged, or stages an earlier version.
func (c layoutRevertCmd) Run(a *app) error {
	return a.stage("/v1/layout/revert", admin.Revert{To: c.To})
}

type layoutHistoryCmd struct{}

// Run shows the versions of the layout.
func (layoutHistoryCmd) Run(a *app) error {
	var list []admin.Past
	if err := a.ask("GET", "/v1/layout/history", nil, &list); err != nil {
		return err
	}
	return a.print(list, func() {
		for i, v := range list {
			live := ""
			if v.Live {
				live = ", live"
			}
			a.printf("version %d, %s%s: room for %s, %s\n", v.Version, day(v.Made), live, approx(v.Usable),
				plural(v.Moves, "replica")+" moved")
			if i == 0 || v.Params != list[i-1].Params {
				a.printf("  %s\n", params(v.Params))
			}
			for _, c := range v.Changes {
				a.printf("  %s: %s -> %s\n", called(c), role(c.From), role(c.To))
			}
		}
		if len(list) == 0 {
			a.printf("no layout yet; see granary layout show\n")
		}
	})
}

// called is what a person calls the node of a change.
func called(c admin.Change) string {
	if c.Name != "" {
		return c.Name
	}
	return short(c.Node)
}

// applyFlags say when a version may become live.
type applyFlags struct {
	Version uint64   `placeholder:"N" help:"Only if this is the number that the new version gets."`
	Confirm []string `placeholder:"CODE" help:"Go on in spite of these warnings of the plan."`
	Yes     bool     `help:"Go on in spite of all warnings of the plan."`
}

func (f applyFlags) apply() admin.Apply {
	return admin.Apply{Version: f.Version, Confirmation: admin.Confirmation{Confirm: f.Confirm, Yes: f.Yes}}
}

type layoutApplyCmd struct{ applyFlags }

// Run applies what is staged.
func (c layoutApplyCmd) Run(a *app) error {
	var done admin.Applied
	if err := a.ask("POST", "/v1/layout/apply", c.apply(), &done); err != nil {
		return err
	}
	return a.print(done, func() {
		if done.Unchanged {
			a.printf("nothing is staged: layout version %d stays\n", done.Version)
			return
		}
		a.printf("layout version %d is live\n", done.Version)
	})
}
