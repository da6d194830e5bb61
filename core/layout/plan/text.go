package plan

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Text returns the report for people to read.
func (r *Report) Text() string {
	var b strings.Builder
	w := &writer{out: &b}
	w.line("layout version %d", r.Number)
	w.line("")
	if len(r.Refusals) > 0 {
		w.notices("refused", r.Refusals)
		return b.String()
	}
	w.facts(r)
	w.places(r)
	w.whatIf(r)
	w.frontier(r)
	w.losses(r)
	if len(r.Warnings) > 0 {
		w.line("")
		w.notices("warning", r.Warnings)
	}
	return b.String()
}

// writer writes to memory, which does not fail.
type writer struct{ out io.Writer }

func (w *writer) line(format string, args ...any) { fmt.Fprintf(w.out, format+"\n", args...) }

// table writes rows whose cells are separated by tabs, in columns.
func (w *writer) table(rows []string) {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, row)
	}
	t.Flush()
	for line := range strings.Lines(b.String()) {
		w.line("%s", strings.TrimRight(line, " \n"))
	}
}

func (w *writer) notices(kind string, notices []Notice) {
	for _, n := range notices {
		ask := ""
		if n.Confirm {
			ask = ", to be confirmed"
		}
		w.line("%s (%s%s): %s", kind, n.Code, ask, n.Text)
		if n.Remedy != "" {
			w.line("    %s", n.Remedy)
		}
	}
}

// facts writes what concerns the cluster as a whole.
func (w *writer) facts(r *Report) {
	s, u, g := r.Settings, r.Usable, r.Migration
	now, regions := "", ""
	if s.MinRegions > 1 {
		regions = fmt.Sprintf(" of %d regions", s.MinRegions)
	}
	if u.Before > 0 {
		now = fmt.Sprintf(", now %s", formatBytes(u.Before))
	}
	rows := []string{
		fmt.Sprintf("usable\t%s%s", formatBytes(u.After), now),
		fmt.Sprintf("bound\t%s, of which rounding to whole partitions takes %s", formatBytes(u.Bound),
			formatPercent(u.Rounding)),
		fmt.Sprintf("table\t%d replicas in %s%s; %d partitions of at most %s", s.Replicas,
			plural(s.MinZones, "zone"), regions, s.Partitions, formatBytes(u.PartitionSize)),
		fmt.Sprintf("limit\t%s", r.Limit.Text),
	}
	if s.Tolerance > 0 {
		rows = append(rows, fmt.Sprintf("tolerance\t%s, which leaves %s unused", formatTolerance(s.Tolerance),
			formatBytes(u.Optimum-u.After)))
	}
	if u.Before > 0 {
		rows = append(rows, "to move\t"+g.text(), "time\t"+g.timeText())
	}
	if d := r.Dispersion; d != nil {
		rows = append(rows, "sharing\t"+d.text())
	}
	w.table(rows)
}

func formatTolerance(tenThousandths int) string {
	return significant(float64(tenThousandths)/100) + " %"
}

func (g *Migration) text() string {
	if g.Replicas == 0 {
		return "nothing"
	}
	bytes := formatBytes(g.Bytes)
	if !g.Measured {
		bytes = "at most " + bytes
	}
	return fmt.Sprintf("%s (%s), %s, in the order of %s; at most %d transfers at once per node",
		plural(g.Replicas, "replica"), formatPercent(g.Share), bytes, plural(g.Waves, "wave"), g.TransfersMax)
}

func (g *Migration) timeText() string {
	switch {
	case g.Replicas == 0:
		return "none"
	case g.Seconds == nil:
		return "unknown: no bandwidth was measured or given"
	}
	least := "at least"
	if g.Method == byGreed {
		least = "about"
	}
	return fmt.Sprintf("%s %s; the link of %s is the slowest", least, formatSeconds(*g.Seconds), g.Bottleneck)
}

func (d *Dispersion) text() string {
	return fmt.Sprintf("two nodes share at most %s, %s times what chance gives;"+
		" a rebuild takes at most %s from one node", plural(d.MaxPair, "partition"), significant(d.Excess),
		formatPercent(d.Rebuild))
}

// places writes the zones, each with its nodes.
func (w *writer) places(r *Report) {
	w.line("")
	rows := []string{"zone\tnode\tcapacity\tused\tpartitions\tgained\tlost\t+1 TB gives\t"}
	for _, z := range r.Zones {
		rows = append(rows, fmt.Sprintf("%s\t\t%s\t%s\t%d\t%d\t%d\t\t%s", z.Name, formatBytes(z.Capacity),
			formatPercent(z.Used), z.After, z.Gained, z.Lost, z.mark()))
		for _, n := range r.Nodes {
			if n.Zone == z.Name {
				rows = append(rows, n.row())
			}
		}
	}
	w.table(rows)
}

func (z *Zone) mark() string {
	switch {
	case z.Limits:
		return "limits"
	case z.Full:
		return "has to spare"
	}
	return ""
}

func (n *Node) row() string {
	capacity, price := formatBytes(n.Capacity), significant(n.Price)+" TB"
	switch {
	case n.Removed:
		capacity, price = "leaves", ""
	case n.Capacity == 0:
		capacity, price = "gateway", ""
	}
	var marks []string
	for _, mark := range []struct {
		is   bool
		text string
	}{{n.Added, "new"}, {n.Down, "down"}, {n.BelowSize, "too small"}} {
		if mark.is {
			marks = append(marks, mark.text)
		}
	}
	return fmt.Sprintf("\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s", n.Name, capacity, formatPercent(n.Used), n.After,
		n.Gained, n.Lost, price, strings.Join(marks, ", "))
}

// whatIf writes the answers to changes.
func (w *writer) whatIf(r *Report) {
	if len(r.WhatIf) == 0 {
		return
	}
	w.line("")
	rows := []string{"what if\tusable\tchange\t"}
	for _, v := range r.WhatIf {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s", v.Text, formatBytes(v.Usable), formatChange(v.Gain),
			v.untilText()))
	}
	w.table(rows)
}

func (v *WhatIf) untilText() string {
	switch {
	case v.Until == 0:
		return ""
	case v.Then == 0:
		return "until +" + formatBytes(v.Until) + ", then nothing more"
	}
	return fmt.Sprintf("until +%s, then %s TB for each", formatBytes(v.Until), significant(v.Then))
}

// frontier writes what other tolerances would do.
func (w *writer) frontier(r *Report) {
	if len(r.Frontier) == 0 || r.Migration.Replicas == 0 {
		return
	}
	w.line("")
	rows := []string{"tolerance\tmoves\tusable\t"}
	for _, f := range r.Frontier {
		chosen := ""
		if f.Chosen {
			chosen = "chosen"
		}
		rows = append(rows, fmt.Sprintf("%s\t%d\t%s\t%s", formatTolerance(f.Tolerance), f.Replicas,
			formatBytes(f.Usable), chosen))
	}
	w.table(rows)
}

// losses writes what single failures would leave.
func (w *writer) losses(r *Report) {
	if len(r.Losses) == 0 {
		return
	}
	w.line("")
	rows := []string{"without\tusable\t"}
	for _, l := range r.Losses {
		name, usable := l.Node, formatBytes(l.Usable)
		if name == "" {
			name = "zone " + l.Zone
		}
		zones := ""
		switch {
		case l.Refused != "":
			usable, zones = "no layout", l.Refused
		case l.MinZones < r.Settings.MinZones:
			zones = "in " + plural(l.MinZones, "zone")
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s", name, usable, zones))
	}
	w.table(rows)
}

// Text returns the order for people to read.
func (o *Order) Text() string {
	var b strings.Builder
	w := &writer{out: &b}
	if len(o.Items) == 0 {
		w.line("nothing to buy: %s are usable already", formatBytes(o.Before))
		return b.String()
	}
	w.line("%s usable, now %s, by %s more of capacity for %s; no less than %s is possible",
		formatBytes(o.Usable), formatBytes(o.Before), formatBytes(o.Added), significant(o.Cost),
		significant(o.Bound))
	w.line("")
	rows := []string{"zone\tnode\tadd\tthen\tcost"}
	for _, i := range o.Items {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%s", i.Zone, i.Node, formatBytes(i.Added),
			formatBytes(i.Was+i.Added), significant(i.Cost)))
	}
	w.table(rows)
	return b.String()
}
