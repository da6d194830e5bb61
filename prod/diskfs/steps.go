package diskfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/pingcap/failpoint"

	"granary/core/block"
	"granary/prod/durable"
)

// The durable steps. Each is one operation of the file system between two failpoints, named after it:
// create, write, sync, rename, folder, remove, each with -before and -after.

// point is the failpoint of that name. Its value is the error it injects: "ENOSPC" or any other string for
// EIO. The failpoint "step" calls a function with every point's name.
func point(name string) error {
	failpoint.InjectCall("step", name)
	failpoint.Inject(name, func(v failpoint.Value) {
		failpoint.Return(injected(name, v))
	})
	return nil
}

func injected(name string, v any) error {
	errno := syscall.EIO
	if s, _ := v.(string); s == "ENOSPC" {
		errno = syscall.ENOSPC
	}
	return &os.PathError{Op: "failpoint", Path: name, Err: errno}
}

// step does one operation between its failpoints.
func step(name string, f func() error) error {
	if err := point(name + "-before"); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return point(name + "-after")
}

func createFile(path string) (f *os.File, err error) {
	err = step("create", func() error {
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	return f, err
}

func writeFile(f *os.File, data []byte) error {
	return step("write", func() error {
		_, err := f.Write(data)
		return err
	})
}

func syncFile(f *os.File) error { return step("sync", f.Sync) }

func renameFile(from, to string) error {
	return step("rename", func() error { return os.Rename(from, to) })
}

func syncFolder(path string) error {
	return step("folder", func() error { return durable.SyncFolder(path) })
}

func removeFile(path string) error {
	return step("remove", func() error {
		err := os.Remove(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	})
}

// readFile appends the file to dst.
func readFile(path string, dst []byte) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return dst, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return dst, err
	}
	size := info.Size()
	if size > FileMax {
		return dst, fmt.Errorf("file of %d bytes, at most %d are ever written", size, FileMax)
	}
	at := len(dst)
	if int64(cap(dst)-at) < size {
		dst = append(make([]byte, 0, int64(at)+size), dst...)
	}
	if _, err := io.ReadFull(f, dst[at:int64(at)+size]); err != nil {
		return dst[:at], err
	}
	return dst[:int64(at)+size], nil
}

// outOfSpace reports whether err says that the file system is full, or the user's share of it.
func outOfSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// kind gives an error of the file system its kind.
func kind(err error) error {
	if outOfSpace(err) {
		return fmt.Errorf("%w: %w", block.ErrDiskFull, err)
	}
	return fmt.Errorf("%w: %w", block.ErrDisk, err)
}

// space returns the size of the file system and what an ordinary user may still take, in bytes.
func space(path string) (total, free int64, err error) {
	var s syscall.Statfs_t
	for {
		err = syscall.Statfs(path, &s)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	unit := int64(s.Bsize)
	return int64(s.Blocks) * unit, int64(s.Bavail) * unit, nil
}
