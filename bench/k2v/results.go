package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"granary/bench/report"
)

// results collects everything, and prints it as it comes.
type results struct {
	machine     string
	rows, facts [][]string
}

var columns = []string{"nodes", "operation", "clients", "operations", "CPU ms/op", "op/s", "p50 ms", "p99 ms"}

func (r *results) addRow(fields ...string) {
	r.rows = append(r.rows, fields)
	fmt.Println(strings.Join(fields, "  "))
}

func (r *results) addFact(name, format string, args ...any) {
	f := []string{name, fmt.Sprintf(format, args...)}
	r.facts = append(r.facts, f)
	fmt.Println(f[0] + ": " + f[1])
}

// write leaves k2v.md and k2v.csv in a folder.
func (r *results) write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := report.WriteCSV(filepath.Join(folder, "k2v.csv"), columns, r.rows); err != nil {
		return err
	}
	text := "# K2V\n\nWritten by `make bench` (`go run ./bench/k2v`). " + r.machine + ".\n\n" +
		"Values have 100 bytes. CPU is that of all server processes together; the clients run on the same\n" +
		"machine and take their share of it. Writes are durable: synced before they are acknowledged.\n" +
		"What a poll takes in memory is what all servers together took more while the polls waited,\n" +
		"connections included.\n\n" +
		report.Table(columns, r.rows) + "\n" + report.Table([]string{"what", "value"}, r.facts)
	path := filepath.Join(folder, "k2v.md")
	fmt.Println("written:", path)
	return os.WriteFile(path, []byte(text), 0o644)
}
