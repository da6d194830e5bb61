package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"granary/core/block"
	"granary/core/job"
	"granary/core/rt"
	"granary/prod/bolt"
	"granary/prod/diskfs"
	"granary/prod/durable"
)

// Snapshot is a consistent copy of the metadata store, in the data folder.
type Snapshot struct {
	Name  string
	Time  time.Time
	Bytes int64
}

const (
	snapshotSuffix = ".db"
	snapshotTime   = "2006-01-02T15-04-05.000Z"
	// replacedPrefix begins the name of a store that a restore replaced. It is kept until somebody removes
	// it.
	replacedPrefix = "replaced-"
)

// Snapshots lists the copies in a data folder, oldest first, and then what restores replaced.
func Snapshots(data string) ([]Snapshot, error) {
	entries, err := os.ReadDir(filepath.Join(data, snapshotsName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Snapshot
	for _, e := range entries { // in the order of names
		base, ok := strings.CutSuffix(e.Name(), snapshotSuffix)
		at, err := time.Parse(snapshotTime, strings.TrimPrefix(base, replacedPrefix))
		if !ok || err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		list = append(list, Snapshot{Name: base, Time: at, Bytes: info.Size()})
	}
	return list, nil
}

func (s Snapshot) replaced() bool { return strings.HasPrefix(s.Name, replacedPrefix) }

// snapshots takes copies of the metadata store in the background.
type snapshots struct {
	env     rt.Env
	job     *job.Job
	kv      *bolt.Store
	data    string // the data folder
	every   time.Duration
	keep    int
	reserve int64
	noSync  bool
}

const (
	// snapshotRetry is how long after a failure, or after the start, a snapshot is tried at the earliest.
	snapshotRetry = time.Minute
	// snapshotStep is after how many bytes a snapshot is synced, and pauses for snapshotPause, so that
	// commits are not held up by it.
	snapshotStep  = 8 << 20
	snapshotPause = 50 * time.Millisecond
)

// run takes one whenever the newest is as old as it may be.
func (s *snapshots) run(ctx context.Context) error {
	for wait := s.due(); s.env.Sleep(ctx, wait) == nil; {
		if s.job.Gate(ctx) != nil {
			return nil
		}
		err := s.take(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if s.job.Hinder(err); err != nil {
			s.env.Warn("no snapshot of the metadata was taken", "err", err)
		}
		wait = s.due()
	}
	return nil
}

// due returns how long the next one has time.
func (s *snapshots) due() time.Duration {
	soon := min(snapshotRetry, s.every)
	list, err := s.list()
	if err != nil || len(list) == 0 {
		return soon
	}
	return max(soon, s.every-time.Since(list[len(list)-1].Time))
}

// list has the snapshots that are taken in turns.
func (s *snapshots) list() ([]Snapshot, error) {
	list, err := Snapshots(s.data)
	return slices.DeleteFunc(list, Snapshot.replaced), err
}

// take makes a snapshot, and removes those that are too many.
func (s *snapshots) take(ctx context.Context) error {
	folder := filepath.Join(s.data, snapshotsName)
	if err := makePrivate(folder); err != nil {
		return err
	}
	left, err := filepath.Glob(filepath.Join(folder, "*.tmp"))
	for _, path := range left { // of a crash
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		return err
	}
	name := time.Now().UTC().Format(snapshotTime) + snapshotSuffix
	if err := s.copy(ctx, filepath.Join(folder, name)); err != nil {
		return err
	}
	list, err := s.list()
	for ; err == nil && len(list) > s.keep; list = list[1:] {
		err = os.Remove(filepath.Join(folder, list[0].Name+snapshotSuffix))
	}
	return err
}

// copy writes the store as of now to a file, whole and durable, or not at all.
func (s *snapshots) copy(ctx context.Context, path string) error {
	temp := path + ".tmp"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = s.kv.Snapshot(&paced{snapshots: s, ctx: ctx, file: f}, s.begin)
	if err == nil {
		err = point("snapshot-written")
	}
	if err == nil && !s.noSync {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = point("snapshot-synced")
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := point("snapshot-renamed"); err != nil {
		return err
	}
	return durable.SyncFolder(filepath.Dir(path))
}

// begin starts a pass of the job if there is room for so many bytes.
func (s *snapshots) begin(bytes int64) error {
	_, free, err := diskfs.Usable(s.data, s.reserve)
	if err == nil && free < bytes {
		err = fmt.Errorf("%w: a snapshot takes %d bytes, %d are free beside the reserve", block.ErrDiskFull,
			bytes, free)
	}
	if err == nil {
		s.job.Begin(bytes)
	}
	return err
}

// paced writes a snapshot at a bearable speed, until ctx ends.
type paced struct {
	*snapshots
	ctx  context.Context
	file *os.File
	run  int64 // bytes since the last pause
}

// Write implements io.Writer.
func (p *paced) Write(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.file.Write(b)
	p.job.Add(int64(n))
	if p.run += int64(n); err != nil || p.run < snapshotStep {
		return n, err
	}
	p.run = 0
	if !p.noSync {
		err = p.file.Sync()
	}
	if err == nil {
		err = p.env.Sleep(p.ctx, snapshotPause)
	}
	return n, err
}

var _ io.Writer = (*paced)(nil)

// snapshotBytes is what all copies in a data folder take.
func snapshotBytes(data string) (sum int64) {
	list, err := Snapshots(data)
	if err != nil {
		return 0
	}
	for _, s := range list {
		sum += s.Bytes
	}
	return sum
}

// makePrivate makes a folder for the owner only, durable in its parent, if it is not there.
func makePrivate(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err == nil {
		err = durable.SyncFolder(filepath.Dir(path))
	}
	return err
}
