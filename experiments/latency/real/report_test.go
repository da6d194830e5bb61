//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"granary/bench/s3lat"
)

// The table says of every row whether it is what was aimed at, and how far from the simulator's it is.
func TestReport(t *testing.T) {
	const ms = time.Millisecond
	row := func(world string, op s3lat.Operation, size int64, mean, bound time.Duration) s3lat.Row {
		b := s3lat.Bar{World: world, System: "granary", Topology: "t", Operation: op, Size: size}
		return s3lat.Summarize(b, []time.Duration{mean}, 100*ms, bound)
	}
	for name, tt := range map[string]struct {
		real, sim s3lat.Row
		want      string
	}{
		"good": {row("real", s3lat.GetObject, small, 100*ms, 95*ms),
			row("sim", s3lat.GetObject, small, 96*ms, 0), "| 1.05 | 1.10 | 96.0 | +4.0 ms |"},
		"slow": {row("real", s3lat.GetObject, small, 107*ms, 95*ms),
			row("sim", s3lat.GetObject, small, 96*ms, 0), "| 1.13 | **1.10** | 96.0 | **+11.0 ms** |"},
		"absolute": {row("real", s3lat.PutLastByte, middle, 221*ms, 190*ms),
			row("sim", s3lat.PutLastByte, middle, 215*ms, 0), "| 1.16 | **220ms** | 215.0 | +6.0 ms |"},
		"no bound": {row("real", s3lat.ListBuckets, small, ms, 0), row("sim", s3lat.ListBuckets, small, 0, 0),
			"|  | 3ms | | |"},
		"no aim": {row("real", s3lat.GetObject, middle, 100*ms, 95*ms),
			row("sim", s3lat.GetObject, middle, 100*ms, 0), "| 1.05 |  | 100.0 | +0.0 ms |"},
		"large": {row("real", s3lat.PutObject, large, 4000*ms, 3000*ms),
			row("sim", s3lat.PutObject, large, 3000*ms, 0),
			"| 1.33 | **1.25** | 3000.0 | **+1000.0 ms** |"},
	} {
		got := report([]s3lat.Row{tt.real, tt.sim}, loads{1, 2})
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s: want %q in\n%s", name, tt.want, got)
		}
	}
}

// What is published lands in the data and between the marks of the page, and nowhere else; the files that
// are committed are as they must be for that.
func TestPublish(t *testing.T) {
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, name := range []string{"data.csv", "large.csv", "real/README.md"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(read("../"+name)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bar := s3lat.Bar{World: s3lat.Real, System: "granary", Topology: "200mbit", Operation: s3lat.PutObject,
		Size: large}
	row := s3lat.Summarize(bar, []time.Duration{4321 * time.Millisecond}, 0, time.Second)
	r := &run{rows: []s3lat.Row{row}}
	for range 2 { // again makes no difference
		if err := r.publish(folder); err != nil {
			t.Fatal(err)
		}
		page := read(filepath.Join(folder, "real", "README.md"))
		head, _, _ := strings.Cut(read("README.md"), tableBegins)
		if !strings.HasPrefix(page, head) ||
			strings.Count(page, "| 4321.0 (4321.0, 4321.0 to 4321.0) |") != 1 {
			t.Errorf("the page is\n%s", page)
		}
		data := read(filepath.Join(folder, "data.csv"))
		if strings.Count(data, ",1,4321.000,4321.000,") != 1 {
			t.Errorf("the row is not once in the data")
		}
	}
	if _, err := between("a page without marks", ""); err == nil {
		t.Error("a page without marks was taken")
	}
}
