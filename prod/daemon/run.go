package daemon

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Run waits until the process is told to stop, or can no longer serve, and stops the node. A second signal
// ends the process at once, with the code that shells use for it.
//
// Errors: a listener's, or that something was cut.
func (d *Daemon) Run(ctx context.Context) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	var cause error
	select {
	case <-signals:
	case <-ctx.Done():
	case cause = <-d.failed:
	}
	stopped := make(chan struct{})
	defer close(stopped)
	go func() {
		select {
		case s := <-signals:
			number, _ := s.(syscall.Signal)
			fmt.Fprintln(d.opts.Log, "stopped at once by a second signal; what was acknowledged is on "+
				"the disk")
			d.opts.Exit(128 + int(number))
		case <-stopped:
		}
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), StopTimeout)
	defer cancel()
	if err := d.Stop(ctx); cause == nil {
		return err
	}
	return cause
}

// StopNow stops a node that serves nobody yet.
func (d *Daemon) StopNow() error {
	ctx, cancel := context.WithTimeout(context.Background(), taskTimeout)
	defer cancel()
	return d.Stop(ctx)
}
