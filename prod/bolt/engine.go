package bolt

import (
	"context"
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"

	"granary/core/kv"
	"granary/core/kv/overlay"
)

// engine is the Store as its committer sees it.
type engine Store

// View implements group.Engine.
func (e *engine) View(f func(kv.Reader) error) (err error) {
	snap, err := e.views.acquire()
	if err != nil {
		return err
	}
	r := reader{bucket: snap.bucket}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r.inside { // bbolt panicked, or the mapped file could not be read
			err = damaged(recover())
			e.commits.Fail(err)
		}
		r.bucket = nil
		e.views.release(snap)
	}()
	return f(&r)
}

// Commit implements group.Engine.
func (e *engine) Commit(_ context.Context, writes *overlay.Overlay) error {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	began := e.env.Now()
	e.views.makeRoom(e.size.Load(), growth(writes))
	if err := e.write(writes); err != nil {
		return fmt.Errorf("kv: commit: %w", err)
	}
	if err := e.views.publish(); err != nil {
		return err
	}
	if err := point("published"); err != nil {
		return err
	}
	(*Store)(e).measure()
	e.env.Observe("kv_commit_seconds", (e.env.Now() - began).Seconds())
	return nil
}

// write applies the writes, in the order of their keys, in one bbolt transaction. When it returns nil they
// are durable.
func (e *engine) write(writes *overlay.Overlay) (err error) {
	tx, err := e.db.Begin(true)
	if err != nil {
		return err
	}
	defer func() {
		if v := recover(); v != nil {
			err = damaged(v)
			abandon(tx)
		}
	}()
	bucket := tx.Bucket(bucketName)
	bucket.FillPercent = float64(e.opts.FillPercent) / 100
	writes.Each(func(w overlay.Write) {
		if err != nil {
			return
		}
		if w.Value == nil {
			err = bucket.Delete(w.Key)
		} else {
			err = bucket.Put(w.Key, w.Value)
		}
	})
	if err != nil {
		tx.Rollback()
		return err
	}
	if err := point("commit-before"); err != nil {
		tx.Rollback()
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	return point("commit-after")
}

// abandon lets go of the write lock of a transaction in which bbolt panicked, for Close would wait for it.
func abandon(tx *bbolt.Tx) {
	defer func() { recover() }() // the damage is told already
	tx.Rollback()
}

// syncFreelist makes a last, empty commit that writes the list of free pages.
func (e *engine) syncFreelist() error {
	e.db.NoFreelistSync = false
	return e.db.Update(func(*bbolt.Tx) error { return nil })
}

// growth bounds what a commit may add to the file: every write may copy and split one page on each level.
func growth(writes *overlay.Overlay) int64 {
	const pages, levels = 4096, 8
	return 2*writes.Bytes() + int64(writes.Len()+16)*2*levels*pages
}

// reader implements kv.Reader on a snapshot. inside is true while bbolt runs: a panic then is bbolt's.
type reader struct {
	bucket *bbolt.Bucket
	inside bool
}

// Get implements kv.Reader.
func (r *reader) Get(key []byte) []byte {
	r.enter()
	v := r.bucket.Get(key)
	r.inside = false
	return v
}

// Ascend implements kv.Reader.
func (r *reader) Ascend(start, end []byte, f func(key, value []byte) bool) {
	r.enter()
	c := r.bucket.Cursor()
	k, v := c.Seek(start)
	for k != nil && (end == nil || less(k, end)) {
		r.inside = false
		if !f(k, v) {
			return
		}
		r.enter()
		k, v = c.Next()
	}
	r.inside = false
}

// Descend implements kv.Reader.
func (r *reader) Descend(start, end []byte, f func(key, value []byte) bool) {
	r.enter()
	c := r.bucket.Cursor()
	k, v := last(c, end)
	for k != nil && !less(k, start) {
		r.inside = false
		if !f(k, v) {
			return
		}
		r.enter()
		k, v = c.Prev()
	}
	r.inside = false
}

// last moves c to the greatest key below end.
func last(c *bbolt.Cursor, end []byte) (k, v []byte) {
	if end != nil {
		if k, _ := c.Seek(end); k != nil {
			return c.Prev()
		}
	}
	return c.Last()
}

func less(a, b []byte) bool { return string(a) < string(b) }

func (r *reader) enter() {
	if r.bucket == nil {
		panic("kv reader used after its transaction")
	}
	if r.inside {
		panic("the transaction met damaged data before")
	}
	r.inside = true
}
