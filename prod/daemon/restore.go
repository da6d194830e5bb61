package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"granary/core/block"
	"granary/core/kv"
	"granary/core/node"
	"granary/prod/bolt"
	"granary/prod/config"
	"granary/prod/durable"
	"granary/prod/sched"
)

// ErrNoSnapshot means that a data folder has no snapshot of that name.
var ErrNoSnapshot = errors.New("no such snapshot")

// ErrAbsent means that disks of the node are not there.
var ErrAbsent = errors.New("not all disks are there")

// ErrDamaged means that a snapshot is not sound.
var ErrDamaged = errors.New("damaged snapshot")

// Restored says what Restore did.
type Restored struct {
	Snapshot Snapshot
	Replaced string // the file that the store from before is kept in, empty if there was none
	Gone     int    // blocks that the snapshot has and the disk does not
}

// Restore puts a snapshot in the place of the metadata store of a node that does not run. The store from
// before is kept beside the snapshots. The restored one gets a new identity: it has forgotten what the node
// acknowledged since. A crash at any moment leaves the one store or the other.
//
// Errors: ErrInUse, ErrFormat, ErrForeign, ErrNoSnapshot, ErrAbsent; ErrDamaged if granary check would find
// the snapshot unsound; of ctx and the file system.
func Restore(ctx context.Context, c config.Config, name string) (Restored, error) {
	f, _, err := holdFolder(c.Data.Folder)
	if err != nil {
		return Restored{}, err
	}
	defer f.close()
	return f.restore(ctx, c.Data, name)
}

func (f *folder) restore(ctx context.Context, c config.Data, name string) (done Restored, err error) {
	if done.Snapshot, err = f.snapshot(name); err != nil {
		return done, err
	}
	fresh := f.file(metadataName + ".restored.tmp")
	defer os.Remove(fresh) // unless it was renamed
	from := f.file(filepath.Join(snapshotsName, done.Snapshot.Name+snapshotSuffix))
	if err := copySynced(fresh, from); err != nil {
		return done, err
	}
	env := sched.New([32]byte{}, sched.Options{})
	defer env.Stop(taskTimeout)
	disk, err := f.lookAtDisk(env, c)
	if err != nil {
		return done, err
	}
	defer disk.Close()
	if absent := block.Absent(disk.Parts()); len(absent) > 0 {
		return done, fmt.Errorf("%w: %w: the restored store would take the blocks on them for lost; mount "+
			"them, or take them out of data.disks", ErrAbsent, errors.Join(absent...))
	}
	if err := sound(ctx, env, fresh); err != nil {
		return done, err
	}
	store, err := bolt.Open(env, fresh, bolt.DefaultOptions())
	if err != nil {
		return done, err
	}
	done.Gone, err = node.Renew(ctx, env, store, disk)
	if err = errors.Join(err, store.Close()); err != nil {
		return done, err
	}
	return done, f.replace(fresh, &done)
}

// snapshot finds one by its name.
func (f *folder) snapshot(name string) (Snapshot, error) {
	list, err := Snapshots(f.path)
	if err != nil {
		return Snapshot{}, err
	}
	var names []string
	for _, s := range list {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Snapshot{}, fmt.Errorf("%w: %.80q; there are %s", ErrNoSnapshot, name,
		strings.Join(append(names, "no others"), ", "))
}

// sound says why a copy of a store is not one to go on with.
func sound(ctx context.Context, env *sched.Env, path string) error {
	var report *node.Report
	var failed error
	_, err := bolt.Check(path, 0, func(r kv.Reader) error {
		report, failed = node.Stopped{Env: env, KV: r}.Check(ctx)
		return nil
	})
	switch {
	case failed != nil:
		return failed
	case err != nil:
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case report.Faulty > 0:
		return fmt.Errorf("%w: %d faults, the first: %s", ErrDamaged, report.Faulty, report.Faults[0])
	}
	return nil
}

// replace makes fresh the metadata store, and keeps the one from before.
func (f *folder) replace(fresh string, done *Restored) error {
	if err := point("restore-ready"); err != nil {
		return err
	}
	kept := filepath.Join(snapshotsName, replacedPrefix+time.Now().UTC().Format(snapshotTime)+snapshotSuffix)
	err := os.Link(f.file(metadataName), f.file(kept))
	switch {
	case err == nil:
		done.Replaced = f.file(kept)
		err = durable.SyncFolder(f.file(snapshotsName))
	case errors.Is(err, os.ErrNotExist):
		err = nil // it was lost
	}
	if err == nil {
		err = point("restore-kept")
	}
	if err == nil {
		err = os.Rename(fresh, f.file(metadataName))
	}
	if err == nil {
		err = point("restore-renamed")
	}
	if err != nil {
		return err
	}
	return durable.SyncFolder(f.path)
}

// copySynced makes a durable copy of a file, in the place of what was there.
func copySynced(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}
