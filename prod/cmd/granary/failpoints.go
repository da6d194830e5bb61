//go:build failpoints

package main

import (
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"github.com/pingcap/failpoint"
)

// With failpoints built in, the program can be told to die in the middle: at its start, and whenever SIGUSR1
// arrives, it reads and removes the file that has the name of the data folder in the environment and the
// suffix .die-at. Its line "granary/prod/diskfs/step sync-after 3" means: when the failpoint of that name is
// passed for the third time from now on at a point "sync-after", SIGKILL. bench/crash writes the file.
func init() {
	if len(os.Args) < 2 || os.Args[1] != "server" && os.Args[1] != "init" && os.Args[1] != "join" {
		return
	}
	fmt.Fprintln(os.Stderr, "failpoints are built in: this binary is for tests")
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	dieAt()
	go func() {
		for range signals {
			dieAt()
		}
	}()
}

func dieAt() {
	path := os.Getenv("GRANARY_DATA_FOLDER") + ".die-at"
	raw, err := os.ReadFile(path)
	if err != nil {
		return
	}
	os.Remove(path)
	var name, point string
	var pass int64
	if _, err := fmt.Sscan(string(raw), &name, &point, &pass); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v in %q\n", path, err, raw)
		return
	}
	var passed atomic.Int64
	err = failpoint.EnableCall(name, func(at string) {
		if at == point && passed.Add(1) == pass {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until it takes effect
		}
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
