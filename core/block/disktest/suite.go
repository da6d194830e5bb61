// Package disktest is the conformance suite of [block.Disk]: what the block store relies on, checked in the
// same words on the simulated disk and on the real one.
package disktest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"granary/core/block"
	"granary/core/rt"
)

// Task is code that runs on a node with an open disk. ctx ends with the node.
type Task func(ctx context.Context, env rt.Env, d block.Disk)

// Machine is a disk that outlives its nodes, and the ways in which the suite uses it. A nil function says
// that this way cannot be had here; the tests that need it are left out.
type Machine struct {
	// Run boots a node on the disk, runs f as a task of it to its end, and stops the node in order.
	Run func(f Task)
	// Crash is Run, but the node dies at its nth instant, counted from 0, in the middle of opening the disk
	// or of f, together with everything that was not durable. It reports whether f was cut short; for some n
	// it is not, nor for any greater one.
	Crash func(n int, f Task) bool
	// Fill makes the disk so full, from the next boot on, that no Write of a byte succeeds.
	Fill func()
	// FailSync makes the nth sync of any Write, counted from 0 at the next boot, fail in that boot alone.
	FailSync func(n int)
}

// crashPointsMax bounds the instants at which one script is cut.
const crashPointsMax = 20_000

// Run runs the suite. open returns a new machine with an empty disk.
func Run(t *testing.T, open func(t *testing.T) Machine) {
	tests := []struct {
		name string
		run  func(t *testing.T, m Machine)
		can  func(m Machine) bool
	}{
		{"Basics", testBasics, nil},
		{"NoAlias", testNoAlias, nil},
		{"EndedContext", testEndedContext, nil},
		{"List", testList, nil},
		{"Usage", testUsage, nil},
		{"Reopen", testReopen, nil},
		{"Model", testModel, nil},
		{"Concurrent", testConcurrent, nil},
		{"Full", testFull, func(m Machine) bool { return m.Fill != nil }},
		{"FailedSync", testFailedSync, func(m Machine) bool { return m.FailSync != nil }},
		{"Crash", testCrash, func(m Machine) bool { return m.Crash != nil }},
		{"CrashRandom", testCrashRandom, func(m Machine) bool { return m.Crash != nil }},
	}
	for _, test := range tests {
		if test.can != nil && !test.can(open(t)) {
			continue
		}
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// check runs f on m and fails t with f's error. The assertion stands outside of the task, which may be a
// coroutine.
func check(t interface {
	Helper()
	Fatal(...any)
}, m Machine, f func(ctx context.Context, env rt.Env, d block.Disk) error) {
	t.Helper()
	err := errors.New("the task did not end")
	m.Run(func(ctx context.Context, env rt.Env, d block.Disk) { err = f(ctx, env, d) })
	if err != nil {
		t.Fatal(err)
	}
}

// hash returns the nth of the suite's addresses. Some share their first bytes, the first and the last are
// extreme.
func hash(n int) block.Hash {
	var h block.Hash
	switch {
	case n == 0:
		h[31] = 1
	case n == 1:
		for i := range h {
			h[i] = 0xff
		}
	default:
		h[0] = byte(n / 3)
		h[1] = byte(n % 3)
		h[31] = byte(n)
	}
	return h
}

// content returns size bytes that tell id, whatever piece of them is left.
func content(id, size int) []byte {
	data := make([]byte, size)
	x := uint32(id)*2654435761 + 12345
	for i := range data {
		x = x*1664525 + 1013904223
		data[i] = byte(x >> 24)
	}
	return data
}

// want reports how what is read under h differs from data; nil data means no file.
func want(ctx context.Context, d block.Disk, h block.Hash, data []byte) error {
	const prefix = "kept"
	got, err := d.Read(ctx, h, []byte(prefix))
	if len(got) < len(prefix) || string(got[:len(prefix)]) != prefix {
		return fmt.Errorf("read %s: dst was not kept", short(h))
	}
	got = got[len(prefix):]
	switch {
	case data == nil && errors.Is(err, block.ErrNotFound) && len(got) == 0:
		return nil
	case data == nil:
		return fmt.Errorf("read %s: %d bytes, error %v; want ErrNotFound", short(h), len(got), err)
	case err != nil:
		return fmt.Errorf("read %s: %w", short(h), err)
	case string(got) != string(data):
		return fmt.Errorf("read %s: another content of %d bytes, want %d", short(h), len(got), len(data))
	}
	return nil
}

func short(h block.Hash) string { return h.String()[:4] + ".." + h.String()[60:] }

// empty removes every file, page by page.
func empty(ctx context.Context, d block.Disk) error {
	for {
		page, err := d.List(ctx, block.Hash{}, 5)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, h := range page {
			if err := d.Remove(ctx, h); err != nil {
				return err
			}
		}
	}
}
