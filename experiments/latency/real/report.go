//go:build linux

package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"granary/bench/s3lat"
)

// The table of README.md lies between these lines.
const (
	tableBegins = "<!-- latency-real writes from here -->\n"
	tableEnds   = "<!-- to here -->\n"
)

// publish puts the rows into the experiment's data, and the table of all real rows there into README.md.
func (r *run) publish(folder string) error {
	data, readme := filepath.Join(folder, "data.csv"), filepath.Join(folder, "real", "README.md")
	if err := s3lat.UpdateCSV(data, r.rows, nil); err != nil {
		return err
	}
	f, err := os.Open(data)
	if err != nil {
		return err
	}
	defer f.Close()
	rows, err := s3lat.ReadCSV(f)
	if err != nil {
		return fmt.Errorf("%s: %w", data, err)
	}
	simulated, err := simulatedLarge(filepath.Join(folder, "large.csv"))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	fresh, err := between(string(text), report(append(rows, simulated...), r.loads))
	if err != nil {
		return fmt.Errorf("%s: %w", readme, err)
	}
	return os.WriteFile(readme, []byte(fresh), 0o644)
}

// between returns text with the lines between the marks replaced.
func between(text, table string) (string, error) {
	head, rest, found := strings.Cut(text, tableBegins)
	_, tail, ended := strings.Cut(rest, tableEnds)
	if !found || !ended {
		return "", fmt.Errorf("no lines %q and %q", strings.TrimSpace(tableBegins),
			strings.TrimSpace(tableEnds))
	}
	return head + tableBegins + table + tableEnds + tail, nil
}

// simulatedLarge returns the simulator's rows of the largest objects, which are in a file of their own.
func simulatedLarge(name string) ([]s3lat.Row, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	lines, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	operations := map[string]s3lat.Operation{"GET": s3lat.GetObject, "PUT": s3lat.PutObject}
	var rows []s3lat.Row
	for _, l := range lines {
		if l[0] != "100" { // ms of round trip
			continue
		}
		rate, err := strconv.ParseFloat(l[4], 64)
		if err != nil || rate <= 0 {
			return nil, fmt.Errorf("%s: mean rate %q: %w", name, l[4], err)
		}
		rows = append(rows, s3lat.Row{Mean: time.Duration(large * 8 / rate * float64(time.Microsecond)),
			Bar: s3lat.Bar{World: s3lat.Simulated, System: "granary", Topology: "200mbit", Size: large,
				Operation: operations[l[1]]}})
	}
	if len(rows) != len(operations) {
		return nil, fmt.Errorf("%s: %w", name, errors.New("want a GET and a PUT at 100 ms"))
	}
	return rows, nil
}

// aim is the most that a request shall take: over is the mean over its bound, least is absolute.
type aim struct {
	over  float64
	least time.Duration
}

// aimOf returns what a row is aimed at; the zero aim for those that nothing was promised of.
func aimOf(b s3lat.Bar) aim {
	switch {
	case b.Size == large:
		return aim{over: 1 / 0.8} // 80 % of the link
	case b.Operation == s3lat.ListBuckets:
		return aim{least: 3 * time.Millisecond}
	case b.Size == small && (b.Operation == s3lat.GetObject || b.Operation == s3lat.PutObject ||
		b.Operation == s3lat.ListObjects || b.Operation == s3lat.RemoveObject),
		b.Operation == s3lat.GetFirstByte:
		return aim{over: 1.10}
	case b.Operation == s3lat.PutLastByte && b.Size == middle:
		return aim{least: 220 * time.Millisecond}
	}
	return aim{}
}

// report is the table of all real rows of granary beside the simulator's.
func report(rows []s3lat.Row, l loads) string {
	simulated := map[s3lat.Bar]time.Duration{}
	for _, row := range rows {
		if row.World == s3lat.Simulated {
			b := row.Bar
			b.World = s3lat.Real
			simulated[b] = row.Mean
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, "Load averages of the machine were between %.1f and %.1f.\n\n", l.least, l.most)
	text.WriteString("| request | object, rest | count | mean, ms (median, least to greatest) | over its " +
		"bound | aim | simulated, ms | difference |\n|---|---|---|---|---|---|---|---|\n")
	for _, row := range rows {
		if row.World != s3lat.Real || row.System != "granary" {
			continue
		}
		over := ""
		if row.Bound > 0 {
			over = fmt.Sprintf("%.2f", row.OverBound())
		}
		object := sizeOf(row.Size)
		if row.Idle > 0 {
			object += fmt.Sprintf(", %v", row.Idle)
		}
		fmt.Fprintf(&text, "| %s | %s | %d | %.1f (%.1f, %.1f to %.1f) | %s | %s | %s |\n", row.Operation,
			object, row.Count, millis(row.Mean), millis(row.P50), millis(row.Min), millis(row.Max), over,
			aimOf(row.Bar).verdict(row), agreement(row.Mean, simulated[row.Bar]))
	}
	return text.String()
}

func sizeOf(bytes int64) string {
	if bytes >= middle {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d B", bytes)
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// verdict says what was aimed at, in bold if it was missed.
func (a aim) verdict(row s3lat.Row) string {
	text, missed := "", false
	switch {
	case a.over > 0:
		text, missed = fmt.Sprintf("%.2f", a.over), row.OverBound() > a.over
	case a.least > 0:
		text, missed = fmt.Sprint(a.least), row.Mean > a.least
	}
	if missed {
		text = "**" + text + "**"
	}
	return text
}

// agreement is the simulator's mean and how much more the real one is, in bold beyond what is aimed at: a
// tenth, or 5 ms if that is more.
func agreement(real, simulated time.Duration) string {
	if simulated == 0 {
		return "|" // nothing to compare with, or nothing at all
	}
	diff := real - simulated
	text := fmt.Sprintf("%+.1f ms", millis(diff))
	if max(diff, -diff) > max(simulated/10, 5*time.Millisecond) {
		text = "**" + text + "**"
	}
	return fmt.Sprintf("%.1f | %s", millis(simulated), text)
}
