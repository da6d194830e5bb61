package disk

import (
	"math/rand/v2"

	"github.com/tidwall/btree"

	"granary/core/block"
)

// PageSize is the piece in which a power cut tears, and in which space is counted, in bytes.
const PageSize = 4096

// Image is one disk. Between calls the world may set the exported fields, at any moment; they hold from the
// next step of any call on. Not for use from several goroutines at once: tasks of one simulator only.
type Image struct {
	// Timing is how long steps take. The zero value lets each take a nanosecond.
	Timing Timing
	// Slow multiplies every duration; 0 means 1.
	Slow int64
	// Capacity is the size in bytes; 0 means 1 TiB.
	Capacity int64
	// Dead makes every call fail with ErrDisk.
	Dead bool
	// NoSync makes syncs return at once without effect, as fsync = false does, or a disk that lies.
	NoSync bool
	// MisdirectNext is the number of coming writes of which a page lands in another file.
	MisdirectNext int
	// Interrupt, if not nil, is called once, by the next Write that has renamed its file and not yet synced
	// the folder: a moment to cut the power.
	Interrupt func()

	files    *btree.BTreeG[*file]
	dirty    [256][]*file // files with changes pending, by folder, oldest change first
	changes  uint64       // renames and removals so far
	used     int64        // bytes of the files a node sees and of the temporary ones, in whole pages
	failSync int          // the sync that fails, counted down from 1; 0: none
	boots    int
}

// inode is the content of one file. data is never changed in place, so it may be shared.
type inode struct {
	data   []byte
	synced bool
	bad    bool // has a sector that cannot be read
}

// file is one name. It is in Image.files while it has a cached or durable inode, or changes pending.
type file struct {
	hash    block.Hash
	cached  *inode   // what a node sees; nil: no file
	durable *inode   // what a power cut leaves when it takes every pending change
	pending []change // since the last sync of the folder, oldest first; the last leads to cached
}

// change is a rename onto a file, or its removal (to is nil).
type change struct {
	seq uint64
	to  *inode
}

// NewImage returns an empty disk.
func NewImage() *Image {
	less := func(a, b *file) bool { return a.hash.Compare(b.hash) < 0 }
	return &Image{files: btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})}
}

// Copy returns an independent disk that holds what is durable on m now, as a backup taken at this moment
// would. Faults are not copied.
func (m *Image) Copy() *Image {
	c := NewImage()
	c.Timing, c.Capacity, c.NoSync = m.Timing, m.Capacity, m.NoSync
	m.files.Scan(func(f *file) bool {
		if f.durable != nil {
			n := *f.durable
			c.files.Set(&file{hash: f.hash, cached: &n, durable: &n})
			c.used += pages(len(n.data))
		}
		return true
	})
	return c
}

// Restore makes the disk hold what a copy holds, and nothing else. The machine around it stays the same: its
// timing, its capacity and its faults. The node that ran on the image must be dead.
func (m *Image) Restore(from *Image) {
	c := from.Copy()
	m.files, m.dirty, m.used = c.files, c.dirty, c.used
}

func (m *Image) find(h block.Hash) *file {
	f, _ := m.files.Get(&file{hash: h})
	return f
}

// lookup returns the content that a node sees under h, nil if there is none.
func (m *Image) lookup(h block.Hash) *inode {
	if f := m.find(h); f != nil {
		return f.cached
	}
	return nil
}

// link makes h name to, in the page cache only; a nil to removes it.
func (m *Image) link(h block.Hash, to *inode) {
	f := m.find(h)
	if f == nil {
		f = &file{hash: h}
		m.files.Set(f)
	}
	if len(f.pending) == 0 {
		m.dirty[h[0]] = append(m.dirty[h[0]], f)
	}
	if f.cached != nil {
		m.used -= pages(len(f.cached.data))
	}
	m.changes++
	f.cached = to
	f.pending = append(f.pending, change{m.changes, to})
}

// syncFolder makes the folder's changes durable, those up to number upTo.
func (m *Image) syncFolder(folder byte, upTo uint64) {
	left := m.dirty[folder][:0]
	for _, f := range m.dirty[folder] {
		n := 0
		for n < len(f.pending) && f.pending[n].seq <= upTo {
			f.durable = f.pending[n].to
			n++
		}
		f.pending = f.pending[n:]
		if len(f.pending) > 0 {
			left = append(left, f)
		} else {
			f.pending = nil
			m.forget(f)
		}
	}
	clear(m.dirty[folder][len(left):])
	m.dirty[folder] = left
}

func (m *Image) forget(f *file) {
	if f.cached == nil && f.durable == nil && len(f.pending) == 0 {
		m.files.Delete(f)
	}
}

// Loss is what a power cut destroyed.
type Loss struct {
	Changes int // renames and removals undone
	Torn    int // files that were there but not synced
}

// PowerCut loses what is not durable, or part of it, as r draws. The node that ran on the image must be dead.
func (m *Image) PowerCut(r *rand.Rand) Loss {
	var loss Loss
	for folder := range m.dirty {
		for _, f := range m.dirty[folder] {
			kept := r.IntN(len(f.pending) + 1)
			loss.Changes += len(f.pending) - kept
			if kept > 0 {
				f.durable = f.pending[kept-1].to
			}
			f.cached, f.pending = f.durable, nil
			m.forget(f)
		}
		m.dirty[folder] = nil
	}
	m.files.Scan(func(f *file) bool {
		if !f.cached.synced {
			f.cached.data, f.cached.synced = tear(r, f.cached.data), true
			loss.Torn++
		}
		return true
	})
	m.recount()
	return loss
}

// tear returns what is left of a file that was never synced.
func tear(r *rand.Rand, data []byte) []byte {
	torn := append([]byte(nil), data...)
	if r.IntN(4) == 0 {
		torn = torn[:r.IntN(len(torn)+1)]
	}
	for at := 0; at < len(torn); at += PageSize {
		page := torn[at:min(at+PageSize, len(torn))]
		switch r.IntN(4) {
		case 0:
			clear(page)
		case 1:
			for i := range page {
				page[i] = byte(r.Uint32())
			}
		}
	}
	return torn
}

// recount sets used to what the files that a node sees occupy.
func (m *Image) recount() {
	m.used = 0
	m.files.Scan(func(f *file) bool {
		if f.cached != nil {
			m.used += pages(len(f.cached.data))
		}
		return true
	})
}

// pages is the space that n bytes occupy. A file has at least one page.
func pages(n int) int64 { return int64(max(1, (n+PageSize-1)/PageSize)) * PageSize }

func (m *Image) capacity() int64 {
	if m.Capacity == 0 {
		return 1 << 40
	}
	return m.Capacity
}

// Used is the number of bytes in use.
func (m *Image) Used() int64 { return m.used }

// Files lists what a node sees, in ascending order.
func (m *Image) Files() []block.Hash { return m.list(block.Hash{}, m.files.Len()) }

// Peek returns the content under h as a node would read it from a healthy disk, nil if there is none. It must
// not be changed.
func (m *Image) Peek(h block.Hash) []byte {
	if n := m.lookup(h); n != nil {
		return n.data[:len(n.data):len(n.data)]
	}
	return nil
}

func (m *Image) list(after block.Hash, limit int) []block.Hash {
	var page []block.Hash
	m.files.Ascend(&file{hash: after}, func(f *file) bool {
		if len(page) >= limit {
			return false
		}
		if f.cached != nil && f.hash != after {
			page = append(page, f.hash)
		}
		return true
	})
	return page
}
