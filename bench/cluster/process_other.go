//go:build !linux

package cluster

import "syscall"

// dieWithParent keeps signals of the terminal from children; Close has to stop them.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
