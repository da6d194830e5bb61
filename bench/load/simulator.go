package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// simulator runs the benchmarks of the simulated world and notes what they report.
func (b *bench) simulator(ctx context.Context) error {
	if !b.wanted("simulator") {
		return nil
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", ".", "-benchtime",
		b.perCell.String(), "./sim/world")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w: %s%s", strings.Join(cmd.Args, " "), err, out, complaint.String())
	}
	for line := range strings.Lines(string(out)) {
		if name, metrics, ok := benchLine(line); ok {
			b.results.addFact("simulator, "+name, "%s", metrics)
		}
	}
	return nil
}

// benchLine reads a line that `go test -bench` printed: name, count, and pairs of value and unit.
func benchLine(line string) (name, metrics string, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
		return "", "", false
	}
	name = strings.TrimPrefix(fields[0], "Benchmark")
	if i := strings.LastIndexByte(name, '-'); i >= 0 && strings.Trim(name[i+1:], "0123456789") == "" {
		name = name[:i] // the number of CPUs
	}
	var pairs []string
	for i := 2; i+1 < len(fields); i += 2 {
		pairs = append(pairs, fields[i]+" "+fields[i+1])
	}
	return name, strings.Join(pairs, ", "), true
}
