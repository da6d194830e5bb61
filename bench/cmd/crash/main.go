// Command crash kills real granary processes under load, again and again, at random moments and, if the
// binary was built with failpoints, between their durable steps; it freezes one, and fills a disk. After
// every kill granary check must find nothing wrong, and at the end everything acknowledged must be there. It
// exits with 1 if anything is not so.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"

	"granary/bench/crash"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		os.Exit(1)
	}
}

func note(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func run(ctx context.Context) error {
	binary := flag.String("granary", "bin/granary-failpoints", "path of the binary")
	kills := flag.Int("kills", 50, "how many processes are killed")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of what is drawn; moments do not follow it")
	most := flag.Duration("most", 0, "kill for about so long at most (no bound)")
	only := flag.String("only", "", "one part: kills, frozen, full")
	flag.Parse()
	path, err := filepath.Abs(*binary)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "granary-crash-")
	if err != nil {
		return err
	}
	note("binary %s, seed %d, folder %s", path, *seed, folder)
	o := crash.Options{Binary: path, Folder: folder, Kills: *kills, Most: *most, Seed: *seed, Note: note}
	for _, part := range []struct {
		name string
		run  func() error
	}{
		{"kills", func() error { return killing(ctx, o) }},
		{"frozen", func() error { return crash.StandStill(ctx, o) }},
		{"full", func() error { return crash.FullDisk(ctx, o) }},
	} {
		if *only != "" && *only != part.name {
			continue
		}
		if err := part.run(); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	note("all passed")
	return os.RemoveAll(folder)
}

func killing(ctx context.Context, o crash.Options) error {
	sums, err := crash.Run(ctx, o)
	show(sums)
	return err
}

var pass = regexp.MustCompile(`, pass \d+`)

// show prints the sums, and how many died where.
func show(s crash.Sums) {
	note("%d kills in %.0f s, %.1f a minute; longest start %.2f s, longest time without a success %.2f s;"+
		" %d operations through live nodes failed", s.Kills, s.Took.Seconds(),
		float64(s.Kills)/s.Took.Minutes(), s.Ready.Seconds(), s.Stall.Seconds(), s.Refused)
	where := map[string]int{}
	for cause, n := range s.Points {
		where[pass.ReplaceAllString(cause, "")] += n
	}
	for _, cause := range slices.Sorted(maps.Keys(where)) {
		note("%6d  %s", where[cause], cause)
	}
}
