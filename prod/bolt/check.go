package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"

	"granary/core/kv"
)

// Report is what Check found in a sound file.
type Report struct {
	Keys       int64
	KeyBytes   int64
	ValueBytes int64
	FileBytes  int64
}

// Check reads the whole file, which no store may have open: the pages must form one tree, each used or free
// exactly once, with keys in order. If they do, visit, if it is not nil, is given the content and may refuse
// it. It returns all faults joined, up to faultsMax, each wrapping kv.ErrFailed if it is the file's. It
// changes nothing.
func Check(path string, lockTimeout time.Duration, visit func(kv.Reader) error) (Report, error) {
	var report Report
	size, err := fileSize(path)
	if err == nil && size == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return report, fmt.Errorf("kv: check %s: %w", path, err)
	}
	report.FileBytes = size
	err = withReadOnly(path, lockTimeout, func(db *bbolt.DB) error {
		// The walk comes first: it survives what would crash bbolt's own check.
		if err := walk(db, &report); err != nil {
			return err
		}
		if err := db.View(checkPages); err != nil || visit == nil {
			return err
		}
		return db.View(func(tx *bbolt.Tx) error { return visit(&reader{bucket: tx.Bucket(bucketName)}) })
	})
	if err != nil {
		return report, fmt.Errorf("kv: check %s: %w", path, err)
	}
	return report, nil
}

// faultsMax bounds how many faults Check lists.
const faultsMax = 100

func checkPages(tx *bbolt.Tx) error {
	var faults []error
	for err := range tx.Check() {
		if len(faults) < faultsMax {
			faults = append(faults, damaged(err))
		}
	}
	return errors.Join(faults...)
}

// verify reads all pages of an existing file under a guard. Without it a damaged file would crash the process
// when bbolt, in a goroutine of its own, looks for the free pages.
func verify(path string, lockTimeout time.Duration) error {
	return withReadOnly(path, lockTimeout, func(db *bbolt.DB) error { return walk(db, &Report{}) })
}

func withReadOnly(path string, lockTimeout time.Duration, f func(db *bbolt.DB) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = damaged(v)
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockTimeout})
	if err != nil {
		return openError(err)
	}
	defer db.Close()
	return f(db)
}

// walk visits every pair and compares each key with the one before.
func walk(db *bbolt.DB, report *Report) error {
	return db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(bucketName)
		if bucket == nil {
			return damaged("the bucket is missing")
		}
		var prev []byte
		var sum byte
		c := bucket.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if report.Keys > 0 && bytes.Compare(prev, k) >= 0 {
				return damaged(fmt.Sprintf("key %x comes after %x", k, prev))
			}
			if len(v) > 0 {
				sum += v[0] + v[len(v)-1] // both ends lie inside the file, or this faults
			}
			prev = k
			report.Keys++
			report.KeyBytes += int64(len(k))
			report.ValueBytes += int64(len(v))
		}
		_ = sum
		return nil
	})
}

// fileSize is 0 for a file that does not exist.
func fileSize(path string) (int64, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// hasFreelist reports whether bbolt will open the file without looking for the free pages: the newer meta
// page names a list, or the file is new, or so damaged that bbolt refuses it at once.
func hasFreelist(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return true
	}
	defer f.Close()
	newest := meta{Freelist: 0}
	for _, offset := range []int64{0, int64(os.Getpagesize())} {
		if m, ok := readMeta(f, offset); ok && m.Txid >= newest.Txid {
			newest = m
		}
	}
	return newest.Freelist != noFreelist
}

// meta is bbolt's meta page after its 16-byte header, in the byte order of the machine:
//
//	magic 4 | version 4 | page size 4 | flags 4 | root page 8 | sequence 8 | freelist page 8 |
//	pages 8 | txid 8 | FNV-1a of all before 8
type meta struct {
	Magic, Version, PageSize, Flags       uint32
	Root, Sequence, Freelist, Pages, Txid uint64
	Checksum                              uint64
}

const (
	pageHeader = 16
	noFreelist = ^uint64(0)
)

func readMeta(f *os.File, offset int64) (m meta, ok bool) {
	raw := make([]byte, binary.Size(m))
	if _, err := f.ReadAt(raw, offset+pageHeader); err != nil {
		return m, false
	}
	if _, err := binary.Decode(raw, binary.NativeEndian, &m); err != nil {
		return m, false
	}
	sum := fnv.New64a()
	sum.Write(raw[:len(raw)-8])
	return m, sum.Sum64() == m.Checksum
}
