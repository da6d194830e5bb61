package cli

import (
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"granary/core/api/admin"
	"granary/prod/config"
)

// table prints rows in columns.
type table struct {
	a    *app
	w    *tabwriter.Writer
	head []string
	rows int
}

func (a *app) table(head ...string) *table {
	return &table{a: a, w: tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0), head: head}
}

func (t *table) row(cells ...any) {
	if t.rows == 0 {
		fmt.Fprintln(t.w, strings.Join(t.head, "\t"))
	}
	t.rows++
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(t.w, "\t")
		}
		if s := fmt.Sprint(c); s != "" {
			fmt.Fprint(t.w, s)
		} else {
			fmt.Fprint(t.w, "-")
		}
	}
	fmt.Fprintln(t.w)
}

// end prints the table, or, if it has no rows, a sentence.
func (t *table) end(empty string) {
	if t.rows == 0 {
		t.a.printf("%s\n", empty)
	}
	t.w.Flush()
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func short(id string) string { return id[:min(len(id), 8)] }

func approx[N int64 | uint64](n N) string { return config.Size(n).Approx() }

type statusCmd struct{}

// Run shows the node and its cluster.
func (statusCmd) Run(a *app) error {
	var s admin.Status
	if err := a.ask("GET", "/v1/status", nil, &s); err != nil {
		return err
	}
	return a.print(s, func() { a.status(s) })
}

func (a *app) status(s admin.Status) {
	ready := "ready"
	if !s.Ready {
		ready = "NOT READY: " + s.Missing
	}
	dev := ""
	if s.Dev {
		dev = ", a --dev store"
	}
	up := (time.Duration(s.Node.UptimeSeconds) * time.Second).String()
	a.printf("node     %s (%s), granary %s, up %s%s\n", s.Node.Name, short(s.Node.ID), s.Version, up, dev)
	a.printf("S3       %s, region %s: %s\n", s.S3.Endpoint, s.S3.Region, ready)
	a.printf("storage  metadata %s, disk %s free of %s\n", approx(s.Storage.MetadataBytes),
		approx(s.Storage.DiskFree),
		approx(s.Storage.DiskTotal))
	if c := s.Cluster; c != nil {
		a.printf("cluster  %s, %s", short(c.ID), plural(c.Replicas, "replica"))
		if c.Layout > 0 {
			a.printf(", layout version %d, room for %s", c.Layout, approx(c.Usable))
		}
		a.printf("\n\n")
		a.nodes(s.Nodes)
	}
	a.list("\nWarnings", "!", s.Warnings)
	a.list("\nWhat this version does not do", "-", s.Notes)
}

func (a *app) list(title, mark string, lines []string) {
	if len(lines) == 0 {
		return
	}
	a.printf("%s:\n", title)
	for _, line := range lines {
		a.printf("  %s %s\n", mark, line)
	}
}

func (a *app) nodes(list []admin.Node) {
	t := a.table("NODE", "NAME", "ZONE", "CAPACITY", "PARTITIONS", "ADDRESS", "STATE", "RTT")
	for _, n := range list {
		capacity, state, rtt := approx(n.Capacity), "down", ""
		if n.Capacity == 0 {
			capacity = "gateway"
		}
		switch {
		case n.Removed:
			state, capacity = "removed", ""
		case n.Self:
			state = "this node"
		case n.Connected:
			state = "up"
		}
		if n.RTTMillis > 0 {
			rtt = fmt.Sprintf("%.1f ms", n.RTTMillis)
		}
		t.row(short(n.ID), n.Name, n.Zone, capacity, n.Partitions, n.Address, state, rtt)
	}
	t.end("no nodes: this node belongs to no cluster; see granary init and granary join")
}

type nodeListCmd struct{}

// Run lists the members.
func (nodeListCmd) Run(a *app) error {
	var list []admin.Node
	if err := a.ask("GET", "/v1/nodes", nil, &list); err != nil {
		return err
	}
	return a.print(list, func() { a.nodes(list) })
}

type nodeRemoveCmd struct {
	Node string `arg:"" help:"Id, the beginning of it, or name."`
}

// Run removes a member.
func (c nodeRemoveCmd) Run(a *app) error {
	if err := a.ask("DELETE", "/v1/nodes/"+url.PathEscape(c.Node), nil, nil); err != nil {
		return err
	}
	return a.print(admin.Done{}, func() {
		a.printf("removed node %s; it can join again only with an "+
			"empty folder\n", c.Node)
	})
}

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
	zones := "as many zones as there are"
	if l.MinZones > 0 {
		zones = "at least " + plural(l.MinZones, "zone")
	}
	if l.Version == 0 {
		a.printf("no layout yet: %s\nwanted: %s in %s, %s\n", l.Missing, plural(l.Replicas, "replica"), zones,
			plural(l.Partitions, "partition"))
	} else {
		a.printf("layout version %d: %s in %s, %s, room for %s\n\n", l.Version,
			plural(l.Replicas, "replica"), zones,
			plural(l.Partitions, "partition"), approx(l.Usable))
		t := a.table("NODE", "NAME", "ZONE", "CAPACITY", "PARTITIONS", "TAGS")
		for _, r := range l.Roles {
			t.row(short(r.Node), r.Name, r.Zone, capacity(r), r.Partitions, strings.Join(r.Tags, ","))
		}
		t.end("no roles")
	}
	if len(l.Staged) == 0 {
		return
	}
	a.printf("\nstaged:\n")
	t := a.table("NODE", "NAME", "FROM", "TO")
	for _, c := range l.Staged {
		t.row(short(c.Node), c.Name, role(c.From), role(c.To))
	}
	t.end("")
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
	var l admin.Layout
	if err := a.ask("POST", "/v1/layout/assign", in, &l); err != nil {
		return err
	}
	return a.print(l, func() {
		a.layout(l)
		a.printf("\nApply it with granary layout apply.\n")
	})
}

type layoutApplyCmd struct{}

// Run applies what is staged.
func (layoutApplyCmd) Run(a *app) error {
	var done admin.Applied
	if err := a.ask("POST", "/v1/layout/apply", nil, &done); err != nil {
		return err
	}
	return a.print(done, func() { a.printf("layout version %d is live\n", done.Version) })
}
