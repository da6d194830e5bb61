package bolt

import (
	"sync"

	"go.etcd.io/bbolt"

	"granary/core/kv"
)

// views hands out the snapshot of the last durable commit.
//
// All Views between two commits share one bbolt read transaction. This is cheap (a counter), and it is
// needed: bbolt shows a commit to new transactions once its meta page is written, before the fsync.
type views struct {
	db     *bbolt.DB
	mapped int64 // bytes of address space bbolt mapped at Open

	mu      sync.Mutex
	changed sync.Cond // current was set, or refs went down to 0, or closed
	current *snapshot // nil while a commit that may have to remap is under way
	open    int       // snapshots whose transaction is open
	closed  bool
}

// snapshot is a shared read transaction. bbolt's read transactions may be read from several goroutines, as
// nothing in them changes after the bucket is opened but counters.
type snapshot struct {
	tx     *bbolt.Tx
	bucket *bbolt.Bucket
	refs   int // under views.mu; views.current counts as one
}

func (v *views) init(db *bbolt.DB, mapped int64) error {
	v.db, v.mapped = db, mapped
	v.changed.L = &v.mu
	return v.publish()
}

// publish makes the last commit the one that views see.
func (v *views) publish() error {
	tx, err := v.db.Begin(false)
	if err != nil {
		return err
	}
	next := &snapshot{tx: tx, bucket: tx.Bucket(bucketName), refs: 1}
	if next.bucket == nil {
		tx.Rollback()
		return damaged("the bucket is missing")
	}
	v.mu.Lock()
	v.open++
	old := v.current
	v.current = next
	v.changed.Broadcast()
	v.mu.Unlock()
	v.release(old)
	return nil
}

// acquire returns the current snapshot, which the caller must release.
func (v *views) acquire() (*snapshot, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for v.current == nil && !v.closed {
		v.changed.Wait()
	}
	if v.closed {
		return nil, kv.ErrClosed
	}
	v.current.refs++
	return v.current, nil
}

func (v *views) release(s *snapshot) {
	if s == nil {
		return
	}
	v.mu.Lock()
	s.refs--
	last := s.refs == 0
	v.mu.Unlock()
	if !last {
		return
	}
	s.tx.Rollback()
	v.mu.Lock()
	v.open--
	v.changed.Broadcast()
	v.mu.Unlock()
}

// makeRoom lets go of the current snapshot if a commit of so many bytes could make bbolt remap the file, for
// which it waits for all read transactions. publish brings it back.
func (v *views) makeRoom(used, growth int64) {
	if used+growth < v.mapped {
		return
	}
	v.mu.Lock()
	old := v.current
	v.current = nil
	v.mu.Unlock()
	v.release(old)
}

// close refuses new views and waits for the running ones. It reports whether this is the first call.
func (v *views) close() bool {
	v.mu.Lock()
	if v.closed {
		v.mu.Unlock()
		return false
	}
	v.closed = true
	old := v.current
	v.current = nil
	v.changed.Broadcast()
	v.mu.Unlock()
	v.release(old)
	v.mu.Lock()
	defer v.mu.Unlock()
	for v.open > 0 {
		v.changed.Wait()
	}
	return true
}

// roundMap is the size that bbolt maps for a file of size bytes: a power of two up to 1 GiB, then whole GiB.
func roundMap(size int64) int64 {
	for i := 15; i <= 30; i++ {
		if size <= 1<<i {
			return 1 << i
		}
	}
	return (size + 1<<30 - 1) >> 30 << 30
}
