package disktest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"granary/core/block"
	"granary/core/rt"
)

// absent is the version of a file that is not there.
const absent = -1

// legal tells, for every file of a script, what may be found after a crash: numbers of versions.
type legal struct {
	sizes    map[int]int // by version
	versions [files][]int
	next     int
}

func newLegal() *legal {
	l := &legal{sizes: map[int]int{}}
	for f := range l.versions {
		l.versions[f] = []int{absent}
	}
	return l
}

// call runs one write or remove on the disk and keeps the account: while a write runs, old and new are legal;
// once it has returned, only the new. A removal need not survive.
func (l *legal) call(ctx context.Context, d block.Disk, o op) error {
	before := l.versions[o.File]
	if o.Kind == "remove" {
		l.versions[o.File] = append(before[:len(before):len(before)], absent)
		if err := d.Remove(ctx, hash(o.File)); err != nil {
			return err
		}
		return want(ctx, d, hash(o.File), nil)
	}
	l.next++
	v := l.next
	l.sizes[v] = o.Size
	l.versions[o.File] = append(before[:len(before):len(before)], v)
	if err := d.Write(ctx, hash(o.File), content(v, o.Size)); err != nil {
		return err
	}
	l.versions[o.File] = []int{v}
	return want(ctx, d, hash(o.File), content(v, o.Size))
}

// settle checks that every file is one of its legal versions, whole, and takes what it finds as the only
// legal one: what a freshly opened disk shows is durable.
func (l *legal) settle(ctx context.Context, d block.Disk) error {
	present := twin{}
	for f := range l.versions {
		found, data, err := l.find(ctx, d, f)
		if err != nil {
			return err
		}
		l.versions[f] = []int{found}
		if found != absent {
			present[hash(f)] = data
		}
	}
	return wantPages(ctx, d, present.list(block.Hash{}, files), 4)
}

func (l *legal) find(ctx context.Context, d block.Disk, f int) (version int, data []byte, err error) {
	got, err := d.Read(ctx, hash(f), nil)
	if err != nil && !errors.Is(err, block.ErrNotFound) {
		return 0, nil, err
	}
	for _, v := range l.versions[f] {
		if v == absent && err != nil {
			return v, nil, nil
		}
		if v != absent && err == nil && string(got) == string(content(v, l.sizes[v])) {
			return v, got, nil
		}
	}
	return 0, nil, fmt.Errorf("file %d: %d bytes, error %v: none of the legal versions %v of sizes %v", f,
		len(got), err, l.versions[f], l.sizes)
}

// cut runs a script, crashes at the nth instant, and looks at what is left. It reports whether the script was
// cut.
func (l *legal) cut(m Machine, n int, script []op) (bool, error) {
	failure := error(nil)
	was := m.Crash(n, func(ctx context.Context, _ rt.Env, d block.Disk) {
		for i, o := range script {
			if err := l.call(ctx, d, o); err != nil {
				failure = fmt.Errorf("call %d, %+v: %w", i, o, err)
				return
			}
		}
	})
	if failure != nil {
		return was, failure
	}
	failure = errors.New("the look at the disk did not end")
	m.Run(func(ctx context.Context, _ rt.Env, d block.Disk) { failure = l.settle(ctx, d) })
	if failure != nil {
		return was, fmt.Errorf("after the crash at %d: %w", n, failure)
	}
	return was, nil
}

// testCrash cuts one script at every instant of its life, on the same disk, each time on top of what the
// crash before has left.
func testCrash(t *testing.T, m Machine) {
	script := []op{
		{"write", 2, 9000}, {"write", 2, 5000}, {"write", 3, 100}, {"remove", 3, 0}, {"write", 3, 4096},
		{"write", 0, 0}, {"remove", 2, 0}, {"write", 1, 70_000},
	}
	l := newLegal()
	n := 0
	for ; n < crashPointsMax; n++ {
		was, err := l.cut(m, n, script)
		if err != nil {
			t.Fatal(err)
		}
		if !was {
			break
		}
	}
	if n < len(script) || n == crashPointsMax {
		t.Fatalf("%d instants of a script of %d calls", n, len(script))
	}
}

func testCrashRandom(t *testing.T, m Machine) {
	l := newLegal()
	rapid.Check(t, func(t *rapid.T) {
		script := drawPlan(t, 6, "write", "write", "write", "remove")
		if _, err := l.cut(m, rapid.IntRange(0, 300).Draw(t, "instant"), script); err != nil {
			t.Fatal(err)
		}
	})
}

// testFailedSync fails each sync of an overwriting Write in turn.
func testFailedSync(t *testing.T, m Machine) {
	l := newLegal()
	n := 0
	for failed := true; failed; n++ {
		if n > 10 {
			t.Fatal("a Write with more than 10 syncs")
		}
		check(t, m, func(ctx context.Context, _ rt.Env, d block.Disk) error {
			return l.call(ctx, d, op{"write", 2, 9000})
		})
		m.FailSync(n)
		check(t, m, func(ctx context.Context, _ rt.Env, d block.Disk) error {
			err := l.call(ctx, d, op{"write", 2, 7000})
			failed = err != nil
			if !failed {
				return nil
			}
			return l.wantRefusal(ctx, d, err)
		})
		if m.Crash != nil {
			m.Crash(0, func(context.Context, rt.Env, block.Disk) {})
		}
		check(t, m, func(ctx context.Context, _ rt.Env, d block.Disk) error { return l.settle(ctx, d) })
	}
	if n < 2 {
		t.Fatal("a Write without a sync")
	}
}

// wantRefusal checks a disk whose last Write failed with err: old or new is there, and nothing is written any
// more.
func (l *legal) wantRefusal(ctx context.Context, d block.Disk, err error) error {
	if !errors.Is(err, block.ErrDisk) {
		return fmt.Errorf("a failed sync: %w, want ErrDisk", err)
	}
	if _, _, err := l.find(ctx, d, 2); err != nil {
		return err
	}
	for _, f := range []int{2, 4, 2} {
		if err := d.Write(ctx, hash(f), content(99, 10)); !errors.Is(err, block.ErrDisk) {
			return fmt.Errorf("write after a failed sync: %v, want ErrDisk", err)
		}
	}
	_, _, err = l.find(ctx, d, 2)
	return errors.Join(err, want(ctx, d, hash(4), nil))
}
