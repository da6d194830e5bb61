package diskfs

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"granary/core/block"
	"granary/core/block/disktest"
	"granary/core/rt"
	"granary/prod/sched"
)

// machine runs nodes on one folder.
type machine struct {
	t    testing.TB
	opts Options
}

func newMachine(t testing.TB) *machine {
	return &machine{t: t, opts: Options{Root: filepath.Join(t.TempDir(), "disk"), Reserve: -1}}
}

// open gives a new node the disk. stop ends both.
func (m *machine) open() (env *sched.Env, d *Disk, stop func()) {
	m.t.Helper()
	env = sched.New(rt.NodeID{1}, sched.Options{})
	d, err := Open(env, m.opts)
	if err != nil {
		m.t.Fatal(err)
	}
	m.opts.ID = d.ID()
	return env, d, func() {
		if err := d.Close(); err != nil {
			m.t.Error(err)
		}
		if !env.Stop(time.Minute) {
			m.t.Error("tasks did not end")
		}
	}
}

func (m *machine) run(f disktest.Task) {
	m.t.Helper()
	env, d, stop := m.open()
	defer stop()
	f(env.Background(), env, d)
}

// TestMain makes the property tests short: each case opens the disk anew, with real syncs. A flag overrides
// it.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "25"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestConformance(t *testing.T) {
	disktest.Run(t, func(t *testing.T) disktest.Machine {
		m := newMachine(t)
		return disktest.Machine{
			Run:  m.run,
			Fill: func() { m.opts.Reserve = 1 << 62 },
		}
	})
}

func TestNoSync(t *testing.T) {
	m := newMachine(t)
	m.opts.NoSync = true
	h := block.Hash{1}
	m.run(func(ctx context.Context, _ rt.Env, d block.Disk) {
		if err := d.Write(ctx, h, []byte("data")); err != nil {
			t.Error(err)
		}
	})
	m.run(func(ctx context.Context, _ rt.Env, d block.Disk) {
		if got, err := d.Read(ctx, h, nil); err != nil || string(got) != "data" {
			t.Errorf("read %q, error %v", got, err)
		}
	})
}

func TestLayoutOnDisk(t *testing.T) {
	m := newMachine(t)
	_, d, stop := m.open()
	defer stop()
	ctx := context.Background()
	h := block.Hash{0xab, 0xcd, 31: 0x0f}
	if err := d.Write(ctx, h, []byte("data")); err != nil {
		t.Fatal(err)
	}
	name := "abcd" + strings.Repeat("00", 29) + "0f"
	got, err := os.ReadFile(filepath.Join(m.opts.Root, "blocks", "ab", name))
	if err != nil || string(got) != "data" {
		t.Fatalf("file holds %q, error %v", got, err)
	}
	marker, err := os.ReadFile(filepath.Join(m.opts.Root, "DISK"))
	if err != nil || string(marker) != "granary disk 1\n"+d.ID().String()+"\n" {
		t.Fatalf("marker %q, error %v", marker, err)
	}
	if left, err := os.ReadDir(filepath.Join(m.opts.Root, "tmp")); err != nil || len(left) != 0 {
		t.Fatalf("tmp holds %v, error %v", left, err)
	}
	for _, entry := range []struct {
		path string
		perm os.FileMode
	}{{"", 0o700}, {"blocks", 0o700}, {"blocks/ab", 0o700}, {"blocks/ab/" + name, 0o600}} {
		info, err := os.Stat(filepath.Join(m.opts.Root, entry.path))
		if err != nil || info.Mode().Perm() != entry.perm {
			t.Errorf("%q: %v, error %v, want %v", entry.path, info.Mode(), err, entry.perm)
		}
	}
}

func TestOtherNamesArePassedOver(t *testing.T) {
	m := newMachine(t)
	_, d, stop := m.open()
	defer stop()
	name := "ab" + strings.Repeat("00", 31)
	upper := strings.ToUpper(name)
	others := []string{"ab/x", "ab/" + upper, "ac/" + name, "ab/" + name + ".1", "ab/" + name[2:]}
	for _, path := range others {
		if err := os.WriteFile(filepath.Join(m.opts.Root, "blocks", path), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if page, err := d.List(context.Background(), block.Hash{}, 10); err != nil || len(page) != 0 {
		t.Fatalf("listed %v, error %v", page, err)
	}
}

func TestOpenRemovesTemporaryFiles(t *testing.T) {
	m := newMachine(t)
	m.run(func(context.Context, rt.Env, block.Disk) {})
	left := filepath.Join(m.opts.Root, "tmp", "left")
	if err := os.WriteFile(left, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.run(func(context.Context, rt.Env, block.Disk) {})
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("left: %v", err)
	}
}

// TestRefusedFolders is rule 6.
func TestRefusedFolders(t *testing.T) {
	marker := func(id string) func(root string) error {
		return func(root string) error {
			return os.WriteFile(filepath.Join(root, "DISK"), []byte("granary disk 1\n"+id+"\n"), 0o600)
		}
	}
	file := func(path string) func(root string) error {
		return func(root string) error {
			full := filepath.Join(root, path)
			return errors.Join(os.MkdirAll(filepath.Dir(full), 0o700), os.WriteFile(full, []byte("x"), 0o600))
		}
	}
	one := ID{15: 1}
	tests := []struct {
		name string
		make func(root string) error
		id   ID
		want error
		hint string
	}{
		{"empty mount point", func(string) error { return nil }, one, ErrWrongDisk, "mounted"},
		{"absent folder", os.Remove, one, ErrWrongDisk, "mounted"},
		{"another disk", marker(ID{15: 2}.String()), one, ErrWrongDisk, "mixed up"},
		{"damaged marker", marker("xyz"), ID{}, ErrWrongDisk, "damaged"},
		{"zero marker", marker(ID{}.String()), ID{}, ErrWrongDisk, "damaged"},
		{"somebody's files", file("letters/one.txt"), ID{}, ErrForeign, "empty folder"},
		{"blocks without marker", file("blocks/ab/some"), ID{}, ErrForeign, "restore"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			if err := tt.make(root); err != nil {
				t.Fatal(err)
			}
			before, _ := filepath.Glob(filepath.Join(root, "*"))
			_, err := Open(sched.New(rt.NodeID{}, sched.Options{}), Options{Root: root, ID: tt.id})
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.hint) {
				t.Errorf("error %v, want %v with %q", err, tt.want, tt.hint)
			}
			if after, _ := filepath.Glob(filepath.Join(root, "*")); len(after) != len(before) {
				t.Errorf("the folder was touched: %v, before %v", after, before)
			}
		})
	}
}

// TestUnfinishedOpen checks that a folder which an earlier Open has only begun to fill is taken.
func TestUnfinishedOpen(t *testing.T) {
	m := newMachine(t)
	for _, path := range []string{"tmp", "blocks/00", "lost+found"} {
		if err := os.MkdirAll(filepath.Join(m.opts.Root, path), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	m.run(func(ctx context.Context, _ rt.Env, d block.Disk) {
		if err := d.Write(ctx, block.Hash{1}, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestOneProcessOnly(t *testing.T) {
	m := newMachine(t)
	env, _, stop := m.open()
	if _, err := Open(env, m.opts); !errors.Is(err, ErrInUse) {
		t.Errorf("second open: %v", err)
	}
	stop()
	m.run(func(context.Context, rt.Env, block.Disk) {})
}

// TestReserve is rule 5: writes stop at the reserve, everything else goes on.
func TestReserve(t *testing.T) {
	m := newMachine(t)
	_, free, err := space(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m.opts.Reserve = free / 2
	m.run(func(ctx context.Context, _ rt.Env, d block.Disk) {
		u, err := d.Usage(ctx)
		if err != nil || u.Free < free/4 || u.Free > free*3/4 {
			t.Errorf("usage %+v, error %v with half of %d in reserve", u, err, free)
		}
	})
	m.opts.Reserve = 0
	m.run(func(ctx context.Context, _ rt.Env, d block.Disk) {
		total, free, err := space(m.opts.Root)
		u, usageErr := d.Usage(ctx)
		if err != nil || usageErr != nil || free-u.Free < min(total/100, ReserveMax)/2 {
			t.Errorf("usage %+v, of %d and %d; errors %v, %v", u, total, free, err, usageErr)
		}
	})
}

func TestTooBig(t *testing.T) {
	m := newMachine(t)
	m.run(func(ctx context.Context, _ rt.Env, d block.Disk) {
		if err := d.Write(ctx, block.Hash{1}, make([]byte, FileMax+1)); !errors.Is(err, block.ErrDisk) {
			t.Errorf("write: %v", err)
		}
		path := filepath.Join(m.opts.Root, "blocks", "01", block.Hash{1}.String())
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, FileMax+1)); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Read(ctx, block.Hash{1}, nil); !errors.Is(err, block.ErrDisk) {
			t.Errorf("read: %v", err)
		}
	})
}

// TestDiskGone checks that a disk that vanished is not taken for one without blocks.
func TestDiskGone(t *testing.T) {
	m := newMachine(t)
	_, d, stop := m.open()
	defer stop()
	if err := os.Rename(m.opts.Root, m.opts.Root+".gone"); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	_, readErr := d.Read(ctx, block.Hash{1}, nil)
	_, listErr := d.List(ctx, block.Hash{}, 1)
	for _, err := range []error{readErr, listErr, d.Write(ctx, block.Hash{1}, nil)} {
		if !errors.Is(err, block.ErrDisk) || errors.Is(err, block.ErrNotFound) {
			t.Errorf("error %v, want ErrDisk", err)
		}
	}
}

func TestClosed(t *testing.T) {
	m := newMachine(t)
	_, d, stop := m.open()
	stop()
	ctx := context.Background()
	_, readErr := d.Read(ctx, block.Hash{1}, nil)
	for _, err := range []error{readErr, d.Write(ctx, block.Hash{1}, nil), d.Remove(ctx, block.Hash{1})} {
		if !errors.Is(err, block.ErrDisk) {
			t.Errorf("error %v, want ErrDisk", err)
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func FuzzMarker(f *testing.F) {
	f.Add("granary disk 1\n000102030405060708090a0b0c0d0e0f\n")
	f.Add("granary disk 1\n")
	f.Add("granary disk 2\n000102030405060708090a0b0c0d0e0f\n")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := parseMarker(text)
		if err == nil && !strings.EqualFold(markerHead+id.String()+"\n", text) {
			t.Errorf("%q was read as %s", text, id)
		}
	})
}

func FuzzName(f *testing.F) {
	f.Add(strings.Repeat("0a", 32))
	f.Add(strings.Repeat("0A", 32))
	f.Fuzz(func(t *testing.T, name string) {
		if h, ok := parseName(name); ok && h.String() != name {
			t.Errorf("%q was read as %s", name, h)
		}
	})
}
