package disk

import (
	"context"
	"fmt"
	"time"

	"granary/core/block"
	"granary/core/rt"
)

// Limits of one Disk.
const (
	WritesMax = 16 // Writes and Removes under way; more wait
	ReadsMax  = 32 // Reads and Lists under way; more wait
)

// Disk is one node's view of an Image, for one life of the node.
type Disk struct {
	env     rt.Env
	image   *Image
	boot    int
	writes  *rt.Semaphore
	reads   *rt.Semaphore
	busy    time.Duration // when the bytes asked for so far have been moved, by env.Now
	refused error         // not nil after a failed sync
}

// Open gives a node the disk. As on the real one, everything that is seen is made durable first. An earlier
// Disk on the same image answers ErrDisk from now on. Errors: ErrDisk.
func Open(env rt.Env, image *Image) (*Disk, error) {
	d := newDisk(env, image)
	upTo := image.changes
	if err := d.syncStep(); err != nil {
		return nil, fmt.Errorf("open disk: %w", err)
	}
	if !image.NoSync {
		for folder := range image.dirty {
			image.syncFolder(byte(folder), upTo)
		}
	}
	return d, nil
}

// newDisk begins a life of the disk. Temporary files of the one before are gone.
func newDisk(env rt.Env, image *Image) *Disk {
	image.boots++
	image.recount()
	return &Disk{
		env:    env,
		image:  image,
		boot:   image.boots,
		writes: rt.NewSemaphore(env, WritesMax),
		reads:  rt.NewSemaphore(env, ReadsMax),
	}
}

// Write implements block.Disk.
func (d *Disk) Write(ctx context.Context, h block.Hash, data []byte) error {
	if err := d.begin(ctx, d.writes); err != nil {
		return fmt.Errorf("write %s: %w", h, err)
	}
	defer d.writes.Release(1)
	if err := d.write(h, data); err != nil {
		return fmt.Errorf("write %s: %w", h, err)
	}
	d.env.Count("disk_bytes_total", float64(len(data)), "op", "write")
	return nil
}

func (d *Disk) write(h block.Hash, data []byte) error {
	if d.refused != nil {
		return d.refused
	}
	size := pages(len(data))
	if d.image.used+size > d.image.capacity() {
		d.env.Sometimes("disk: full", true)
		return fmt.Errorf("%w: %d bytes in use of %d, %d more asked", block.ErrDiskFull, d.image.used,
			d.image.capacity(), size)
	}
	d.image.used += size // of the temporary file, whose space the renamed one takes over
	n, err := d.fill(data)
	if err != nil {
		d.image.used -= size
		return err
	}
	d.image.link(h, n)
	if cut := d.image.Interrupt; cut != nil {
		d.image.Interrupt = nil
		cut()
	}

	upTo := d.image.changes
	if err := d.sync(); err != nil {
		return err
	}
	if !d.image.NoSync {
		d.image.syncFolder(h[0], upTo)
	}
	return nil
}

// fill makes a temporary file with data, synced and about to be renamed.
func (d *Disk) fill(data []byte) (*inode, error) {
	n := &inode{data: append(make([]byte, 0, len(data)), data...)}
	if err := d.step(len(data)); err != nil { // create and write
		return nil, err
	}
	r := d.env.Rand("disk")
	if d.image.MisdirectNext > 0 && d.image.misdirect(r, n) {
		d.image.MisdirectNext--
		d.env.Sometimes("disk: misdirected write", true)
	}
	if err := d.sync(); err != nil {
		return nil, err
	}
	n.synced = !d.image.NoSync
	return n, d.step(0) // rename
}

// Read implements block.Disk.
func (d *Disk) Read(ctx context.Context, h block.Hash, dst []byte) ([]byte, error) {
	if err := d.begin(ctx, d.reads); err != nil {
		return dst, fmt.Errorf("read %s: %w", h, err)
	}
	defer d.reads.Release(1)
	if err := d.step(0); err != nil {
		return dst, fmt.Errorf("read %s: %w", h, err)
	}
	n := d.image.lookup(h)
	if n == nil {
		return dst, fmt.Errorf("read %s: %w", h, block.ErrNotFound)
	}
	data := n.data
	if err := d.step(len(data)); err != nil {
		return dst, fmt.Errorf("read %s: %w", h, err)
	}
	if n.bad {
		d.env.Sometimes("disk: unreadable sector", true)
		return dst, fmt.Errorf("read %s: %w: unreadable sector", h, block.ErrDisk)
	}
	d.env.Count("disk_bytes_total", float64(len(data)), "op", "read")
	return append(dst, data...), nil
}

// Remove implements block.Disk.
func (d *Disk) Remove(ctx context.Context, h block.Hash) error {
	if err := d.begin(ctx, d.writes); err != nil {
		return fmt.Errorf("remove %s: %w", h, err)
	}
	defer d.writes.Release(1)
	if err := d.step(0); err != nil {
		return fmt.Errorf("remove %s: %w", h, err)
	}
	if d.image.lookup(h) != nil {
		d.image.link(h, nil)
	}
	return nil
}

// List implements block.Disk.
func (d *Disk) List(ctx context.Context, after block.Hash, limit int) ([]block.Hash, error) {
	if err := d.begin(ctx, d.reads); err != nil {
		return nil, fmt.Errorf("list after %s: %w", after, err)
	}
	defer d.reads.Release(1)
	if err := d.step(0); err != nil {
		return nil, fmt.Errorf("list after %s: %w", after, err)
	}
	return d.image.list(after, limit), nil
}

// Usage implements block.Disk.
func (d *Disk) Usage(ctx context.Context) (block.Usage, error) {
	if err := ctx.Err(); err != nil {
		return block.Usage{}, fmt.Errorf("usage: %w", err)
	}
	if err := d.alive(); err != nil {
		return block.Usage{}, fmt.Errorf("usage: %w", err)
	}
	total := d.image.capacity()
	return block.Usage{Total: total, Free: max(0, total-d.image.used)}, nil
}

// begin waits for a place.
func (d *Disk) begin(ctx context.Context, places *rt.Semaphore) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return places.Acquire(ctx, 1)
}

// step lets the time of a seek and of moving n bytes pass. Bytes queue up behind each other, seeks do not.
func (d *Disk) step(n int) error {
	t := d.image.Timing
	cost := time.Duration(0)
	if t.Seek != nil {
		cost = t.Seek(d.env.Rand("disk"))
	}
	if t.BytesPerSecond > 0 {
		now := d.env.Now()
		moving := time.Duration(int64(n) * int64(time.Second) / t.BytesPerSecond)
		d.busy = max(d.busy, now) + d.slowed(moving)
		return d.wait(d.slowed(cost) + d.busy - now)
	}
	return d.wait(d.slowed(cost))
}

// sync is one sync of a Write, which may be the one that fails. It makes nothing durable: its caller does.
func (d *Disk) sync() error {
	if d.image.NoSync {
		return d.alive()
	}
	err := d.syncStep()
	if err == nil && d.image.failSync > 0 {
		if d.image.failSync--; d.image.failSync == 0 {
			err = fmt.Errorf("%w: sync failed", block.ErrDisk)
		}
	}
	if d.refused != nil {
		return d.refused // of another Write, meanwhile
	}
	if err != nil {
		d.refused = fmt.Errorf("%w; the disk takes no more writes until the node is restarted", err)
		d.env.Sometimes("disk: failed sync", true)
	}
	return d.refused
}

func (d *Disk) syncStep() error {
	cost := time.Duration(0)
	if sync := d.image.Timing.Sync; sync != nil {
		cost = sync(d.env.Rand("disk"))
	}
	return d.wait(d.slowed(cost))
}

func (d *Disk) slowed(t time.Duration) time.Duration {
	return t * time.Duration(max(1, d.image.Slow))
}

// wait lets t pass, at least a nanosecond. What has begun is not interrupted: nothing but death ends the
// wait.
func (d *Disk) wait(t time.Duration) error {
	if err := d.alive(); err != nil {
		return err
	}
	if err := d.env.Sleep(d.env.Background(), t); err != nil {
		return err
	}
	return d.alive()
}

func (d *Disk) alive() error {
	switch {
	case d.image.boots != d.boot:
		return fmt.Errorf("%w: opened again by a later life of the node", block.ErrDisk)
	case d.image.Dead:
		d.env.Sometimes("disk: dead", true)
		return fmt.Errorf("%w: disk does not answer", block.ErrDisk)
	}
	return nil
}
