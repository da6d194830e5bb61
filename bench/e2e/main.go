// Command e2e starts real granary processes, drives them with real S3 clients, kills them, and judges what
// the clients saw. It prints a line for every step and one with the sums at the end, and exits with 1 if a
// step failed.
//
// minio-go is always used; the aws CLI, rclone, s3cmd and restic when they are installed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// scene is what the stories share.
type scene struct {
	binary string
	folder string // for data, logs and files of clients
	seed   uint64
	kills  int
	*report
}

func main() {
	os.Exit(run())
}

func run() int {
	var s scene
	keep := flag.Bool("keep", false, "keep data folders and logs")
	only := flag.String("only", "", "run one story: "+storyNames())
	budget := flag.Duration("timeout", 10*time.Minute, "stop everything after this time")
	flag.StringVar(&s.binary, "granary", "bin/granary", "path of the binary")
	flag.Uint64Var(&s.seed, "seed", uint64(time.Now().UnixNano()), "seed of the load under kills")
	flag.IntVar(&s.kills, "kills", 20, "how often a node is killed")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *budget)
	defer cancel()
	var err error
	if s.binary, err = filepath.Abs(s.binary); err == nil {
		s.folder, err = os.MkdirTemp("", "granary-e2e-")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	s.report = newReport(os.Stdout)
	fmt.Printf("binary %s, seed %d, folder %s\n", s.binary, s.seed, s.folder)
	for _, story := range stories {
		if *only == "" || *only == story.name {
			story.run(ctx, &s)
		}
	}
	if *keep {
		fmt.Println("kept", s.folder)
	} else if err := os.RemoveAll(s.folder); err != nil {
		s.step("the temporary folder can be removed", func() error { return err })
	}
	return s.close()
}

// stories are what is tested, in this order. Each starts its own processes and ends them.
var stories = []struct {
	name string
	run  func(context.Context, *scene)
}{
	{"dev", devStory},
	{"join", joinStory},
	{"kill", killStory},
}

func storyNames() string {
	names := ""
	for _, s := range stories {
		names += s.name + " "
	}
	return names
}
