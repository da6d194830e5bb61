package s3lat

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

var columns = []string{"world", "system", "topology", "operation", "size_bytes", "idle_s", "count",
	"mean_ms", "min_ms", "max_ms", "p50_ms", "p99_ms", "rtts", "bound_ms", "over_bound"}

// ErrCSV is the kind of every fault in a file of rows.
var ErrCSV = errors.New("bad file of latencies")

// WriteCSV writes rows with their header, in the order given.
func WriteCSV(w io.Writer, rows []Row) error {
	out := csv.NewWriter(w)
	out.Write(columns)
	for _, r := range rows {
		over := ""
		if r.Bound > 0 {
			over = fmt.Sprintf("%.3f", r.OverBound())
		}
		idle := strconv.FormatFloat(r.Idle.Seconds(), 'f', -1, 64)
		out.Write([]string{r.World, r.System, r.Topology, string(r.Operation), fmt.Sprint(r.Size), idle,
			fmt.Sprint(r.Count), ms(r.Mean), ms(r.Min), ms(r.Max), ms(r.P50), ms(r.P99),
			fmt.Sprintf("%.3f", r.Rounds()), ms(r.Bound), over})
	}
	out.Flush()
	return out.Error()
}

func ms(d time.Duration) string { return fmt.Sprintf("%.3f", float64(d)/float64(time.Millisecond)) }

// ReadCSV reads what WriteCSV wrote; times come back to the microsecond. Errors: ErrCSV with the line,
// those of the reader.
func ReadCSV(r io.Reader) ([]Row, error) {
	in := csv.NewReader(r)
	head, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCSV, err)
	}
	if !slices.Equal(head, columns) {
		return nil, fmt.Errorf("%w: its columns are %s, want %s", ErrCSV, strings.Join(head, ","),
			strings.Join(columns, ","))
	}
	var rows []Row
	for {
		texts, err := in.Read()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCSV, err)
		}
		row, err := parse(texts)
		if err != nil {
			line, _ := in.FieldPos(0)
			return nil, fmt.Errorf("%w: line %d: %w", ErrCSV, line, err)
		}
		rows = append(rows, row)
	}
}

func parse(texts []string) (Row, error) {
	var faults []error
	number := func(column int) float64 {
		v, err := strconv.ParseFloat(texts[column], 64)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", columns[column], err))
		}
		return v
	}
	span := func(column int) time.Duration {
		return time.Duration(number(column) * float64(time.Millisecond)).Round(time.Microsecond)
	}
	r := Row{Bar: Bar{World: texts[0], System: texts[1], Topology: texts[2], Operation: Operation(texts[3]),
		Size: int64(number(4)), Idle: time.Duration(number(5) * float64(time.Second))},
		Count: int(number(6)), Mean: span(7), Min: span(8), Max: span(9), P50: span(10), P99: span(11),
		Bound: span(13)}
	if !slices.Contains(Operations, r.Operation) {
		faults = append(faults, fmt.Errorf("operation %q: there are %q", r.Operation, Operations))
	}
	if rounds := number(12); rounds > 0 {
		r.Round = time.Duration(float64(r.Mean) / rounds).Round(time.Microsecond)
	}
	return r, errors.Join(faults...)
}

// UpdateCSV merges rows into a file, which may be absent. drop, if given, says which of its rows to leave out
// first. Errors: ErrCSV; those of the file.
func UpdateCSV(name string, fresh []Row, drop func(Bar) bool) error {
	var old []Row
	f, err := os.Open(name)
	if err == nil {
		old, err = ReadCSV(f)
		f.Close()
	} else if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if drop != nil {
		old = slices.DeleteFunc(old, func(r Row) bool { return drop(r.Bar) })
	}
	var text strings.Builder
	if err := WriteCSV(&text, Merge(old, fresh)); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(text.String()), 0o644)
}

// Table returns rows as a table for people.
func Table(rows []Row) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "world\tsystem\toperation\tsize\tidle\tcount\tmean\tmin\tmax\tp50\tp99\trounds\tbound\t"+
		"mean/bound\t")
	for _, r := range rows {
		over := "-"
		if r.Bound > 0 {
			over = fmt.Sprintf("%.3f", r.OverBound())
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%v\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.2f\t%.1f\t%s\t\n",
			r.World, r.System, r.Operation, sizeText(r.Size), r.Idle, r.Count, millis(r.Mean), millis(r.Min),
			millis(r.Max), millis(r.P50), millis(r.P99), r.Rounds(), millis(r.Bound), over)
	}
	w.Flush()
	return text.String()
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func sizeText(n int64) string {
	switch {
	case n == 0:
		return "-"
	case n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}
