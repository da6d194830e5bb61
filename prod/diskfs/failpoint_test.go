//go:build failpoints

// The tests of this file need the failpoints compiled in, and a build cache of their own:
//
//	GOBIN=/tmp/failpoint go install \
//		github.com/pingcap/failpoint/failpoint-toolexec@v0.0.0-20240528011301-b51a646c7c86
//	GOCACHE=/tmp/failpoint/cache go test -tags failpoints \
//		-toolexec /tmp/failpoint/failpoint-toolexec ./prod/diskfs

package diskfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pingcap/failpoint"

	"granary/core/block"
	"granary/core/block/disktest"
	"granary/core/rt"
	"granary/prod/sched"
)

const prefix = "granary/prod/diskfs/"

// writeSteps are the durable steps of a Write, in order.
var writeSteps = []string{"create", "write", "sync", "rename", "folder"}

// atEveryPoint calls f with the name of every failpoint of a Write.
func atEveryPoint(f func(name string)) {
	for _, step := range writeSteps {
		f(step + "-before")
		f(step + "-after")
	}
}

// onStep calls f at every failpoint until the returned function is called.
func onStep(t testing.TB, f func(name string)) (off func()) {
	t.Helper()
	if err := failpoint.EnableCall(prefix+"step", f); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := failpoint.Disable(prefix + "step"); err != nil {
			t.Error(err)
		}
	}
}

// TestFailpointsAreIn fails when the package was built without the tool: all other tests would be empty.
func TestFailpointsAreIn(t *testing.T) {
	called := 0
	off := onStep(t, func(string) { called++ })
	_ = point("probe")
	off()
	_ = point("probe")
	if called != 1 {
		t.Fatalf("the failpoint was reached %d times, want 1: build with -toolexec", called)
	}
}

// TestOrderOfSteps is the shape that rule 1 rests on.
func TestOrderOfSteps(t *testing.T) {
	m := newMachine(t)
	m.run(func(ctx context.Context, _ rt.Env, d block.Disk) {
		var got, want []string
		atEveryPoint(func(name string) { want = append(want, name) })
		off := onStep(t, func(name string) { got = append(got, name) })
		err := d.Write(ctx, block.Hash{1}, []byte("x"))
		off()
		if err != nil || strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("error %v, steps %v", err, got)
		}
	})
}

// broken says how a disk breaks the order of durable steps: a file that matters is written to a temporary
// name, synced, renamed, and the folder synced; after a failed sync nothing more is written.
func broken(t *testing.T, noSync bool) error {
	m := newMachine(t)
	m.opts.NoSync = noSync
	_, d, stop := m.open()
	defer stop()
	ctx := context.Background()
	var steps []string
	off := onStep(t, func(name string) {
		if step, ok := strings.CutSuffix(name, "-after"); ok {
			steps = append(steps, step)
		}
	})
	err := d.Write(ctx, block.Hash{1}, []byte("x"))
	off()
	if err != nil || strings.Join(steps, " ") != strings.Join(writeSteps, " ") {
		return fmt.Errorf("a write did %v: %w", steps, err)
	}
	if err := failpoint.Enable(prefix+"folder-before", `1*return("EIO")`); err != nil {
		t.Fatal(err)
	}
	defer failpoint.Disable(prefix + "folder-before")
	for range 2 {
		if err := d.Write(ctx, block.Hash{2}, []byte("x")); !errors.Is(err, block.ErrDisk) {
			return fmt.Errorf("a write after a failed sync: %w", err)
		}
	}
	return nil
}

// TestRule10 holds a disk to it, and shows that one without syncs does not pass.
func TestRule10(t *testing.T) {
	if err := broken(t, false); err != nil {
		t.Error(err)
	}
	if err := broken(t, true); err == nil {
		t.Error("a disk that does not sync passes: the test cannot fail")
	}
}

// TestErrorAtEveryPoint injects each error once and checks what is left, what is reported, and whether the
// disk refuses further writes (rules 1 and 4).
func TestErrorAtEveryPoint(t *testing.T) {
	for _, errno := range []string{"EIO", "ENOSPC"} {
		atEveryPoint(func(name string) {
			t.Run(errno+" "+name, func(t *testing.T) { errorAt(t, name, errno) })
		})
	}
}

func errorAt(t *testing.T, name, errno string) {
	ctx := context.Background()
	h, other := block.Hash{1}, block.Hash{1, 1}
	m := newMachine(t)
	var failures atomic.Int32
	m.opts.Failed = func(error) { failures.Add(1) }
	_, d, stop := m.open()
	if err := d.Write(ctx, h, []byte("old")); err != nil {
		t.Fatal(err)
	}

	if err := failpoint.Enable(prefix+name, fmt.Sprintf("1*return(%q)", errno)); err != nil {
		t.Fatal(err)
	}
	err := d.Write(ctx, h, []byte("new"))
	if err := failpoint.Disable(prefix + name); err != nil {
		t.Fatal(err)
	}

	renamed := strings.HasPrefix(name, "folder") || name == "rename-after"
	sticky := strings.HasPrefix(name, "folder") || strings.HasPrefix(name, "sync") && errno == "EIO"
	full := errno == "ENOSPC" && !sticky
	if errors.Is(err, block.ErrDiskFull) != full || errors.Is(err, block.ErrDisk) == full {
		t.Errorf("error %v, want disk full: %v", err, full)
	}
	content := map[bool]string{false: "old", true: "new"}[renamed]
	if got, err := d.Read(ctx, h, nil); err != nil || string(got) != content {
		t.Errorf("read %q, error %v, want %q", got, err, content)
	}
	if left, err := os.ReadDir(m.opts.Root + "/tmp"); err != nil || len(left) != 0 {
		t.Errorf("tmp holds %v, error %v", left, err)
	}
	for range 2 {
		err := d.Write(ctx, other, []byte("other"))
		if errors.Is(err, block.ErrDisk) != sticky || (err == nil) == sticky {
			t.Errorf("the next write: %v, want refusal: %v", err, sticky)
		}
	}
	if (failures.Load() == 1) != sticky || (d.Failed() != nil) != sticky || failures.Load() > 1 {
		t.Errorf("Failed: %d calls, gives %v; want refusal: %v", failures.Load(), d.Failed(), sticky)
	}
	if err := d.Remove(ctx, other); err != nil {
		t.Errorf("remove: %v", err)
	}
	stop()

	_, d, stop = m.open()
	defer stop()
	if got, err := d.Read(ctx, h, nil); err != nil || string(got) != content {
		t.Errorf("after a restart: %q, error %v, want %q", got, err, content)
	}
	if err := d.Write(ctx, h, []byte("again")); err != nil {
		t.Errorf("write after a restart: %v", err)
	}
}

// TestSharedSyncFails checks that a failed folder sync fails everybody whose rename it may have lost, also a
// Write whose own sync comes later and succeeds (rule 4).
func TestSharedSyncFails(t *testing.T) {
	const tasks = 8
	m := newMachine(t)
	env, d, stop := m.open()
	defer stop()
	if err := failpoint.Enable(prefix+"folder-before", `1*return("EIO")`); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = failpoint.Disable(prefix + "folder-before") }()
	var renamed, acked atomic.Int32
	allRenamed := make(chan struct{})
	off := onStep(t, func(name string) {
		if name == "rename-after" && renamed.Add(1) == tasks {
			close(allRenamed)
		}
		if name == "rename-after" {
			<-allRenamed // so that every rename stands before the failing sync
		}
	})
	defer off()
	g := rt.NewGroup(env, env.Background())
	for n := range tasks {
		g.Go("write", func(ctx context.Context) error {
			if d.Write(ctx, block.Hash{1, byte(n)}, nil) == nil {
				acked.Add(1)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil || acked.Load() != 0 {
		t.Errorf("error %v, %d writes acknowledged", err, acked.Load())
	}
}

// crashing runs f on a node that dies at its nth failpoint: from then on every task that reaches one ends. Of
// the many folder syncs in Open only each 64th counts.
func (m *machine) crashing(n int, f disktest.Task) (cut bool) {
	var passed, skipped atomic.Int64
	var opened, dead atomic.Bool
	off := onStep(m.t, func(name string) {
		if !opened.Load() && strings.HasPrefix(name, "folder") && skipped.Add(1)%64 != 0 {
			return
		}
		if passed.Add(1) > int64(n) {
			dead.Store(true)
		}
		if dead.Load() {
			runtime.Goexit()
		}
	})
	defer off()
	env := sched.New(rt.NodeID{1}, sched.Options{})
	done := make(chan bool)
	go func() {
		finished := false
		defer func() { done <- finished }()
		d, err := Open(env, m.opts)
		if err != nil {
			m.t.Errorf("open: %v", err)
			return
		}
		defer d.lock.Close() // a dead process holds no lock
		opened.Store(true)
		f(env.Background(), env, d)
		finished = true
	}()
	finished := <-done
	env.Stop(time.Minute)
	return !finished
}

func TestConformanceWithCrashes(t *testing.T) {
	disktest.Run(t, func(t *testing.T) disktest.Machine {
		m := newMachine(t)
		off := func() {}
		return disktest.Machine{
			Run: func(f disktest.Task) {
				m.run(func(ctx context.Context, env rt.Env, d block.Disk) { f(ctx, env, d) })
				off()
				off = func() {}
			},
			Crash:    m.crashing,
			FailSync: func(n int) { off = m.failSync(n) },
		}
	})
}

// failSync makes the nth sync of a Write fail. Syncs of a folder in Open do not count: a Write's come after a
// rename.
func (m *machine) failSync(n int) (off func()) {
	names := []string{"sync-before", "folder-before"}
	if n >= len(names) {
		return func() {}
	}
	step := onStep(m.t, func(name string) {
		if name == "create-before" { // the disk is open
			if err := failpoint.Enable(prefix+names[n], `1*return("EIO")`); err != nil {
				m.t.Error(err)
			}
		}
	})
	return func() {
		step()
		_ = failpoint.Disable(prefix + names[n])
	}
}

// Environment of a child: the disk's folder, the failpoint at which it kills itself, and what it does.
const (
	childRoot = "GRANARY_TEST_DISKFS_ROOT"
	childDies = "GRANARY_TEST_DISKFS_DIES"
	childDoes = "GRANARY_TEST_DISKFS_DOES"
)

// TestChild is the process that is killed; alone it does nothing.
func TestChild(t *testing.T) {
	root := os.Getenv(childRoot)
	if root == "" {
		return
	}
	arm := func() {
		onStep(t, func(name string) {
			if name == os.Getenv(childDies) {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // the signal is on its way
			}
		})
	}
	if os.Getenv(childDoes) == "open" {
		arm()
	}
	d, err := Open(sched.New(rt.NodeID{1}, sched.Options{}), Options{Root: root, Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	arm()
	ctx := context.Background()
	if os.Getenv(childDoes) == "remove" {
		t.Fatal(d.Remove(ctx, killed))
	}
	t.Fatal(d.Write(ctx, killed, newContent))
}

var (
	killed     = block.Hash{0x42}
	oldContent = []byte(strings.Repeat("old", 1<<18))
	newContent = []byte(strings.Repeat("new", 1<<19))
)

// dies runs a child that kills itself with SIGKILL.
func dies(t *testing.T, root, does, at string) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestChild$")
	child.Env = append(os.Environ(), childRoot+"="+root, childDies+"="+at, childDoes+"="+does)
	out, err := child.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child was not killed: %v\n%s", err, out)
	}
}

// TestKilledInWrite kills a real process at every failpoint of a Write, over an old file and over none (rule
// 1).
func TestKilledInWrite(t *testing.T) {
	for _, old := range [][]byte{nil, oldContent} {
		atEveryPoint(func(name string) {
			t.Run(fmt.Sprintf("%s over %d bytes", name, len(old)), func(t *testing.T) {
				m := newMachine(t)
				m.run(func(ctx context.Context, _ rt.Env, d block.Disk) {
					if old != nil {
						if err := d.Write(ctx, killed, old); err != nil {
							t.Fatal(err)
						}
					}
				})
				dies(t, m.opts.Root, "write", name)
				want := old
				if strings.HasPrefix(name, "folder") || name == "rename-after" {
					want = newContent
				}
				m.wantFile(want)
			})
		})
	}
}

func TestKilledInRemove(t *testing.T) {
	for name, want := range map[string][]byte{"remove-before": oldContent, "remove-after": nil} {
		m := newMachine(t)
		m.run(func(ctx context.Context, _ rt.Env, d block.Disk) {
			if err := d.Write(ctx, killed, oldContent); err != nil {
				t.Fatal(err)
			}
		})
		dies(t, m.opts.Root, "remove", name)
		m.wantFile(want)
	}
}

// TestKilledInFirstOpen kills the process that makes the disk; the next one finishes the work.
func TestKilledInFirstOpen(t *testing.T) {
	atEveryPoint(func(name string) {
		m := newMachine(t)
		dies(t, m.opts.Root, "open", name)
		m.wantFile(nil)
	})
}

// wantFile checks on a new node that the killed one's file is data, or absent, and that nothing else is left.
func (m *machine) wantFile(data []byte) {
	m.t.Helper()
	m.run(func(ctx context.Context, _ rt.Env, d block.Disk) {
		got, err := d.Read(ctx, killed, nil)
		if string(got) != string(data) || (data == nil) != errors.Is(err, block.ErrNotFound) {
			m.t.Errorf("read %d bytes, error %v, want %d bytes", len(got), err, len(data))
		}
		page, err := d.List(ctx, block.Hash{}, 10)
		if err != nil || len(page) != map[bool]int{true: 0, false: 1}[data == nil] {
			m.t.Errorf("listed %v, error %v", page, err)
		}
		if left, err := os.ReadDir(m.opts.Root + "/tmp"); err != nil || len(left) != 0 {
			m.t.Errorf("tmp holds %v, error %v", left, err)
		}
	})
}
