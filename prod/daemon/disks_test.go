package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"granary/core/api/admin"
)

// stock is a --dev store that several disks, or one, are given to.
type stock struct {
	t    *testing.T
	opts Options
	data []byte
}

// run starts the store, lets f use it, and stops it.
func (s *stock) run(f func(ctx context.Context, d *Daemon, c *minio.Client)) {
	s.t.Helper()
	d, err := Start(context.Background(), s.opts)
	if err != nil {
		s.t.Fatalf("%v\n%v", err, s.opts.Log)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	f(ctx, d, s3Client(s.t, d))
	if err := d.StopNow(); err != nil {
		s.t.Error(err)
	}
}

// put stores an object of twelve blocks.
func (s *stock) put(ctx context.Context, d *Daemon, c *minio.Client) {
	s.t.Helper()
	if _, err := c.PutObject(ctx, DevBucket, "large", bytes.NewReader(s.data), int64(len(s.data)),
		minio.PutObjectOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// want reads it.
func (s *stock) want(ctx context.Context, d *Daemon, c *minio.Client) {
	s.t.Helper()
	o, err := c.GetObject(ctx, DevBucket, "large", minio.GetObjectOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer o.Close()
	if got, err := io.ReadAll(o); err != nil || !bytes.Equal(got, s.data) {
		s.t.Errorf("%d bytes of %d, %v", len(got), len(s.data), err)
	}
}

// settle waits until the names on the disks were compared after a change of them.
func (s *stock) settle(ctx context.Context, d *Daemon) admin.Scrubs {
	s.t.Helper()
	for {
		var scrubs admin.Scrubs
		if code, text := get(s.t, overSocket(d), "http://x/v1/scrub"); code != 200 {
			s.t.Fatal(code, text)
		} else if err := json.Unmarshal([]byte(text), &scrubs); err != nil {
			s.t.Fatal(err)
		}
		if scrubs.Now != nil && scrubs.Now.Ended != nil {
			return scrubs
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("%+v\n%v", scrubs.Now, s.opts.Log)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func files(t *testing.T, disk string) int {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(disk, "blocks", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// A node goes from one disk to three, loses one and gets it back, and empties another; a disk that is not the
// right one is never written to.
func TestSeveralDisks(t *testing.T) {
	base := t.TempDir()
	a, b, c := filepath.Join(base, "data", "blocks"), filepath.Join(base, "b"), filepath.Join(base, "c")
	s := &stock{t: t, opts: options(filepath.Join(base, "data")), data: make([]byte, 12<<20)}
	for i := range s.data {
		s.data[i] = byte(i ^ i>>8 ^ i>>16 ^ i>>24)
	}
	s.run(func(ctx context.Context, d *Daemon, cl *minio.Client) { s.put(ctx, d, cl) })

	s.opts.Config.Data.Disks = []string{a + "=1T", b + "=1T", c + "=1T"}
	s.run(func(ctx context.Context, d *Daemon, cl *minio.Client) {
		moved := int64(0)
		for _, disk := range s.settle(ctx, d).Now.Disks {
			moved += disk.Moved
		}
		if moved == 0 || files(t, b)+files(t, c) != int(moved) || files(t, a) != 12-int(moved) {
			t.Errorf("%d, %d and %d files, %d moved", files(t, a), files(t, b), files(t, c), moved)
		}
		s.want(ctx, d, cl)
	})

	aside := filepath.Join(base, "aside")
	if err := os.Rename(c, aside); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(c, 0o700); err != nil { // the mount point
		t.Fatal(err)
	}
	s.run(func(ctx context.Context, d *Daemon, cl *minio.Client) {
		var st admin.Status
		_, text := get(t, overSocket(d), "http://x/v1/status")
		if err := json.Unmarshal([]byte(text), &st); err != nil {
			t.Fatal(err)
		}
		if len(st.Storage.Disks) != 3 || !strings.Contains(st.Storage.Disks[2].Error, "is it mounted?") ||
			!strings.Contains(strings.Join(st.Warnings, "\n"), "the disk at "+c) {
			t.Errorf("status %+v", st)
		}
		s.settle(ctx, d)
	})
	if left, err := os.ReadDir(c); err != nil || len(left) > 0 {
		t.Errorf("the empty mount point was written to: %v, %v", left, err)
	}

	if err := os.Remove(c); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, c); err != nil {
		t.Fatal(err)
	}
	s.opts.Config.Data.Disks[0] = a + "=0"
	s.run(func(ctx context.Context, d *Daemon, cl *minio.Client) {
		s.settle(ctx, d)
		s.want(ctx, d, cl)
		if files(t, a) != 0 || files(t, b)+files(t, c) != 12 {
			t.Errorf("%d, %d and %d files", files(t, a), files(t, b), files(t, c))
		}
	})

	other := &stock{t: t, opts: options(filepath.Join(base, "other"))}
	other.run(func(context.Context, *Daemon, *minio.Client) {})
	for want, disks := range map[string][]string{
		"was never one of this node": {b, c, filepath.Join(base, "other", "blocks")},
		"holds other files":          {b, c, base},
		"list them":                  nil,
	} {
		s.opts.Config.Data.Disks = disks
		if d, err := Start(context.Background(), s.opts); err == nil {
			d.StopNow()
			t.Errorf("disks %q: started", disks)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("disks %q: %v, want %q", disks, err, want)
		}
	}
}

// TestAbsentDisks: with several disks away a check names each, and blames no block for it; a restore refuses.
func TestAbsentDisks(t *testing.T) {
	base, ctx := t.TempDir(), context.Background()
	s := &stock{t: t, opts: options(filepath.Join(base, "data")), data: make([]byte, 12<<20)}
	for i := range s.data {
		s.data[i] = byte(i ^ i>>8 ^ i>>16 ^ i>>24)
	}
	var disks []string
	for _, name := range []string{"a", "b", "c"} {
		disks = append(disks, filepath.Join(base, name))
		s.opts.Config.Data.Disks = append(s.opts.Config.Data.Disks, filepath.Join(base, name)+"=1T")
	}
	s.run(func(ctx context.Context, d *Daemon, c *minio.Client) {
		s.put(ctx, d, c)
		if err := taker(d).take(ctx); err != nil {
			t.Fatal(err)
		}
	})
	away := 0
	for _, disk := range disks[1:] {
		away += files(t, disk)
		if err := os.Rename(disk, disk+" aside"); err != nil {
			t.Fatal(err)
		}
	}
	found, err := Check(ctx, s.opts.Config, true)
	if err != nil || found.NoDisk || found.Absent != 2 || found.Faulty != 2 || away == 0 ||
		found.Blocks.Away != int64(away) {
		t.Fatalf("%+v, %v, %d away", found, err, away)
	}
	for i, disk := range disks[1:] {
		if !strings.Contains(found.Faults[i], disk) {
			t.Errorf("faults %q do not name %s", found.Faults, disk)
		}
	}
	name := names(t, s.opts.Config.Data.Folder)[0]
	_, err = Restore(ctx, s.opts.Config, name)
	if !errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), disks[1]) ||
		!strings.Contains(err.Error(), disks[2]) {
		t.Errorf("restore: %v", err)
	}
	if err := os.Rename(disks[0], disks[0]+" aside"); err != nil {
		t.Fatal(err)
	}
	found, err = Check(ctx, s.opts.Config, true)
	if err != nil || !found.NoDisk || found.Faulty != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	for _, disk := range disks {
		if !strings.Contains(found.Faults[0], disk) {
			t.Errorf("fault %q does not name %s", found.Faults[0], disk)
		}
		if err := os.Rename(disk+" aside", disk); err != nil {
			t.Fatal(err)
		}
	}
	if done, err := Restore(ctx, s.opts.Config, name); err != nil || done.Gone != 0 {
		t.Errorf("restore with all of them: %+v, %v", done, err)
	}
	s.run(func(ctx context.Context, d *Daemon, c *minio.Client) { s.want(ctx, d, c) })
}
