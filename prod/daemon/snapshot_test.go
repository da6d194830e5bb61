package daemon

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"granary/core/block"
	"granary/core/job"
	"granary/core/kv"
	"granary/prod/bolt"
)

// taker returns what takes snapshots of a daemon, with a job of its own.
func taker(d *Daemon) *snapshots {
	return &snapshots{env: d.env, job: job.NewBook(d.env).New("metadata snapshot", "bytes"), kv: d.kv,
		data: d.folder.path, every: time.Hour, keep: 3, noSync: true}
}

// names lists the snapshots in a data folder.
func names(t *testing.T, data string) (names []string) {
	t.Helper()
	list, err := Snapshots(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		names = append(names, s.Name)
	}
	return names
}

// TestSnapshots takes more than are kept, while others write, and finds each of the rest sound.
func TestSnapshots(t *testing.T) {
	opts := options(filepath.Join(t.TempDir(), "data"))
	d := start(t, opts)
	ctx, s := context.Background(), taker(d)
	if s.due() != snapshotRetry {
		t.Errorf("the first is due in %v", s.due())
	}
	stop, stopped := make(chan struct{}), make(chan error)
	client := s3Client(t, d)
	go func() {
		var err error
		for err == nil {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
				_, err = client.PutObject(ctx, DevBucket, "key", strings.NewReader("content"), 7,
					minio.PutObjectOptions{})
			}
		}
		stopped <- err
	}()
	left := filepath.Join(d.folder.path, snapshotsName, "left.tmp")
	for i := range 5 {
		if err := s.take(ctx); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			os.WriteFile(left, nil, 0o600)
		}
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a crash left behind is still there: %v", err)
	}
	if n := names(t, d.folder.path); len(n) != 3 {
		t.Errorf("%v, want 3", n)
	}
	for _, name := range names(t, d.folder.path) {
		path := filepath.Join(d.folder.path, snapshotsName, name+snapshotSuffix)
		if err := sound(ctx, d.env, path); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if due := s.due(); due < 50*time.Minute || due > time.Hour {
		t.Errorf("the next is due in %v", due)
	}
	if state := s.job.State(); state.Done == 0 || state.Done < state.Total || state.Passes != 4 {
		t.Errorf("the job is at %+v", state)
	}
	if f := d.facts(ctx); f.SnapshotBytes < 3*4096 {
		t.Errorf("status counts %d bytes", f.SnapshotBytes)
	}
	s.reserve = 1 << 60
	if err := s.take(ctx); !errors.Is(err, block.ErrDiskFull) {
		t.Errorf("without room: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	s.reserve = 0
	err := s.copy(ended, filepath.Join(t.TempDir(), "copy"))
	if err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) { // bbolt wraps no errors
		t.Error("a snapshot goes on when the node stops")
	}
}

// TestSnapshotJob shows the job of a store as it is configured by default, and none if that is turned off.
func TestSnapshotJob(t *testing.T) {
	opts := options(filepath.Join(t.TempDir(), "data"))
	d := start(t, opts)
	if d.node.Jobs().Find("metadata snapshot") == nil {
		t.Error("there is no such job")
	}
	d.StopNow()
	opts.Config.Metadata.Snapshots = 0
	d = start(t, opts)
	if d.node.Jobs().Find("metadata snapshot") != nil {
		t.Error("there is such a job though none are to be kept")
	}
}

// identity returns the record of a stopped node's store identity.
func identity(t *testing.T, data string) (raw []byte) {
	t.Helper()
	_, err := bolt.Check(filepath.Join(data, metadataName), 0, func(r kv.Reader) error {
		raw = bytes.Clone(r.Get([]byte("\x01node/store")))
		return nil
	})
	if err != nil || raw == nil {
		t.Fatalf("%x, %v", raw, err)
	}
	return raw
}

// has reports which of the keys a --dev store has.
func has(t *testing.T, d *Daemon, keys ...string) (found string) {
	t.Helper()
	for _, key := range keys {
		o, err := s3Client(t, d).GetObject(context.Background(), DevBucket, key, minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(o); err == nil && b.String() == key {
			found += key
		}
	}
	return found
}

// TestRestore goes back to a snapshot and forth again.
func TestRestore(t *testing.T) {
	opts := options(filepath.Join(t.TempDir(), "data"))
	data, ctx := opts.Config.Data.Folder, context.Background()
	d := start(t, opts)
	put := func(key string) {
		t.Helper()
		if _, err := s3Client(t, d).PutObject(ctx, DevBucket, key, strings.NewReader(key), 1,
			minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	put("a")
	if err := taker(d).take(ctx); err != nil {
		t.Fatal(err)
	}
	put("b")
	name := names(t, data)[0]
	if _, err := Restore(ctx, opts.Config, name); !errors.Is(err, ErrInUse) {
		t.Errorf("restore of a running node: %v", err)
	}
	d.StopNow()
	if _, err := Restore(ctx, opts.Config, "yesterday"); !errors.Is(err, ErrNoSnapshot) ||
		!strings.Contains(err.Error(), name) {
		t.Errorf("restore of nothing: %v", err)
	}
	before := identity(t, data)
	done, err := Restore(ctx, opts.Config, name)
	if err != nil || done.Gone != 0 || done.Replaced == "" {
		t.Fatalf("%+v, %v", done, err)
	}
	if bytes.Equal(identity(t, data), before) {
		t.Error("the restored store has the identity of the one before")
	}
	if faults := faultsOf(t, opts.Config); len(faults) > 0 {
		t.Errorf("the restored store: %q", faults)
	}
	d = start(t, opts)
	if found := has(t, d, "a", "b"); found != "a" {
		t.Errorf("after the restore there is %q", found)
	}
	d.StopNow()
	kept := strings.TrimSuffix(filepath.Base(done.Replaced), snapshotSuffix)
	if _, err = Restore(ctx, opts.Config, kept); err != nil {
		t.Fatal(err)
	}
	d = start(t, opts)
	if found := has(t, d, "a", "b"); found != "ab" {
		t.Errorf("after the way back there is %q", found)
	}
	d.StopNow()
}

// TestRestoreForgetsBlocks drops what the disk does not have any more, and refuses what is damaged.
func TestRestoreForgetsBlocks(t *testing.T) {
	opts := stocked(t)
	data, ctx := opts.Config.Data.Folder, context.Background()
	d := start(t, opts)
	if err := taker(d).take(ctx); err != nil {
		t.Fatal(err)
	}
	d.StopNow()
	name := names(t, data)[0]
	blocks, err := filepath.Glob(filepath.Join(data, "blocks", "blocks", "*", "*"))
	if err != nil || len(blocks) == 0 {
		t.Fatal(blocks, err)
	}
	if err := os.Remove(blocks[0]); err != nil {
		t.Fatal(err)
	}
	if done, err := Restore(ctx, opts.Config, name); err != nil || done.Gone != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	found, err := Check(ctx, opts.Config, true)
	if err != nil || found.Faulty != 0 || found.Blocks.Missing != 1 {
		t.Errorf("%+v, %v", found, err)
	}
	path := filepath.Join(data, snapshotsName, name+snapshotSuffix)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(raw[2*4096:])
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	before := identity(t, data)
	if _, err := Restore(ctx, opts.Config, name); !errors.Is(err, ErrDamaged) {
		t.Errorf("restore of a damaged snapshot: %v", err)
	}
	if !bytes.Equal(identity(t, data), before) {
		t.Error("the store was replaced by a damaged one")
	}
}
