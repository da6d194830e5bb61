package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"granary/core/kv"
	"granary/core/kv/kvtest"
	"granary/core/rt"
	"granary/prod/sched"
)

// place is a file over several lives of its store.
type place struct {
	path string
	opts Options
}

// Do implements kvtest.Harness.
func (p place) Do(t kvtest.T, f func(env rt.Env, s kv.Store)) {
	env := sched.New(rt.NodeID{1}, sched.Options{})
	s, err := Open(env, p.path, p.opts)
	if err != nil {
		t.Fatalf("%v", err)
	}
	f(env, s)
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if report, err := Check(p.path, 0, nil); err != nil {
		t.Errorf("after close: %+v: %v", report, err)
	}
	if !hasFreelist(p.path) {
		t.Errorf("a closed store left no list of free pages")
	}
}

// fast returns options for tests that do not crash.
func fast() Options {
	o := DefaultOptions()
	o.Fsync = false
	return o
}

func TestConformance(t *testing.T) {
	small := fast()
	small.MapBytes = 1 // every commit may remap, and holds up readers
	listed := fast()
	listed.FreelistSync = true
	for name, opts := range map[string]Options{"default": fast(), "small map": small, "freelist": listed} {
		t.Run(name, func(t *testing.T) {
			dir, n := t.TempDir(), 0
			kvtest.Run(t, func(kvtest.T) kvtest.Harness {
				n++
				return place{path: filepath.Join(dir, fmt.Sprint(n)), opts: opts}
			})
		})
	}
}

func open(t testing.TB, path string, opts Options) (*Store, rt.Env) {
	t.Helper()
	env := sched.New(rt.NodeID{1}, sched.Options{})
	s, err := Open(env, path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, env
}

func put(s kv.Store, key, value string) error {
	return s.Update(context.Background(), func(w kv.Writer) error {
		w.Put([]byte(key), []byte(value))
		return nil
	})
}

func keys(s kv.Store) string {
	var keys []string
	err := s.View(func(r kv.Reader) error {
		r.Ascend(nil, nil, func(k, _ []byte) bool {
			keys = append(keys, string(k))
			return true
		})
		return nil
	})
	if err != nil {
		return err.Error()
	}
	return strings.Join(keys, " ")
}

func TestOptionsReportAllFaults(t *testing.T) {
	err := Options{FillPercent: 5, MapBytes: -1}.Validate()
	for _, fault := range []string{"FillPercent 5", "MapBytes -1"} {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("Validate = %v, want %s in it", err, fault)
		}
	}
	if err := DefaultOptions().Validate(); err != nil {
		t.Error(err)
	}
}

func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv")
	open(t, path, DefaultOptions())
	opts := DefaultOptions()
	opts.LockTimeout = 1
	_, err := Open(sched.New(rt.NodeID{1}, sched.Options{}), path, opts)
	if err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("second open: %v", err)
	}
}

// A copy taken while others write is a sound store of one moment.
func TestSnapshot(t *testing.T) {
	s, env := open(t, filepath.Join(t.TempDir(), "kv"), fast())
	g := rt.NewGroup(env, env.Background())
	for i := range 4 {
		g.Go("write", func(context.Context) error {
			for n := range 50 {
				err := s.Update(env.Background(), func(w kv.Writer) error {
					for j := range 10 {
						w.Put(fmt.Appendf(nil, "%d.%d.%d", i, n, j), make([]byte, 500))
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	for n := range 5 {
		var buf bytes.Buffer
		if err := s.Snapshot(&buf, nil); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), fmt.Sprint("copy", n))
		if err := os.WriteFile(path, buf.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if report, err := Check(path, 0, nil); err != nil || report.Keys%10 != 0 {
			t.Errorf("copy: %+v: %v", report, err)
		}
		open(t, path, fast())
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func TestCheckVisits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv")
	s, _ := open(t, path, fast())
	put(s, "a", "12")
	put(s, "b", "3")
	s.Close()
	refuse := errors.New("bad checksum")
	report, err := Check(path, 0, func(r kv.Reader) error {
		if string(r.Get([]byte("a"))) != "12" {
			t.Error("the content is not that of the store")
		}
		return refuse
	})
	if !errors.Is(err, refuse) || report.Keys != 2 || report.KeyBytes != 2 || report.ValueBytes != 3 {
		t.Errorf("%+v: %v", report, err)
	}
	if _, err := Check(path+"absent", 0, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}

// damage fills a store, then changes every page of rows with f. The meta pages, the root and the list of free
// pages stay. Unless clean, the file is that of a store that was not closed.
func damage(t *testing.T, clean bool, f func(r *rand.Rand, page []byte)) (path string) {
	path = filepath.Join(t.TempDir(), "kv")
	s, env := open(t, path, fast())
	for i := range 5 {
		err := s.Update(env.Background(), func(w kv.Writer) error {
			for j := range 1000 {
				w.Put(binary.BigEndian.AppendUint64(nil, uint64(j*5+i)), make([]byte, 100))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if clean {
		s.Close()
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const flagsAt, countAt, leaf = 8, 10, 2
	size, r := os.Getpagesize(), rand.New(rand.NewPCG(1, 2))
	for at := 2 * size; at < len(raw); at += size {
		page := raw[at : at+size]
		if page[flagsAt] == leaf && binary.NativeEndian.Uint16(page[countAt:]) > 1 {
			f(r, page)
		}
	}
	path += ".damaged"
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var damages = map[string]func(r *rand.Rand, page []byte){
	"zeros": func(_ *rand.Rand, page []byte) { clear(page) },
	"flags": func(_ *rand.Rand, page []byte) { page[8] = 0 },
	"noise": func(r *rand.Rand, page []byte) {
		for i := range page {
			page[i] = byte(r.Uint32())
		}
	},
	"body": func(r *rand.Rand, page []byte) {
		for i := pageHeader; i < len(page); i++ {
			page[i] = byte(r.Uint32())
		}
	},
}

// After a crash the damage is found at Open, by Check always, and neither ends the process.
func TestDamageAtOpen(t *testing.T) {
	for name, f := range damages {
		t.Run(name, func(t *testing.T) {
			for _, clean := range []bool{true, false} {
				if _, err := Check(damage(t, clean, f), 0, nil); !errors.Is(err, kv.ErrFailed) {
					t.Errorf("check, closed %v: %v", clean, err)
				}
			}
			_, err := Open(sched.New(rt.NodeID{1}, sched.Options{}), damage(t, false, f), fast())
			if !errors.Is(err, kv.ErrFailed) {
				t.Errorf("open: %v", err)
			}
		})
	}
}

// Damage that a transaction meets fails the store. It is not taken for the caller's panic, nor for an absent
// key.
func TestDamageMet(t *testing.T) {
	uses := map[string]func(s *Store) error{
		"get":     viewed(func(r kv.Reader) { r.Get([]byte{9}) }),
		"ascend":  viewed(func(r kv.Reader) { r.Ascend(nil, nil, all) }),
		"descend": viewed(func(r kv.Reader) { r.Descend(nil, nil, all) }),
		"put":     func(s *Store) error { return put(s, "k", "v") },
		"update": func(s *Store) error {
			return s.Update(context.Background(), func(w kv.Writer) error { w.Get([]byte{9}); return nil })
		},
	}
	for damageName, f := range damages {
		for useName, use := range uses {
			t.Run(damageName+" "+useName, func(t *testing.T) {
				told := 0
				opts := fast()
				opts.Failed = func(error) { told++ }
				s, _ := open(t, damage(t, true, f), opts)
				for range 2 {
					if err := use(s); !errors.Is(err, kv.ErrFailed) {
						t.Errorf("answered %v", err)
					}
				}
				if told != 1 {
					t.Errorf("told %d times", told)
				}
			})
		}
	}
}

func all(_, _ []byte) bool { return true }

func viewed(f func(r kv.Reader)) func(s *Store) error {
	return func(s *Store) error {
		return s.View(func(r kv.Reader) error {
			f(r)
			return nil
		})
	}
}

// A panic of the caller's passes through a View and leaves the store in order.
func TestPanicInView(t *testing.T) {
	s, _ := open(t, filepath.Join(t.TempDir(), "kv"), fast())
	put(s, "k", "v")
	func() {
		defer func() {
			if v := recover(); v != "mine" {
				t.Errorf("recovered %v", v)
			}
		}()
		s.View(func(r kv.Reader) error {
			r.Ascend(nil, nil, func(_, _ []byte) bool { panic("mine") })
			return nil
		})
	}()
	if got := keys(s); got != "k" {
		t.Errorf("after the panic: %q", got)
	}
}

// A file whose creation was cut off before the bucket was made is a new store.
func TestHalfCreated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	s, _ := open(t, path, fast())
	if err := put(s, "k", "v"); err != nil || keys(s) != "k" {
		t.Errorf("put: %v, keys %q", err, keys(s))
	}
}

func TestNotAStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv")
	os.WriteFile(path, bytes.Repeat([]byte("text\n"), 10_000), 0o600)
	_, err := Open(sched.New(rt.NodeID{1}, sched.Options{}), path, fast())
	if !errors.Is(err, kv.ErrFailed) {
		t.Errorf("open: %v", err)
	}
}
