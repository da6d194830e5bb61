// Package sched switches coroutines; this file is free, the others are not.
package sched

func switchTo(f func()) { go f() }
