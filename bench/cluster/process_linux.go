package cluster

import "syscall"

// dieWithParent makes the kernel kill a child when this program ends, however it ends.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
