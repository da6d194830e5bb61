//go:build failpoints

// The tests of this file need the failpoints compiled in; how is told in prod/diskfs.

package daemon

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/pingcap/failpoint"
)

const prefix = "granary/prod/daemon/"

func enable(t *testing.T, name string) (off func()) {
	t.Helper()
	if err := failpoint.Enable(prefix+name, `1*return("here")`); err != nil {
		t.Fatal(err)
	}
	return func() { failpoint.Disable(prefix + name) }
}

// TestRestoreCut ends a restore at every point: the node then has the one store or the other, whole.
func TestRestoreCut(t *testing.T) {
	opts := options(filepath.Join(t.TempDir(), "data"))
	data, ctx := opts.Config.Data.Folder, context.Background()
	d := start(t, opts)
	if err := taker(d).take(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s3Client(t, d).PutObject(ctx, DevBucket, "b", strings.NewReader("b"), 1,
		minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	d.StopNow()
	name := names(t, data)[0]
	points := map[string]string{"restore-ready": "b", "restore-kept": "b", "restore-renamed": ""}
	for point, want := range points {
		off := enable(t, point)
		if _, err := Restore(ctx, opts.Config, name); err == nil || !strings.Contains(err.Error(), "here") {
			t.Errorf("%s: %v", point, err)
		}
		off()
		if faults := faultsOf(t, opts.Config); len(faults) > 0 {
			t.Errorf("%s: %q", point, faults)
		}
		d := start(t, opts)
		if found := has(t, d, "b"); found != want {
			t.Errorf("%s: there is %q, want %q", point, found, want)
		}
		d.StopNow()
		if want == "" {
			kept := names(t, data)
			if _, err := Restore(ctx, opts.Config, kept[len(kept)-1]); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestSnapshotCut ends a snapshot at every point: what is listed afterwards is whole.
func TestSnapshotCut(t *testing.T) {
	d := start(t, options(filepath.Join(t.TempDir(), "data")))
	for _, point := range []string{"snapshot-written", "snapshot-synced", "snapshot-renamed"} {
		off := enable(t, point)
		if err := taker(d).take(context.Background()); err == nil || !strings.Contains(err.Error(), "here") {
			t.Errorf("%s: %v", point, err)
		}
		off()
		for _, name := range names(t, d.folder.path) {
			path := filepath.Join(d.folder.path, snapshotsName, name+snapshotSuffix)
			if err := sound(context.Background(), d.env, path); err != nil {
				t.Errorf("%s: %s: %v", point, name, err)
			}
		}
	}
	if n := names(t, d.folder.path); len(n) != 1 {
		t.Errorf("%v, want the one that was renamed", n)
	}
}
