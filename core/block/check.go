package block

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"granary/core/kv"
	"granary/core/rt"
	"granary/core/table"
)

// CheckRecord judges a record of this package in a store at rest. known is false if it is not one.
func CheckRecord(key, value []byte) (known bool, err error) {
	if known, err := checkQueues(key, value); known {
		return true, err
	}
	h, ok := bytes.CutPrefix(key, keyPresent)
	if !ok {
		return false, nil
	}
	if len(h) != len(Hash{}) || len(value) != 8 {
		return true, fmt.Errorf("a hash of %d bytes with a size of %d", len(h), len(value))
	}
	return true, nil
}

// Inventory is what Check found of blocks.
type Inventory struct {
	Blocks int64 // recorded as being here
	Bytes  int64 // of them, as they are stored
	// Missing are blocks that something refers to and that are not here: what this node missed while it was
	// down, and others hold.
	Missing int64
	// Unreferenced are blocks that nothing refers to any more.
	Unreferenced int64
	// Away are blocks without a file on the disks that are in use, while others are not: they may be there.
	Away int64
	// Leftover are files that were never recorded: of writes that a crash cut off. They harm nobody.
	Leftover int64
}

// Checker compares the blocks of a node at rest with what its store says of them.
type Checker struct {
	Env  rt.Env
	KV   kv.Reader
	Rows *Rows
	Disk Disk
	// Content reads every block and compares it with its hash.
	Content bool
	// Fault is called for what is wrong: a recorded block without a file, or whose bytes are others.
	Fault func(format string, args ...any)

	former  *former
	buf     []byte
	partial bool // not all disks are in use
}

// listMax is how many names of files a Checker asks for at once.
const listMax = 4096

// Run looks at every record, file and reference.
//
// Errors: those of listing the disk, and of ctx.
func (c *Checker) Run(ctx context.Context) (Inventory, error) {
	var found Inventory
	c.former = newFormer(c.Env, false)
	if several, ok := c.Disk.(Parted); ok {
		for _, p := range several.Parts() {
			c.partial = c.partial || p.Failed != nil
		}
	}
	if err := c.files(ctx, &found); err != nil {
		return found, err
	}
	var last Hash
	c.Rows.refs.Each(c.KV, func(at table.Address, v refRow) bool {
		h := Hash(at.PK)
		if v.Deleted || h == last {
			return true
		}
		last = h
		if c.KV.Get(presentKey(h)) != nil {
			return true
		}
		found.Missing++
		if queued := c.KV.Get(wantedKey(h)); len(queued) != 2 {
			c.Fault("block %v: referred to, not here, and not queued to be fetched", h)
		} else if c.KV.Get(rankKey(rank(queued[0]), h)) == nil {
			c.Fault("block %v: queued to be fetched, and without its place in the order", h)
		}
		return true
	})
	return found, nil
}

// files goes through records and files side by side, both in the order of hashes.
func (c *Checker) files(ctx context.Context, found *Inventory) error {
	for after, more := (Hash{}), true; more; {
		page, err := c.Disk.List(ctx, after, listMax)
		if err != nil {
			return err
		}
		from, to := append(presentKey(after), 0), presentEnd()
		if after == (Hash{}) {
			from = presentKey(after)
		}
		if more = len(page) == listMax; more {
			after = page[len(page)-1]
			to = append(presentKey(after), 0)
		}
		c.KV.Ascend(from, to, func(key, value []byte) bool {
			if known, err := CheckRecord(key, value); !known || err != nil {
				return true // named already
			}
			h := Hash(key[len(keyPresent):])
			for len(page) > 0 && page[0].Compare(h) < 0 {
				found.Leftover, page = found.Leftover+1, page[1:]
			}
			here := len(page) > 0 && page[0] == h
			if here {
				page = page[1:]
			}
			err = c.one(ctx, h, value, here, found)
			return err == nil
		})
		if err != nil {
			return err
		}
		found.Leftover += int64(len(page))
	}
	return nil
}

// presentEnd is behind the last key of a block that is here.
func presentEnd() []byte {
	end := bytes.Clone(keyPresent)
	end[len(end)-1]++
	return end
}

// one looks at a block that is recorded.
func (c *Checker) one(ctx context.Context, h Hash, value []byte, here bool, found *Inventory) error {
	size := int64(binary.BigEndian.Uint64(value))
	found.Blocks++
	found.Bytes += size
	if !c.referenced(h) {
		found.Unreferenced++
	}
	if !here && c.partial {
		found.Away++
		return nil
	}
	if !here {
		c.Fault("block %v: recorded as being here, and its file is not", h)
		return nil
	}
	if !c.Content {
		return nil
	}
	stored, err := c.Disk.Read(ctx, h, c.buf[:0])
	c.buf = stored
	if err == nil && int64(len(stored)) != size {
		err = fmt.Errorf("block %v: a file of %d bytes, recorded as %d: %w", h, len(stored), size, ErrCorrupt)
	}
	if err == nil {
		err = c.former.verify(ctx, stored, h)
	}
	if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrDisk) || errors.Is(err, ErrNotFound) {
		c.Fault("%w", err)
		return nil
	}
	return err
}

// referenced reports whether anything refers to a block.
func (c *Checker) referenced(h Hash) (live bool) {
	err := c.Rows.refs.ScanAt(c.KV, h[:], func(_ []byte, v refRow) bool {
		live = !v.Deleted
		return !live
	})
	return live || err != nil // one that cannot be read may be live
}

// Forget drops the records of blocks that the disk does not have, from a store that is older than the disk,
// and queues those blocks to be fetched. It returns how many there were.
func Forget(ctx context.Context, store kv.Store, disk Disk) (gone int, err error) {
	for after, more := (Hash{}), true; more; {
		page, err := disk.List(ctx, after, listMax)
		if err != nil {
			return gone, err
		}
		from, to := append(presentKey(after), 0), presentEnd()
		if more = len(page) == listMax; more {
			after = page[len(page)-1]
			to = append(presentKey(after), 0)
		}
		here := map[Hash]bool{}
		for _, h := range page {
			here[h] = true
		}
		err = store.Update(ctx, func(w kv.Writer) error {
			var lost [][]byte
			w.Ascend(from, to, func(key, value []byte) bool {
				known, err := CheckRecord(key, value)
				if known && err == nil && !here[Hash(key[len(keyPresent):])] {
					lost = append(lost, bytes.Clone(key))
				}
				return true
			})
			for _, key := range lost {
				w.Delete(key)
				want(w, Hash(key[len(keyPresent):]), reasonLost) // resync looks whether it is referred to
			}
			gone += len(lost)
			return nil
		})
		if err != nil {
			return gone, err
		}
	}
	return gone, nil
}
