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
	if s.K2V != "" {
		a.printf("K2V      %s\n", s.K2V)
	}
	a.printf("storage  metadata %s, disk %s free of %s\n", approx(s.Storage.MetadataBytes),
		approx(s.Storage.DiskFree),
		approx(s.Storage.DiskTotal))
	for _, d := range s.Storage.Disks {
		a.disk(d)
	}
	if c := s.Cluster; c != nil {
		a.printf("cluster  %s, %s", short(c.ID), plural(c.Replicas, "replica"))
		if c.Layout > 0 {
			a.printf(", layout version %d, room for %s", c.Layout, approx(c.Usable))
		}
		a.printf("\n")
		a.change(c.Change)
		a.printf("\n")
		a.nodes(s.Nodes)
	}
	a.list("\nWarnings", "!", s.Warnings)
	a.list("\nWhat this version does not do", "-", s.Notes)
}

func (a *app) disk(d admin.Disk) {
	switch {
	case d.Error != "":
		a.printf("  disk   %s: NOT USED: %s\n", d.Path, d.Error)
	case d.Share == 0:
		a.printf("  disk   %s: %s free of %s, being emptied\n", d.Path, approx(d.Free), approx(d.Total))
	default:
		a.printf("  disk   %s: %s free of %s\n", d.Path, approx(d.Free), approx(d.Total))
	}
}

// change shows how far a change of the layout has come.
func (a *app) change(c *admin.LayoutChange) {
	if c == nil {
		return
	}
	a.printf("layout   changes from version %d to %d: %d of %d parts are read there, %d are closed "+
		"here\n", c.From, c.To, c.Readable, c.Parts, c.Retired)
	for _, w := range []struct {
		nodes []string
		what  string
	}{{c.Syncing, "to hold what they are given"}, {c.Carrying, "to hand over the registers"},
		{c.Closing, "to close what was before"}} {
		if len(w.nodes) > 0 {
			a.printf("         waits for %s %s\n", strings.Join(w.nodes, ", "), w.what)
		}
	}
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
		case n.Lost:
			state = "given up"
		case n.Syncing && n.Connected:
			state = "syncing"
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

type nodeAcceptLossCmd struct {
	Node string `arg:"" help:"Id, the beginning of it, or name."`
	Yes  bool   `help:"Yes, what it alone holds may be lost."`
}

// Run gives a node up for good.
func (c nodeAcceptLossCmd) Run(a *app) error {
	path := "/v1/nodes/" + url.PathEscape(c.Node) + "/accept-loss"
	if err := a.ask("POST", path, admin.AcceptLoss{Yes: c.Yes}, nil); err != nil {
		return err
	}
	return a.print(admin.Done{}, func() {
		a.printf("gave up node %s: quorums do without it from now on\n"+
			"What it stored is placed anew with granary layout plan and layout apply\n", c.Node)
	})
}
