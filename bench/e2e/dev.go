package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"granary/bench/cluster"
)

// startMax is what a --dev store may take to be ready, with room for a machine that does other things too.
const startMax = 2 * time.Second

// devStory is one --dev store and every client.
func devStory(ctx context.Context, s *scene) {
	s.chapter("One machine: granary server --dev")
	var c *cluster.Cluster
	opts := cluster.Options{Binary: s.binary, Folder: filepath.Join(s.folder, "single")}
	began := s.step("a --dev store starts", func() error {
		store, took, err := cluster.Dev(ctx, opts)
		if err != nil {
			return err
		}
		c = store
		s.note("ready after %.0f ms", 1000*took.Seconds())
		if took > startMax {
			return fmt.Errorf("ready after %v, want less than %v", took, startMax)
		}
		return nil
	})
	if c == nil || !began {
		return
	}
	defer c.Close()
	s.step(`eval "$(granary env)" exports what clients need`, func() error { return evalEnv(ctx, c) })
	minioClient(ctx, s, c)
	for _, tool := range tools {
		tool.drive(ctx, s, c)
	}
	badInput(ctx, s, c)
	s.step("SIGTERM ends it cleanly, and the next start has its objects and key",
		func() error { return again(ctx, c) })
	s.step("granary env fails with a reason when no server answers", func() error { return noServer(ctx, c) })
}

// evalEnv lets a shell take the variables, as the README says, and show them.
func evalEnv(ctx context.Context, c *cluster.Cluster) error {
	n := c.Nodes[0]
	script := `eval "$(` + quote(n.Binary()) +
		` env)" && printf '%s\n' "$AWS_ENDPOINT_URL" "$AWS_ACCESS_KEY_ID"` +
		` "$AWS_SECRET_ACCESS_KEY" "$AWS_REGION" "$AWS_DEFAULT_REGION"`
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Env = n.Env()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("sh: %w: %s", err, out)
	}
	want := strings.Join([]string{"http://" + n.S3, c.Key.ID, c.Key.Secret, cluster.Region, cluster.Region},
		"\n")
	if got := strings.TrimSpace(string(out)); got != want {
		return fmt.Errorf("the shell got\n%s\nwant\n%s", got, want)
	}
	return nil
}

// quote returns a word for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// again stops the store and looks at what the next start has.
func again(ctx context.Context, c *cluster.Cluster) error {
	client, err := c.Client(0)
	if err != nil {
		return err
	}
	before, err := client.ListBuckets(ctx)
	if err != nil {
		return err
	}
	if err := c.Nodes[0].Stop(ctx); err != nil {
		return err
	}
	if _, err := c.Nodes[0].Restart(ctx); err != nil {
		return err
	}
	after, err := client.ListBuckets(ctx)
	if err != nil {
		return err
	}
	if fmt.Sprint(before) != fmt.Sprint(after) {
		return fmt.Errorf("buckets were %v, are %v", before, after)
	}
	return keptObject(ctx, client)
}

// noServer stops the store and asks for its environment.
func noServer(ctx context.Context, c *cluster.Cluster) error {
	if err := c.Nodes[0].Stop(ctx); err != nil {
		return err
	}
	out, err := c.Nodes[0].Run(ctx, "env")
	var exit *exec.ExitError
	switch {
	case !errors.As(err, &exit):
		return fmt.Errorf("it printed %q, and ended with %v", out, err)
	case exit.ExitCode() != 1:
		return fmt.Errorf("exit code %d, want 1: %w", exit.ExitCode(), err)
	case out != "" || len(exit.Stderr) == 0:
		return fmt.Errorf("want a reason on standard error alone, got %q and %q", out, exit.Stderr)
	}
	return nil
}
