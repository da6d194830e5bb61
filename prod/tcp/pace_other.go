//go:build !linux

package tcp

import "syscall"

// unpaced does nothing: only Linux lets a program choose.
func unpaced(_, _ string, _ syscall.RawConn) error { return nil }
