package diskfs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"granary/core/block"
	"granary/prod/sched"
)

// TestReadOnly reads a disk without changing anything in it, and refuses what is none.
func TestReadOnly(t *testing.T) {
	m := newMachine(t)
	env, d, stop := m.open()
	h := block.HashOf([]byte("content"))
	if err := d.Write(env.Background(), h, []byte("content")); err != nil {
		t.Fatal(err)
	}
	m.opts.ReadOnly = true
	if _, err := Open(env, m.opts); !errors.Is(err, ErrInUse) {
		t.Errorf("while it is in use: %v", err)
	}
	stop()
	left := filepath.Join(m.opts.Root, "tmp", "left")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	env, d, stop = m.open()
	defer stop()
	got, err := d.Read(env.Background(), h, nil)
	if list, e := d.List(env.Background(), block.Hash{}, 9); e != nil || err != nil || len(list) != 1 ||
		!bytes.Equal(got, []byte("content")) {
		t.Errorf("%q, %v, %v, %v", got, err, list, e)
	}
	if err := d.Write(env.Background(), h, nil); !errors.Is(err, block.ErrDisk) {
		t.Errorf("write: %v", err)
	}
	if err := d.Remove(env.Background(), h); !errors.Is(err, block.ErrDisk) {
		t.Errorf("remove: %v", err)
	}
	if _, err := os.Stat(left); err != nil {
		t.Errorf("what a write left behind was touched: %v", err)
	}
	refuse(t, env, Options{Root: filepath.Join(t.TempDir(), "absent"), ReadOnly: true})
	refuse(t, env, Options{Root: t.TempDir(), ReadOnly: true})
}

// refuse demands that a folder is refused, and not touched.
func refuse(t *testing.T, env *sched.Env, opts Options) {
	t.Helper()
	if _, err := Open(env, opts); !errors.Is(err, ErrWrongDisk) {
		t.Errorf("%s: %v", opts.Root, err)
	}
	if inside, err := os.ReadDir(opts.Root); err == nil && len(inside) > 0 {
		t.Errorf("%s: made %v", opts.Root, inside)
	}
}
