package daemon

import (
	"context"
	"errors"
	"io/fs"

	"granary/core/block"
	"granary/core/kv"
	"granary/core/node"
	"granary/prod/bolt"
	"granary/prod/config"
	"granary/prod/diskfs"
	"granary/prod/sched"
	"granary/prod/tcp"
)

// Checked is what Check found in a data folder.
type Checked struct {
	node.Report
	Metadata bolt.Report
	// NoDisk says that no disk of the blocks could be looked at, Absent is how many of several could not.
	// Each is a fault.
	NoDisk bool
	Absent int
}

// Check looks at the data folder of a node that does not run: whether its files are whole and belong
// together, whether the pages of the metadata store form one tree, and all that node.Stopped.Check looks at;
// content reads every block too. It changes nothing but the lock file. What it finds wrong is in Checked.
//
// Errors: why it could not look: ErrInUse, ErrFormat, ErrForeign; of ctx and the file system.
func Check(ctx context.Context, c config.Config, content bool) (*Checked, error) {
	f, _, err := holdFolder(c.Data.Folder)
	if err != nil {
		return nil, err
	}
	defer f.close()
	return f.check(ctx, c.Data, content)
}

func (f *folder) check(ctx context.Context, c config.Data, content bool) (*Checked, error) {
	found := &Checked{}
	if _, err := tcp.LoadKey(f.file(keyName)); err != nil {
		found.Fault("%w", err)
	}
	env := sched.New([32]byte{}, sched.Options{})
	defer env.Stop(taskTimeout)
	stopped := node.Stopped{Env: env, Content: content}
	disk, err := f.lookAtDisk(env, c)
	switch {
	case errors.Is(err, diskfs.ErrInUse):
		return nil, err
	case err != nil:
		found.NoDisk = true
		found.Fault("%w", err)
	default:
		defer disk.Close()
		stopped.Disk = disk
		for _, why := range block.Absent(disk.Parts()) {
			found.Absent++
			found.Fault("%w", why)
		}
	}
	var failed error // of looking
	found.Metadata, err = bolt.Check(f.file(metadataName), 0, func(r kv.Reader) error {
		stopped.KV = r
		report, err := stopped.Check(ctx)
		failed = err
		for _, fault := range found.Faults {
			report.Fault("%s", fault)
		}
		found.Report = *report
		return nil
	})
	switch {
	case failed != nil:
		return nil, failed
	case errors.Is(err, fs.ErrNotExist):
		found.Fault("there is no metadata store %s: the node has lost its memory", f.file(metadataName))
	case err != nil:
		found.Fault("%w", err)
	}
	return found, nil
}

// lookAtDisk opens the disks of the blocks to read them.
func (f *folder) lookAtDisk(env *sched.Env, c config.Data) (*blockDisks, error) {
	return f.openDisks(env, c, func(error) {}, true)
}
