package diskfs

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"granary/core/block"
	"granary/core/rt"
)

// Kinds of errors of Open, for errors.Is, beside those of block.Disk.
var (
	ErrWrongDisk = errors.New("not the expected disk")
	ErrForeign   = errors.New("folder holds other files")
	ErrInUse     = errors.New("disk in use by another process")
)

// ID names a disk. The zero ID names none.
type ID [16]byte

// String returns the id in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads what String wrote.
func ParseID(s string) (id ID, err error) {
	if raw, err := hex.DecodeString(s); err == nil && len(raw) == len(id) {
		return ID(raw), nil
	}
	return id, fmt.Errorf("disk id %q: want %d hexadecimal characters", s, 2*len(id))
}

const (
	markerName = "DISK"
	markerHead = "granary disk 1\n"
	lockName   = "LOCK"
)

// Open takes hold of the disk in opts.Root, makes it if it may, removes what unfinished Writes have left, and
// makes everything it shows durable. Errors: ErrWrongDisk, ErrForeign, ErrInUse, ErrDiskFull, ErrDisk; on the
// first two nothing was touched. Cost: 256 syncs of mostly clean folders, tens of milliseconds.
func Open(env rt.Env, opts Options) (*Disk, error) {
	if opts.Root == "" {
		return nil, errors.New("open disk: no folder given")
	}
	d := &Disk{env: env, opts: opts}
	d.writes, d.reads = make(chan struct{}, WritesMax), make(chan struct{}, ReadsMax)
	opened := false
	defer func() {
		if !opened { // also when a task ends inside
			_ = closeFile(d.lock)
		}
	}()
	if err := d.open(); err != nil {
		return nil, fmt.Errorf("open disk %s: %w", opts.Root, err)
	}
	opened = true
	return d, nil
}

func (d *Disk) open() error {
	id, err := readMarker(d.opts.Root)
	switch {
	case err != nil:
		return err
	case id != ID{}:
		if err := d.expect(id); err != nil {
			return err
		}
	case d.opts.ID != ID{}:
		return fmt.Errorf("%w: no file %s, want disk %s: is it mounted?", ErrWrongDisk, markerName, d.opts.ID)
	case d.opts.ReadOnly:
		return fmt.Errorf("%w: no file %s in it", ErrWrongDisk, markerName)
	default:
		if err := d.claimable(); err != nil {
			return err
		}
	}
	if err := d.takeLock(); err != nil {
		return err
	}
	if d.id, err = readMarker(d.opts.Root); err != nil { // again, under the lock
		return err
	}
	if d.opts.ReadOnly {
		return d.expect(d.id)
	}
	if err := d.prepareFolders(); err != nil {
		return kind(err)
	}
	if d.id == (ID{}) {
		return d.writeMarker()
	}
	return d.expect(d.id)
}

func (d *Disk) expect(id ID) error {
	if d.opts.ID != (ID{}) && d.opts.ID != id {
		return fmt.Errorf("%w: found disk %s, want %s: are two disks mixed up?", ErrWrongDisk, id, d.opts.ID)
	}
	return nil
}

// Identify returns the id of the disk in a folder, zero if there is none. It touches nothing.
//
// Errors: ErrWrongDisk if the marker is damaged, ErrDisk.
func Identify(root string) (ID, error) { return readMarker(root) }

// readMarker returns the id of the disk in root, zero if there is no marker.
func readMarker(root string) (ID, error) {
	raw, err := os.ReadFile(filepath.Join(root, markerName))
	if errors.Is(err, os.ErrNotExist) {
		return ID{}, nil
	}
	if err != nil {
		return ID{}, kind(err)
	}
	return parseMarker(string(raw))
}

func parseMarker(text string) (ID, error) {
	rest, ok := strings.CutPrefix(text, markerHead)
	line, end := strings.CutSuffix(rest, "\n")
	id, err := ParseID(line)
	if !ok || !end || err != nil || id == (ID{}) {
		return ID{}, fmt.Errorf("%w: %s damaged or of another version: %.60q", ErrWrongDisk, markerName, text)
	}
	return id, nil
}

// claimable refuses a folder without a marker that holds anything but the remains of an Open cut short.
func (d *Disk) claimable() error {
	ours := map[string]bool{"blocks": true, "tmp": true, lockName: true, "lost+found": true}
	entries, err := os.ReadDir(d.opts.Root)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return kind(err)
	}
	for _, e := range entries {
		if !ours[e.Name()] {
			return fmt.Errorf("%w: %q, no file %s: choose an empty folder", ErrForeign, e.Name(), markerName)
		}
	}
	inside, err := filepath.Glob(filepath.Join(d.opts.Root, "blocks", "*", "*"))
	if err == nil && len(inside) > 0 {
		err = fmt.Errorf("%w: blocks, %s among them, without a file %s: restore that file", ErrForeign,
			filepath.Base(inside[0]), markerName)
	}
	return err
}

// makeRoot makes the folder, and those above it, each durable in its parent.
func (d *Disk) makeRoot() error {
	root := filepath.Clean(d.opts.Root)
	var parents []string
	for path := root; ; path = filepath.Dir(path) {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) || path == filepath.Dir(path) {
			break
		}
		parents = append(parents, filepath.Dir(path))
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	return d.syncAll(parents)
}

// syncParent makes the folder durable in its parent, in case an earlier Open was cut short after making it. A
// parent that must not be read was made by somebody else, and so was the folder.
func (d *Disk) syncParent() error {
	err := d.syncAll([]string{filepath.Dir(filepath.Clean(d.opts.Root))})
	if errors.Is(err, os.ErrPermission) {
		return nil
	}
	return err
}

// takeLock makes the folder and holds the lock file for as long as the process, or the Disk, lives.
func (d *Disk) takeLock() error {
	if !d.opts.ReadOnly {
		if err := d.makeRoot(); err != nil {
			return kind(err)
		}
	}
	f, err := os.OpenFile(filepath.Join(d.opts.Root, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return kind(err)
	}
	d.lock = f
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return ErrInUse
	case err != nil:
		return kind(fmt.Errorf("lock %s: %w", f.Name(), err))
	}
	return nil
}

// prepareFolders makes what folders are missing, empties tmp, and makes every name durable.
func (d *Disk) prepareFolders() error {
	root := d.opts.Root
	paths := []string{filepath.Join(root, "tmp"), filepath.Join(root, "blocks")}
	for first := range folders {
		paths = append(paths, d.folder(block.Hash{byte(first)}))
	}
	for _, path := range paths {
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	left, err := os.ReadDir(paths[0])
	if err != nil {
		return err
	}
	for _, e := range left {
		if err := os.Remove(filepath.Join(paths[0], e.Name())); err != nil {
			return err
		}
	}
	return d.syncAll(append(paths, root))
}

// syncAll syncs folders, several at a time: the kernel then commits them together.
func (d *Disk) syncAll(paths []string) error {
	if d.opts.NoSync {
		return nil
	}
	var wg sync.WaitGroup
	errs := make([]error, len(paths))
	places := make(chan struct{}, WritesMax)
	for i, path := range paths {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			errs[i] = syncFolder(path)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// writeMarker makes the folder a disk, as the last step of making one.
func (d *Disk) writeMarker() error {
	if err := d.syncParent(); err != nil {
		return kind(err)
	}
	id := ID(d.env.Secret(len(ID{})))
	temp := filepath.Join(d.opts.Root, "tmp", markerName)
	if err := d.fill(temp, []byte(markerHead+id.String()+"\n")); err != nil {
		return err
	}
	if err := renameFile(temp, filepath.Join(d.opts.Root, markerName)); err != nil {
		return kind(err)
	}
	if err := d.syncAll([]string{d.opts.Root}); err != nil {
		return kind(err)
	}
	d.id = id
	d.env.Info("new disk", "root", d.opts.Root, "disk", id.String())
	return nil
}
