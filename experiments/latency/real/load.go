//go:build linux

package main

import (
	"fmt"
	"os"
)

// loads are the least and the greatest load average of the machine, over a minute, while it was measured.
type loads struct{ least, most float64 }

// look takes in the load of this moment.
func (l *loads) look() error {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	var now float64
	if _, err := fmt.Sscan(string(text), &now); err != nil {
		return fmt.Errorf("/proc/loadavg: %w", err)
	}
	if l.most == 0 {
		l.least = now
	}
	l.least, l.most = min(l.least, now), max(l.most, now)
	fmt.Printf("load average %.1f\n", now)
	return nil
}
