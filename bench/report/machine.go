// Package report says what benchmarks measured, and on what machine, in files for people and for programs.
package report

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Machine says what numbers are of: processor, memory, kernel, how long the disk of a folder takes to
// sync, and the commit.
func Machine(ctx context.Context, folder string) (string, error) {
	sync, err := syncTime(folder)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%d CPUs (%s), %s of memory, %s, %s; ", runtime.NumCPU(),
		field("/proc/cpuinfo", "model name"), field("/proc/meminfo", "MemTotal"), runtime.Version(), kernel())
	text += fmt.Sprintf("a write of 4 KiB with fsync takes %.2f ms (median of %d)", Millis(sync), syncs)
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		text += "; load before: " + strings.Join(strings.Fields(string(load))[:3], " ")
	}
	if commit, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		text += "; commit " + strings.TrimSpace(string(commit))
		if exec.CommandContext(ctx, "git", "diff", "--quiet", "HEAD").Run() != nil {
			text += " with changes"
		}
	}
	return text, nil
}

// field returns the value of a line "name: value" of a file in /proc.
func field(path, name string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(raw)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func kernel() string {
	raw, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return "Linux " + strings.TrimSpace(string(raw))
}

// syncs is how many writes syncTime makes.
const syncs = 41

// syncTime returns the median time of appending 4 KiB to a file and syncing it.
func syncTime(folder string) (time.Duration, error) {
	f, err := os.Create(filepath.Join(folder, "sync"))
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var took []time.Duration
	for range syncs {
		began := time.Now()
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
