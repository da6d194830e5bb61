package main

import (
	"bytes"
	"encoding/csv"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// data is a committed file: its lines by column.
type data []map[string]string

func readData(t *testing.T, name, header string) data {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(raw), header) {
		t.Fatalf("%s does not begin with %s", name, header)
	}
	rows, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var all data
	for _, row := range rows[1:] {
		line := map[string]string{}
		for i, text := range row {
			line[rows[0][i]] = text
		}
		all = append(all, line)
	}
	return all
}

// where returns the lines whose columns have these texts, given as pairs. There must be one.
func (d data) where(t *testing.T, pairs ...string) data {
	t.Helper()
	var some data
	for _, line := range d {
		fits := true
		for i := 0; i < len(pairs); i += 2 {
			fits = fits && line[pairs[i]] == pairs[i+1]
		}
		if fits {
			some = append(some, line)
		}
	}
	if some == nil {
		t.Fatalf("no line with %q", pairs)
	}
	return some
}

// number returns what the only line has in a column.
func (d data) number(t *testing.T, column string) float64 {
	t.Helper()
	if len(d) != 1 {
		t.Fatalf("%d lines, want one for the column %s", len(d), column)
	}
	v, err := strconv.ParseFloat(d[0][column], 64)
	if err != nil {
		t.Fatalf("%s: %v in %v", column, err, d[0])
	}
	return v
}

// texts returns the different texts of a column, in order of appearance.
func (d data) texts(column string) []string {
	var all []string
	for _, line := range d {
		if !slices.Contains(all, line[column]) {
			all = append(all, line[column])
		}
	}
	return all
}

var update = flag.Bool("update", false, "replace the tables of README.md by those of the data")

// Every table of README.md is what the committed data gives.
func TestReadmeTables(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	events := readData(t, "events.csv", eventsHeader)
	for _, table := range []string{
		talkTable(t, events), randomTable(t, events), dispersionTable(t, events),
		frontierTable(t, readData(t, "frontier.csv", frontierHeader)),
		grainTable(t, readData(t, "partitions.csv", grainHeader)),
		driftTable(t, readData(t, "drift.csv", driftHeader)),
	} {
		if *update {
			readme = replaceTable(readme, table)
		}
		if !bytes.Contains(readme, []byte(table)) {
			t.Errorf("README.md lacks this table of its data; -update replaces one of its head:\n%s", table)
		}
	}
	if *update {
		if err := os.WriteFile("README.md", readme, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// replaceTable puts table in the place of the one with the same first line, if there is one.
func replaceTable(readme []byte, table string) []byte {
	head, _, _ := strings.Cut(table, "\n")
	before, rest, found := bytes.Cut(readme, []byte(head+"\n"))
	for found && bytes.HasPrefix(rest, []byte("|")) {
		_, rest, _ = bytes.Cut(rest, []byte("\n"))
	}
	if !found {
		return readme
	}
	return slices.Concat(before, []byte(table), rest)
}

// The committed data is of the table algorithm of this commit: the optimum of the talk's cluster, all over
// again.
func TestDataIsCurrent(t *testing.T) {
	committed, err := os.ReadFile("events.csv")
	if err != nil {
		t.Fatal(err)
	}
	optimal := slices.DeleteFunc(methods(), func(m method) bool {
		return !strings.HasPrefix(m.name, "optimum")
	})
	now, err := measureEvents(settings()[:1], optimal, seedsWhole)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(now)) {
		if !strings.Contains(string(committed), line) {
			t.Errorf("events.csv lacks\n%srun make figures, then go test ./experiments/placement -update,"+
				" and read the verdict again", line)
		}
	}
}

// markdown returns a table whose first column is of rows, and whose cells cell makes.
func markdown(first string, rows, columns []string, cell func(row, column string) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | %s |\n|%s\n", first, strings.Join(columns, " | "),
		strings.Repeat("---|", len(columns)+1))
	for _, row := range rows {
		cells := []string{row}
		for _, column := range columns {
			cells = append(cells, cell(row, column))
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	return b.String()
}

func talkTable(t *testing.T, events data) string {
	talk := events.where(t, "setting", "talk")
	return markdown("method", talk.texts("method"), talk.texts("event"), func(method, event string) string {
		line := talk.where(t, "method", method, "event", event)
		usable := fmt.Sprintf("%.1f %%", line.number(t, "usable_pct"))
		if event == initial {
			return usable
		}
		return fmt.Sprintf("%s, %.1f (%s)", usable, line.number(t, "moved_pct"), line[0]["moved_over_least"])
	})
}

func randomTable(t *testing.T, events data) string {
	random := events.where(t, "setting", "random")
	methods, sizes := random.texts("method"), random.texts("nodes")
	return markdown("method, nodes", methods, sizes, func(method, nodes string) string {
		lines := random.where(t, "method", method, "nodes", nodes)
		number := func(event, column string) float64 {
			return lines.where(t, "event", event).number(t, column)
		}
		return fmt.Sprintf("%.0f %%, %.1f %.1f %.1f (%.1f)", number(initial, "usable_pct"),
			number("remove", "moved_pct"), number("add", "moved_pct"), number("double", "moved_pct"),
			number("add", "moved_over_least"))
	})
}

func dispersionTable(t *testing.T, events data) string {
	random := events.where(t, "setting", "random", "event", initial)
	columns := []string{"20 nodes: excess", "partner", "partners", "rebuild",
		"50 nodes: excess", "partner", "partners", "rebuild"}
	var methods []string
	for _, name := range random.texts("method") {
		if name != "optimum 1 %" { // a first table has no tolerance
			methods = append(methods, name)
		}
	}
	i := 0
	return markdown("method", methods, columns, func(method, _ string) string {
		line := random.where(t, "method", method, "nodes", []string{"20", "50"}[i/4%2])
		i++
		switch i % 4 {
		case 1:
			return fmt.Sprintf("%.2f", line.number(t, "excess"))
		case 2:
			return fmt.Sprintf("%.0f %%", line.number(t, "partner_pct"))
		case 3:
			return fmt.Sprintf("%.0f %%", line.number(t, "partners_pct"))
		}
		return fmt.Sprintf("%.1f %%", line.number(t, "rebuild_pct"))
	})
}

func frontierTable(t *testing.T, frontier data) string {
	var rows, columns []string
	for _, nodes := range frontier.texts("nodes") {
		for _, event := range frontier.texts("event") {
			rows = append(rows, nodes+" nodes, "+event)
		}
	}
	for _, tolerance := range []string{"0.00", "0.50", "1.00", "2.00", "5.00"} {
		columns = append(columns, tolerance+" %")
	}
	return markdown("tolerance", rows, columns, func(row, tolerance string) string {
		nodes, event, _ := strings.Cut(row, " nodes, ")
		line := frontier.where(t, "nodes", nodes, "event", event, "tolerance_pct",
			strings.TrimSuffix(tolerance, " %"))
		return fmt.Sprintf("%.2f at %.1f", line.number(t, "moved_pct"), line.number(t, "usable_pct"))
	})
}

func grainTable(t *testing.T, grain data) string {
	optimum := grain.where(t, "method", "optimum")
	var rows []string
	for _, nodes := range optimum.texts("nodes") {
		rows = append(rows, nodes+" nodes")
	}
	for _, method := range grain.texts("method")[1:] {
		rows = append(rows, "50 nodes, "+method)
	}
	return markdown("partitions", rows, []string{"64", "256", "1024", "4096", "16384"},
		func(row, partitions string) string {
			nodes, method, found := strings.Cut(row, " nodes, ")
			if !found {
				nodes, method = strings.TrimSuffix(row, " nodes"), "optimum"
			}
			line := grain.where(t, "nodes", nodes, "method", method, "partitions", partitions)
			return fmt.Sprintf("%.1f", line.number(t, "usable_pct"))
		})
}

func driftTable(t *testing.T, drift data) string {
	return markdown("changes", []string{"0", "10", "20", "30"}, drift.texts("tables"),
		func(event, tables string) string {
			line := drift.where(t, "event", event, "tables", tables)
			return fmt.Sprintf("%.2f (%.2f to %.2f), %.1f %%", line.number(t, "excess"),
				line.number(t, "excess_low"), line.number(t, "excess_high"), line.number(t, "rebuild_pct"))
		})
}
