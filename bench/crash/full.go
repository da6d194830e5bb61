package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/minio/minio-go/v7"

	"granary/bench/cluster"
	"granary/bench/content"
)

// The disk that is filled, and what of it blocks leave for metadata and deletions.
const (
	diskSize    = "192m"
	diskLarger  = "384m"
	diskReserve = "64Mi"
	fillSize    = 1 << 20  // of the objects that fill it
	smallSize   = 20 << 10 // of those that lie with their rows
	fillMax     = 400      // more than it holds
)

// FullDisk fills the disk of a store on a tmpfs of its own: writes are then refused with the cause, large and
// small ones, while reads, listings and deletions go on, also after a kill; with more room all is well again.
// It needs root; without, it notes that and does nothing.
func FullDisk(ctx context.Context, o Options) (err error) {
	folder := filepath.Join(o.Folder, "full")
	if os.Getuid() != 0 {
		o.Note("the full disk is left out: mounting one needs root")
		return nil
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	if err := mount("-t", "tmpfs", "-o", "size="+diskSize, "granary-full", folder); err != nil {
		return err
	}
	defer func() {
		if out, e := exec.Command("umount", folder).CombinedOutput(); e != nil {
			err = errors.Join(err, fmt.Errorf("umount %s: %w: %s", folder, e, out))
		}
	}()
	c, _, err := cluster.Dev(ctx, cluster.Options{Binary: o.Binary, Folder: folder,
		Env: []string{"GRANARY_DATA_RESERVE=" + diskReserve}})
	if err != nil {
		return err
	}
	err = o.fullDisk(ctx, c, folder)
	return errors.Join(err, c.Close())
}

func mount(args ...string) error {
	if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("mount %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// fullBucket is the one that a --dev store begins with.
const fullBucket = "demo"

func (o Options) fullDisk(ctx context.Context, c *cluster.Cluster, folder string) error {
	client, err := c.Client(0)
	if err != nil {
		return err
	}
	large, err := fill(ctx, client, "large", fillSize)
	if err != nil {
		return err
	}
	small, err := fill(ctx, client, "small", smallSize)
	if err != nil {
		return err
	}
	o.Note("a disk of %s with a reserve of %s is full after %d objects of 1 MiB and %d of 20 KiB", diskSize,
		diskReserve, large, small)
	status, err := c.Nodes[0].Run(ctx, "status")
	if err == nil && !strings.Contains(status, "disk is full") {
		err = fmt.Errorf("granary status does not say that the disk is full:\n%s", status)
	}
	if err != nil {
		return err
	}
	if err := stillServes(ctx, client, large); err != nil {
		return err
	}
	if err := c.Nodes[0].Kill(ctx); err != nil {
		return err
	}
	if out, err := c.Nodes[0].Run(ctx, "check", "--blocks"); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	if _, err := c.Nodes[0].Restart(ctx); err != nil {
		return err
	}
	if err := stillServes(ctx, client, large-1); err != nil {
		return fmt.Errorf("after a kill: %w", err)
	}
	if err := mount("-o", "remount,size="+diskLarger, folder); err != nil {
		return err
	}
	for _, size := range []int64{fillSize, smallSize} {
		if err := put(ctx, client, "with more room", content.Content{ID: 1, Size: size}); err != nil {
			return fmt.Errorf("with more room: %w", err)
		}
	}
	return nil
}

func put(ctx context.Context, client *minio.Core, key string, what content.Content) error {
	_, err := client.PutObject(ctx, fullBucket, key, what.Reader(), what.Size, "", "",
		minio.PutObjectOptions{})
	return wrap("PUT", key, err)
}

// fill writes objects of one size until one is refused because the disk is full, and returns how many there
// are.
func fill(ctx context.Context, client *minio.Core, prefix string, size int64) (n int, err error) {
	for ; n < fillMax; n++ {
		what := content.Content{ID: uint64(n + 1), Size: size}
		err := put(ctx, client, fmt.Sprintf("%s/%d", prefix, n), what)
		var refused minio.ErrorResponse
		if errors.As(err, &refused) && refused.Code == "InsufficientStorage" &&
			strings.Contains(refused.Message, "disk full") {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("instead of being told that the disk is full: %w", err)
		}
	}
	return n, fmt.Errorf("%d objects of %d bytes fit, which is more than the disk holds", n, size)
}

// stillServes reads all large objects, lists them, deletes the last and sees that it is gone.
func stillServes(ctx context.Context, client *minio.Core, large int) error {
	for i := range large {
		key := fmt.Sprint("large/", i)
		body, _, _, err := client.GetObject(ctx, fullBucket, key, minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		got, err := content.Read(body)
		if err = errors.Join(err, body.Close()); err != nil || got.ID != uint64(i+1) {
			return fmt.Errorf("%s is content %d: %w", key, got.ID, err)
		}
	}
	last := fmt.Sprint("large/", large-1)
	if err := client.RemoveObject(ctx, fullBucket, last, minio.RemoveObjectOptions{}); err != nil {
		return wrap("DELETE", last, err)
	}
	page, err := client.ListObjectsV2(fullBucket, "large/", "", "", "", 1000)
	if err == nil && len(page.Contents) != large-1 {
		err = fmt.Errorf("%d objects are listed, want %d", len(page.Contents), large-1)
	}
	return err
}
