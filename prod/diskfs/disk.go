package diskfs

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"granary/core/block"
	"granary/core/rt"
)

// Limits of one disk.
const (
	WritesMax = 32        // Writes and Removes under way, each in a system call; more wait
	ReadsMax  = 64        // Reads, Lists and Usages under way; more wait
	FileMax   = 256 << 20 // bytes of one file
)

// The default reserve is one per cent of the file system, within these bounds.
const (
	ReserveMin = 256 << 20
	ReserveMax = 4 << 30
)

// errReadOnly is the refusal of a disk that is only looked at.
var errReadOnly = fmt.Errorf("%w: opened to be read", block.ErrDisk)

// folders is the number of folders, one for every first byte of a hash.
const folders = 256

// Options say where a disk is and how it is used.
type Options struct {
	// Root is the disk's folder. It must be of one file system, and is made if ID is zero.
	Root string
	// ID is the disk that Root must hold. The zero ID accepts any disk, and makes a new one of an absent or
	// empty folder.
	ID ID
	// Reserve is the free space, in bytes, that no Write goes below. 0 means the default: 1 % of the file
	// system, at least 256 MiB and at most 4 GiB. Negative means none.
	Reserve int64
	// NoSync leaves out every sync. A power cut then loses or tears what was written before it.
	NoSync bool
	// ReadOnly opens a disk that is there, to look at it: nothing is made, removed or synced, so that what is
	// seen need not be durable; Write and Remove are refused.
	ReadOnly bool
	// Failed, if not nil, is called once, with the cause, after a failed sync has made the disk refuse
	// writes. It must not wait for calls on the disk. The node should stop: see rule 4.
	Failed func(error)
}

// Disk is a block.Disk on a file system.
type Disk struct {
	env     rt.Env
	opts    Options
	id      ID
	lock    *os.File
	writes  chan struct{}
	reads   chan struct{}
	temps   atomic.Uint64
	syncs   [folders]rounds
	refused atomic.Pointer[error] // set by the first failed sync
	closed  atomic.Bool
	failing sync.Once
}

var _ block.Disk = (*Disk)(nil)

// ID is the disk's own name, to be given to a later Open.
func (d *Disk) ID() ID { return d.id }

// Close refuses all later calls, waits for those under way, and lets go of the folder. Closing twice is
// harmless.
func (d *Disk) Close() error {
	if d.closed.Swap(true) {
		return nil
	}
	for _, places := range []chan struct{}{d.writes, d.reads} {
		for range cap(places) {
			places <- struct{}{}
		}
		for range cap(places) {
			<-places
		}
	}
	return d.lock.Close()
}

// acquire waits for a place; the caller receives from places when it is done.
func (d *Disk) acquire(ctx context.Context, places chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case places <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if d.closed.Load() {
		<-places
		return fmt.Errorf("%w: closed", block.ErrDisk)
	}
	return nil
}

func (d *Disk) folder(h block.Hash) string {
	return filepath.Join(d.opts.Root, "blocks", hex.EncodeToString(h[:1]))
}

func (d *Disk) path(h block.Hash) string { return filepath.Join(d.folder(h), h.String()) }

// Write implements block.Disk.
func (d *Disk) Write(ctx context.Context, h block.Hash, data []byte) error {
	if err := d.acquire(ctx, d.writes); err != nil {
		return fmt.Errorf("write block %s: %w", h, err)
	}
	defer func() { <-d.writes }()
	if err := d.write(h, data); err != nil {
		return fmt.Errorf("write block %s: %w", h, err)
	}
	d.env.Count("disk_bytes_total", float64(len(data)), "op", "write")
	return nil
}

func (d *Disk) write(h block.Hash, data []byte) error {
	if d.opts.ReadOnly {
		return errReadOnly
	}
	if err := d.refusal(); err != nil {
		return err
	}
	if err := d.room(len(data)); err != nil {
		return err
	}
	temp := filepath.Join(d.opts.Root, "tmp", h.String()+"."+strconv.FormatUint(d.temps.Add(1), 10))
	if err := d.fill(temp, data); err != nil {
		return errors.Join(err, discard(temp))
	}
	if err := renameFile(temp, d.path(h)); err != nil {
		return errors.Join(kind(err), discard(temp))
	}
	if d.opts.NoSync {
		return nil
	}
	err := d.syncs[h[0]].share(func() error {
		if err := d.timed(func() error { return syncFolder(d.folder(h)) }); err != nil {
			return d.fail(err) // before anybody else syncs: rule 4
		}
		return nil
	})
	if err != nil {
		return err
	}
	return d.refusal()
}

// fill makes the temporary file, whole and synced.
func (d *Disk) fill(temp string, data []byte) error {
	f, err := createFile(temp)
	if err != nil {
		return errors.Join(kind(err), closeFile(f))
	}
	if err := writeFile(f, data); err != nil {
		return errors.Join(kind(err), closeFile(f))
	}
	if !d.opts.NoSync {
		if err := d.timed(func() error { return syncFile(f) }); err != nil {
			_ = f.Close()
			if outOfSpace(err) {
				return kind(err)
			}
			return d.fail(err)
		}
	}
	if err := f.Close(); err != nil {
		return kind(err)
	}
	return nil
}

func closeFile(f *os.File) error {
	if f == nil {
		return nil
	}
	return f.Close()
}

// discard removes a temporary file that is of no use. What it cannot remove, Open will.
func discard(temp string) error {
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (d *Disk) timed(sync func() error) error {
	began := d.env.Now()
	err := sync()
	d.env.Observe("disk_sync_seconds", float64(d.env.Now()-began)/float64(time.Second))
	return err
}

// fail makes the disk refuse every later write, and returns the refusal.
func (d *Disk) fail(cause error) error {
	err := fmt.Errorf("%w: sync failed: %w; no more writes to %s until a restart: check the disk",
		block.ErrDisk, cause, d.opts.Root)
	d.refused.CompareAndSwap(nil, &err)
	d.failing.Do(func() {
		d.env.Count("disk_failed_syncs_total", 1)
		d.env.Error("disk sync failed", "root", d.opts.Root, "disk", d.id.String(), "cause", cause.Error())
		if d.opts.Failed != nil {
			d.opts.Failed(err)
		}
	})
	return err
}

func (d *Disk) refusal() error {
	if err := d.refused.Load(); err != nil {
		return *err
	}
	return nil
}

// Failed is the cause why the disk refuses writes, nil if it does not.
func (d *Disk) Failed() error { return d.refusal() }

// room refuses a Write of n bytes that would use up the reserve.
func (d *Disk) room(n int) error {
	if n > FileMax {
		return fmt.Errorf("%w: %d bytes in one file, at most %d", block.ErrDisk, n, FileMax)
	}
	_, free, err := d.usable()
	if err != nil {
		return kind(err)
	}
	if free < int64(n) || free == 0 {
		return fmt.Errorf("%w: %d bytes free beside the reserve, %d asked: free space on %s or add a disk",
			block.ErrDiskFull, free, n, d.opts.Root)
	}
	return nil
}

// usable is space without the reserve.
func (d *Disk) usable() (total, free int64, err error) { return Usable(d.opts.Root, d.opts.Reserve) }

// Usable returns the size of the file system that a path is on, and what is free of it above the reserve,
// which is given as Options has it.
func Usable(path string, reserve int64) (total, free int64, err error) {
	total, free, err = space(path)
	if reserve == 0 {
		reserve = DefaultReserve(total)
	}
	return total, max(0, free-max(0, reserve)), err
}

// DefaultReserve is the reserve of a file system of that size.
func DefaultReserve(total int64) int64 { return min(max(total/100, ReserveMin), ReserveMax) }

// Read implements block.Disk.
func (d *Disk) Read(ctx context.Context, h block.Hash, dst []byte) ([]byte, error) {
	if err := d.acquire(ctx, d.reads); err != nil {
		return dst, fmt.Errorf("read block %s: %w", h, err)
	}
	defer func() { <-d.reads }()
	got, err := readFile(d.path(h), dst)
	if err != nil {
		return dst, fmt.Errorf("read block %s: %w", h, d.absence(err))
	}
	d.env.Count("disk_bytes_total", float64(len(got)-len(dst)), "op", "read")
	return got, nil
}

// absence gives the error of a Read its kind. A file is only absent if the disk itself is there.
func (d *Disk) absence(err error) error {
	if !errors.Is(err, os.ErrNotExist) {
		return kind(err)
	}
	if _, gone := os.Lstat(filepath.Join(d.opts.Root, markerName)); gone != nil {
		return fmt.Errorf("%w: the disk is gone from %s: %w", block.ErrDisk, d.opts.Root, gone)
	}
	return block.ErrNotFound
}

// Remove implements block.Disk.
func (d *Disk) Remove(ctx context.Context, h block.Hash) error {
	if err := d.acquire(ctx, d.writes); err != nil {
		return fmt.Errorf("remove block %s: %w", h, err)
	}
	defer func() { <-d.writes }()
	if d.opts.ReadOnly {
		return errReadOnly
	}
	if err := removeFile(d.path(h)); err != nil {
		return fmt.Errorf("remove block %s: %w", h, kind(err))
	}
	return nil
}

// List implements block.Disk. Each call reads whole folders, so a page should be large: thousands of hashes.
func (d *Disk) List(ctx context.Context, after block.Hash, limit int) ([]block.Hash, error) {
	if err := d.acquire(ctx, d.reads); err != nil {
		return nil, fmt.Errorf("list blocks: %w", err)
	}
	defer func() { <-d.reads }()
	var page []block.Hash
	for first := int(after[0]); first < folders && len(page) < limit; first++ {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("list blocks: %w", err)
		}
		found, err := listFolder(d.folder(block.Hash{byte(first)}), byte(first), after)
		if err != nil {
			return nil, fmt.Errorf("list blocks: %w", kind(err))
		}
		page = append(page, found[:min(len(found), limit-len(page))]...)
	}
	return page, nil
}

// listFolder returns the hashes in one folder that are greater than after, sorted. Other names are passed
// over.
func listFolder(path string, first byte, after block.Hash) ([]block.Hash, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var found []block.Hash
	for _, name := range names {
		if h, ok := parseName(name); ok && h[0] == first && h.Compare(after) > 0 {
			found = append(found, h)
		}
	}
	slices.SortFunc(found, block.Hash.Compare)
	return found, nil
}

// parseName reads the name of a block's file.
func parseName(name string) (h block.Hash, ok bool) {
	if len(name) != 2*len(h) {
		return h, false
	}
	_, err := hex.Decode(h[:], []byte(name))
	return h, err == nil && h.String() == name // no capitals
}

// Usage implements block.Disk.
func (d *Disk) Usage(ctx context.Context) (block.Usage, error) {
	if err := d.acquire(ctx, d.reads); err != nil {
		return block.Usage{}, fmt.Errorf("disk usage: %w", err)
	}
	defer func() { <-d.reads }()
	total, free, err := d.usable()
	if err != nil {
		return block.Usage{}, fmt.Errorf("disk usage: %w", kind(err))
	}
	return block.Usage{Total: total, Free: free}, nil
}
