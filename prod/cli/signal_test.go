package cli

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
)

// TestSignalWhileStarting: a signal ends what starts a node, not the process, and only until the node serves.
func TestSignalWhileStarting(t *testing.T) {
	whole := context.Background()
	a := &app{ctx: whole}
	release := a.untilSignal()
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-a.ctx.Done()
	if err := release(); !errors.Is(err, errInterrupted) || a.ctx != whole {
		t.Errorf("release = %v, want errInterrupted and the context put back", err)
	}
	if err := a.untilSignal()(); err != nil {
		t.Errorf("release = %v without a signal", err)
	}
}
