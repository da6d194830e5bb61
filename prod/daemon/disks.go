package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"granary/core/api/admin"
	"granary/core/block"
	"granary/core/block/array"
	"granary/prod/config"
	"granary/prod/diskfs"
	"granary/prod/sched"
)

// disksName is the file that says which disks a node with several of them uses: a line "id path" for each.
const disksName = "DISKS"

// blockDisks are the open disks of the blocks, as one.
type blockDisks struct {
	*array.Array
	open []*diskfs.Disk
}

// Close closes all of them.
func (b *blockDisks) Close() error {
	var errs []error
	for _, d := range b.open {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// openDisks opens the disks of the blocks, which must be those of the last start. Of several, the ones that
// are not there, or are others, are left out: the node starts without them as long as there is one. failed is
// called when no disk can be written any more. readOnly changes nothing on any of them.
func (f *folder) openDisks(env *sched.Env, c config.Data, failed func(error), readOnly bool) (*blockDisks,
	error) {
	known, err := f.knownDisks()
	if err != nil {
		return nil, err
	}
	if len(c.Disks) > 0 {
		return f.openSeveral(env, c, known, failed, readOnly)
	}
	if len(known) > 0 {
		return nil, fmt.Errorf("data.disks is empty, but the blocks of this node lie on %d disks: list "+
			"them, the ones to be emptied as PATH=0 (file %s)", len(known), f.file(disksName))
	}
	opts, err := f.diskOptions(c)
	if err != nil {
		return nil, err
	}
	opts.Failed, opts.ReadOnly = failed, readOnly
	disk, err := diskfs.Open(env, opts)
	if err != nil {
		return nil, err
	}
	b := &blockDisks{open: []*diskfs.Disk{disk}}
	b.Array, err = array.New(env, []block.Part{{ID: disk.ID().String(), Name: opts.Root, Disk: disk,
		Weight: 1}})
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	if opts.ID == (diskfs.ID{}) && !readOnly {
		err = writeDurable(f.file(diskName), disk.ID().String()+"\n")
	}
	return b, err
}

// knownDisk is a disk of the last start.
type knownDisk struct {
	id   diskfs.ID
	path string
}

// knownDisks reads which of several disks the node has used.
func (f *folder) knownDisks() (known []knownDisk, err error) {
	raw, err := os.ReadFile(f.file(disksName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, line := range strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n") {
		text, path, ok := strings.Cut(line, " ")
		id, err := diskfs.ParseID(text)
		if err != nil || !ok {
			return nil, fmt.Errorf("file %s: line %.80q: want a disk's id and its folder", f.file(disksName),
				line)
		}
		known = append(known, knownDisk{id, path})
	}
	return known, nil
}

// openSeveral opens the disks that the configuration lists.
func (f *folder) openSeveral(env *sched.Env, c config.Data, known []knownDisk, failed func(error),
	readOnly bool) (*blockDisks, error) {
	if single, err := f.diskOptions(c); err != nil {
		return nil, err
	} else if len(known) == 0 && single.ID != (diskfs.ID{}) { // until now it was the only one
		known = append(known, knownDisk{single.ID, single.Root})
	}
	list, err := c.BlockDisks()
	if err != nil {
		return nil, err
	}
	s := &several{env: env, data: c, known: known, failed: failed, readOnly: readOnly,
		parts: make([]block.Part, len(list)), disks: make([]*diskfs.Disk, len(list))}
	errs := make([]error, len(list))
	var wg sync.WaitGroup
	for i, d := range list {
		wg.Go(func() { errs[i] = s.open(i, d) })
	}
	wg.Wait()
	b := &blockDisks{}
	for _, d := range s.disks {
		if d != nil {
			b.open = append(b.open, d)
		}
	}
	err = errors.Join(errs...)
	if err == nil {
		if b.Array, err = array.New(env, s.parts); err == nil {
			s.opened(b.Array)
		}
	}
	if err == nil && !readOnly {
		err = f.noteDisks(known, s.disks, list)
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// several are disks that are being opened.
type several struct {
	env      *sched.Env
	data     config.Data
	known    []knownDisk
	failed   func(error)
	readOnly bool
	parts    []block.Part
	disks    []*diskfs.Disk

	lock  sync.Mutex
	array *array.Array
}

// open opens one disk. A disk that the node has used and that is not there, or is another one, is no error;
// a folder that was never used and cannot be is.
func (s *several) open(i int, d config.BlockDisk) error {
	opts := diskfs.Options{Root: d.Path, Reserve: int64(s.data.Reserve), NoSync: !s.data.Fsync,
		ReadOnly: s.readOnly}
	here, err := diskfs.Identify(d.Path)
	used := false
	for _, k := range s.known {
		if k.id == here && err == nil {
			opts.ID = k.id // wherever it is mounted today
		} else if k.path == d.Path && opts.ID == (diskfs.ID{}) {
			opts.ID = k.id
		}
		used = used || k.path == d.Path || k.id == here && err == nil
	}
	if !used && err == nil && here != (diskfs.ID{}) {
		return fmt.Errorf("data.disks: %s: %w: disk %s was never one of this node: if nothing on it is "+
			"needed, empty the folder", d.Path, diskfs.ErrWrongDisk, here)
	}
	var disk *diskfs.Disk
	opts.Failed = func(err error) { s.fail(disk.ID().String(), err) }
	disk, err = diskfs.Open(s.env, opts)
	if err == nil {
		s.disks[i] = disk
		s.parts[i] = block.Part{ID: disk.ID().String(), Name: d.Path, Disk: disk, Weight: int64(d.Capacity)}
		if d.Capacity < 0 {
			var u block.Usage
			if u, err = disk.Usage(s.env.Background()); err == nil {
				s.parts[i].Weight = u.Total
			}
		}
	}
	if err != nil && (!used || errors.Is(err, diskfs.ErrInUse)) {
		return fmt.Errorf("data.disks: %w", err)
	}
	if err != nil {
		s.env.Error("a disk cannot be used; the node starts without it", "at", d.Path, "cause", err)
		s.parts[i] = block.Part{ID: opts.ID.String(), Name: d.Path, Failed: err}
	}
	return nil
}

// opened lets disks that fail from now on be taken out of use.
func (s *several) opened(a *array.Array) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.array = a
}

// fail takes a disk out of use after a failed sync; with the last one the node ends.
func (s *several) fail(id string, cause error) {
	s.lock.Lock()
	a := s.array
	s.lock.Unlock()
	if a == nil || !a.Fail(id, cause) {
		s.failed(cause)
	}
}

// noteDisks writes down which disks the node uses, and keeps in mind those it has used.
func (f *folder) noteDisks(known []knownDisk, disks []*diskfs.Disk, list []config.BlockDisk) error {
	var now []knownDisk
	for i, d := range disks {
		if d != nil {
			now = append(now, knownDisk{d.ID(), list[i].Path})
		}
	}
	text := ""
	for _, k := range append(now, known...) {
		if !strings.Contains(text, k.id.String()) {
			text += k.id.String() + " " + k.path + "\n"
		}
	}
	if raw, err := os.ReadFile(f.file(disksName)); err == nil && string(raw) == text {
		return nil
	}
	return writeDurable(f.file(disksName), text)
}

// disks says what is known of each disk.
func (b *blockDisks) facts(ctx context.Context) (list []admin.Disk) {
	parts := b.Parts()
	if len(parts) == 1 {
		return nil // the sums say it all
	}
	for _, p := range parts {
		d := admin.Disk{ID: p.ID, Path: p.Name, Share: p.Weight}
		err := p.Failed
		if p.Disk != nil {
			u, trouble := p.Disk.Usage(ctx)
			d.Total, d.Free, err = u.Total, u.Free, errors.Join(err, trouble)
		}
		if err != nil {
			d.Error = err.Error()
		}
		list = append(list, d)
	}
	return list
}
