package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"granary/bench/report"
)

// row is the result of one cell.
type row struct {
	store string
	cell
	ops      int // that succeeded
	failures failures
	cpu      time.Duration // of all servers together
	elapsed  time.Duration
	p50, p99 time.Duration
}

// fact is any other number.
type fact struct{ name, value string }

// results collects everything, and prints it as it comes.
type results struct {
	machine string
	quick   bool
	failed  int // operations
	rows    []row
	facts   []fact
}

// aims are CPU milliseconds per operation on three nodes: half of what the best of today's stores need.
var aims = map[string]float64{
	"PUT 4 KiB": 1.6, "GET 4 KiB": 0.45, "LIST 1,000 keys": 17.5, "DELETE 4 KiB": 0.3,
	"PUT 1 MiB": 9.5, "GET 1 MiB": 0.5, "PUT 64 MiB": 410, "GET 64 MiB": 52,
}

func (r *results) addRow(one row) {
	r.rows = append(r.rows, one)
	fmt.Println(strings.Join(one.fields(), "  "))
	if one.failures.count > 0 {
		r.failed += one.failures.count
		fmt.Println("  the first failure:", one.failures.first)
	}
}

func (r *results) addFact(name, format string, args ...any) {
	f := fact{name, fmt.Sprintf(format, args...)}
	r.facts = append(r.facts, f)
	fmt.Println(f.name + ": " + f.value)
}

var columns = []string{"nodes", "operation", "size", "clients", "operations", "CPU ms/op", "aim", "op/s",
	"MB/s", "p50 ms", "p99 ms", "failed"}

// fields returns the columns of a row.
func (r row) fields() []string {
	seconds := r.elapsed.Seconds()
	moved, aim := "", ""
	if r.bytes > 0 {
		moved = fmt.Sprintf("%.1f", float64(r.bytes)*float64(r.ops)/seconds/1e6)
	}
	if a, ok := aims[r.op+" "+r.size]; ok && r.store == "three" {
		aim = fmt.Sprint(a)
	}
	perOp := report.Short(report.Millis(r.cpu) / float64(r.ops))
	return []string{r.store, r.op, r.size, fmt.Sprint(r.clients), fmt.Sprint(r.ops), perOp, aim,
		fmt.Sprintf("%.1f", float64(r.ops)/seconds), moved, fmt.Sprintf("%.2f", report.Millis(r.p50)),
		fmt.Sprintf("%.2f", report.Millis(r.p99)), fmt.Sprint(r.failures.count)}
}

// write leaves load.md, load.csv and facts.csv in a folder.
func (r *results) write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	var cells, facts [][]string
	for _, one := range r.rows {
		cells = append(cells, one.fields())
	}
	for _, f := range r.facts {
		facts = append(facts, []string{f.name, f.value})
	}
	if err := report.WriteCSV(filepath.Join(folder, "load.csv"), columns, cells); err != nil {
		return err
	}
	factColumns := []string{"what", "value"}
	if err := report.WriteCSV(filepath.Join(folder, "facts.csv"), factColumns, facts); err != nil {
		return err
	}
	command := "make bench"
	if r.quick {
		command = "go run ./bench/load -quick"
	}
	text := "# Load\n\nWritten by `" + command + "`. " + r.machine + ".\n\n" +
		"CPU is that of all server processes together. The clients (minio-go) run on the same machine and\n" +
		"take their share of it. Writes are durable: synced before they are acknowledged. Aim: half of\n" +
		"what the best of today's stores need on three nodes.\n\n" +
		report.Table(columns, cells) + "\n" + report.Table(factColumns, facts)
	path := filepath.Join(folder, "load.md")
	fmt.Println("written:", path)
	return os.WriteFile(path, []byte(text), 0o644)
}
