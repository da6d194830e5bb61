package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"granary/prod/durable"
)

// Kinds of errors of a data folder, for errors.Is.
var (
	ErrInUse   = errors.New("data folder in use")
	ErrFormat  = errors.New("data folder of another format")
	ErrForeign = errors.New("not a data folder")
	ErrKind    = errors.New("data folder of another kind")
)

// The kinds of data folders.
const (
	kindNode = "node" // a member of a cluster, or about to be
	kindDev  = "dev"  // made by --dev
)

// Names in a data folder.
const (
	formatName   = "FORMAT"
	lockName     = "LOCK"
	keyName      = "node.key"
	metadataName = "metadata.db"
	diskName     = "DISK"
	blocksName   = "blocks"
	devName      = "dev.json"
	socketName   = "admin.sock"
	configName   = "granary.toml"
	// snapshotsName is a folder.
	snapshotsName = "snapshots"
)

// The format's number changes when programs cannot read each other's folders any more. Since format 2
// payloads and block lists are stored under the key of their object.
const (
	formatHead    = "granary data folder\n"
	formatVersion = "format 2\n"
)

// folder is a data folder that this process holds.
type folder struct {
	path string
	lock *os.File
}

// openFolder takes hold of a data folder of that kind, and makes one of an absent or empty folder.
//
// Errors: ErrInUse, ErrFormat, ErrForeign, ErrKind; of the file system.
func openFolder(path, kind string) (*folder, error) {
	f, err := takeFolder(path, kind)
	if err != nil {
		return nil, fmt.Errorf("open data folder %s: %w", path, err)
	}
	return f, nil
}

func takeFolder(path, kind string) (*folder, error) {
	have, err := readFormat(path)
	if err != nil {
		return nil, err
	}
	if have == "" {
		if err := claimable(path); err != nil {
			return nil, err
		}
	}
	if err := makeFolder(path); err != nil {
		return nil, err
	}
	f := &folder{path: path}
	if err := f.takeLock(); err != nil {
		return nil, err
	}
	if have, err = readFormat(path); err == nil && have == "" { // again, under the lock
		have, err = kind, writeDurable(filepath.Join(path, formatName),
			formatHead+formatVersion+"kind "+kind+"\n")
	}
	if err == nil {
		err = checkKind(have, kind)
	}
	if err != nil {
		f.lock.Close()
		return nil, err
	}
	return f, nil
}

// holdFolder takes hold of a data folder that is there, of whatever kind, and returns the kind.
//
// Errors: ErrForeign if it is none; ErrInUse, ErrFormat; of the file system.
func holdFolder(path string) (f *folder, kind string, err error) {
	kind, err = readFormat(path)
	if err == nil && kind == "" {
		err = fmt.Errorf("%w: it has no file %s", ErrForeign, formatName)
	}
	f = &folder{path: path}
	if err == nil {
		err = f.takeLock()
	}
	if err != nil {
		return nil, "", fmt.Errorf("open data folder %s: %w", path, err)
	}
	return f, kind, nil
}

func checkKind(have, want string) error {
	switch {
	case have == want:
		return nil
	case have == kindDev:
		return fmt.Errorf("%w: it holds a --dev store, which cannot become part of a cluster; start it with"+
			" granary server --dev, or choose another folder with --data", ErrKind)
	}
	return fmt.Errorf("%w: it belongs to a node of a cluster; start it without --dev, or choose another "+
		"folder with --data",
		ErrKind)
}

// readFormat returns the kind of a data folder, empty if there is no FORMAT file.
func readFormat(path string) (kind string, err error) {
	raw, err := os.ReadFile(filepath.Join(path, formatName))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	rest, ok := strings.CutPrefix(string(raw), formatHead)
	if !ok {
		return "", fmt.Errorf("%w: the file %s is not of granary: %.60q", ErrFormat, formatName, raw)
	}
	if rest, ok = strings.CutPrefix(rest, formatVersion); !ok {
		line, _, _ := strings.Cut(rest, "\n")
		return "", fmt.Errorf("%w: %.40q, this program knows %q: use the version of granary that wrote it",
			ErrFormat, line, strings.TrimSpace(formatVersion))
	}
	switch rest {
	case "kind " + kindNode + "\n":
		return kindNode, nil
	case "kind " + kindDev + "\n":
		return kindDev, nil
	}
	return "", fmt.Errorf("%w: damaged: %.60q", ErrFormat, raw)
}

// claimable refuses a folder without FORMAT that holds anything but what comes before it.
func claimable(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		case lockName, configName, formatName + ".tmp", "lost+found":
		default:
			return fmt.Errorf("%w: it holds %q and no file %s: choose an empty folder", ErrForeign, e.Name(),
				formatName)
		}
	}
	return nil
}

// makeFolder makes the folder, and makes it private.
func makeFolder(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: it is a file", ErrForeign)
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(path, 0o700); err != nil {
			return fmt.Errorf("others may read it, and that cannot be changed: %w", err)
		}
	}
	err = durable.SyncFolder(filepath.Dir(filepath.Clean(path)))
	if errors.Is(err, os.ErrPermission) {
		return nil // somebody else made that one
	}
	return err
}

// takeLock holds the lock file for as long as the process, or the folder, lives.
func (f *folder) takeLock() error {
	file, err := os.OpenFile(filepath.Join(f.path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		f.lock = file
		file.Truncate(0)
		fmt.Fprintf(file, "%d\n", os.Getpid())
		return nil
	}
	holder, _ := io.ReadAll(io.LimitReader(file, 20))
	file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%w by process %s: stop it first, or talk to it with granary status", ErrInUse,
			strings.TrimSpace(string(holder)))
	}
	return fmt.Errorf("lock %s: %w", file.Name(), err)
}

func (f *folder) file(name string) string { return filepath.Join(f.path, name) }

func (f *folder) close() error { return f.lock.Close() }

// writeDurable makes a private file with this content.
func writeDurable(path, content string) error {
	return durable.Write(path, []byte(content), func(step string) error { return point("file-" + step) })
}
