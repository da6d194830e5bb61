package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"granary/core/kv"
	"granary/core/kv/group"
	"granary/core/rt"
)

// Options shape a store; start from DefaultOptions.
type Options struct {
	// Fsync waits for the disk at every commit. False is for tests and for data one can lose: after a power
	// cut the whole file may be damaged, not just its end.
	Fsync bool
	// FreelistSync writes the list of free pages with every commit. A crashed store then opens at once
	// instead of reading all branch and leaf pages (about a second for 400 MiB), and every commit writes 8
	// bytes more per free page. The list is always written by Close.
	FreelistSync bool
	// FillPercent is how full a page is made when it is split, in percent, 10 to 100: high suits keys that
	// arrive in order, low suits random ones.
	FillPercent int
	// MapBytes is the address space reserved for the file. Beyond it commits hold up readers. It costs no
	// memory.
	MapBytes int64
	// LockTimeout is how long Open waits for another process to let go of the file. Zero waits for ever.
	LockTimeout time.Duration
	// Failed, if not nil, is called once, on a goroutine of the store, when it fails; the process must then
	// end.
	Failed func(error)
}

// DefaultOptions returns what a daemon should use.
func DefaultOptions() Options {
	return Options{Fsync: true, FillPercent: 80, MapBytes: mapBytes, LockTimeout: time.Second}
}

// mapBytes fits into the address space of every 64-bit machine many times.
const mapBytes = 64 << 30

// Validate reports every fault at once.
func (o Options) Validate() error {
	var errs []error
	if o.FillPercent < 10 || o.FillPercent > 100 {
		errs = append(errs, fmt.Errorf("bolt: FillPercent %d, want 10 to 100", o.FillPercent))
	}
	if o.MapBytes < 0 {
		errs = append(errs, fmt.Errorf("bolt: MapBytes %d is negative", o.MapBytes))
	}
	return errors.Join(errs...)
}

// bucketName is the one bucket in the file.
var bucketName = []byte("kv")

// Store implements kv.Store.
type Store struct {
	env     rt.Env
	opts    Options
	db      *bbolt.DB
	commits *group.Committer
	views   views

	size, free atomic.Int64 // bytes, as of the last commit
}

// Open opens the store in the file at path, making it if it does not exist.
//
// Errors: kv.ErrFailed wraps what says that the file is damaged; a lock held by another process is named.
// Cost: under a millisecond after Close; after a crash the file's pages are read once, unless FreelistSync
// was on.
func Open(env rt.Env, path string, opts Options) (*Store, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	s := &Store{env: env, opts: opts}
	if err := s.openFile(path); err != nil {
		return nil, fmt.Errorf("kv: open %s: %w", path, err)
	}
	s.commits = group.New(env, (*engine)(s), opts.Failed)
	return s, nil
}

func (s *Store) openFile(path string) (err error) {
	size, err := fileSize(path)
	if err != nil {
		return err
	}
	if !hasFreelist(path) {
		if err := verify(path, s.opts.LockTimeout); err != nil {
			return err
		}
	}
	mapped := roundMap(max(s.opts.MapBytes, 2*size))
	defer func() {
		if v := recover(); v != nil {
			err = damaged(v)
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:         s.opts.LockTimeout,
		NoSync:          !s.opts.Fsync,
		NoFreelistSync:  !s.opts.FreelistSync,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: int(mapped),
	})
	if err != nil {
		return openError(err)
	}
	s.db = db
	if err = s.create(path); err == nil {
		err = s.views.init(db, mapped)
	}
	if err != nil {
		db.Close()
		return err
	}
	s.measure()
	return nil
}

// create makes the bucket, and the file's name durable, unless the file is in use already.
func (s *Store) create(path string) error {
	fresh := false
	err := s.db.View(func(tx *bbolt.Tx) error {
		first, _ := tx.Cursor().First()
		fresh = first == nil
		return nil
	})
	if err != nil || !fresh {
		return err
	}
	err = s.db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(bucketName)
		return err
	})
	if err != nil || !s.opts.Fsync {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// openError adds kinds and hints to bbolt's errors.
func openError(err error) error {
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("the file is in use by another process: %w", err)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum),
		errors.Is(err, berrors.ErrVersionMismatch):
		return fmt.Errorf("%w: %w: this is no store, or a damaged one", kv.ErrFailed, err)
	}
	return err
}

// damaged makes an error of what bbolt, or a read of the mapped file, panicked with.
func damaged(v any) error {
	return fmt.Errorf("%w: the file is damaged: %v: keep it, the node must sync anew", kv.ErrFailed, v)
}

// View implements kv.Store.
func (s *Store) View(f func(kv.Reader) error) error {
	if err := s.commits.Err(); err != nil {
		return err
	}
	return (*engine)(s).View(f)
}

// Update implements kv.Store.
func (s *Store) Update(ctx context.Context, f func(kv.Writer) error) error {
	return s.commits.Update(ctx, f)
}

// Stats implements kv.Store.
func (s *Store) Stats() kv.Stats {
	stats := s.commits.Stats()
	stats.SizeBytes, stats.FreeBytes = s.size.Load(), s.free.Load()
	return stats
}

// Snapshot writes a copy of the store, as of one moment, that Open can read. Commits and views go on
// meanwhile, but the file grows by what they replace. begin, if not nil, is told the size of the copy before
// anything is written, and may refuse it.
func (s *Store) Snapshot(w io.Writer, begin func(bytes int64) error) error {
	if err := s.commits.Err(); err != nil {
		return err
	}
	snap, err := s.views.acquire()
	if err != nil {
		return err
	}
	defer s.views.release(snap)
	if begin != nil {
		if err := begin(snap.tx.Size()); err != nil {
			return err
		}
	}
	if _, err := snap.tx.WriteTo(w); err != nil {
		return fmt.Errorf("kv: snapshot: %w", err)
	}
	return nil
}

// Close implements kv.Store. It leaves a file that opens at once.
func (s *Store) Close() error {
	err := s.commits.Close()
	if !s.views.close() {
		return err // the second call
	}
	if err == nil {
		err = (*engine)(s).syncFreelist()
	}
	return errors.Join(err, s.db.Close())
}

// measure takes the sizes for Stats. Only between commits.
func (s *Store) measure() {
	info, err := os.Stat(s.db.Path())
	if err == nil {
		s.size.Store(info.Size())
	}
	st := s.db.Stats()
	s.free.Store(int64(st.FreePageN+st.PendingPageN) * int64(s.db.Info().PageSize))
}
