package disk

import (
	"math/rand/v2"
	"time"

	"granary/core/block"
)

// Timing is how long the steps of a disk take. Nil functions take no time.
type Timing struct {
	// Seek is drawn for every step: create, write, rename, unlink, read, list.
	Seek func(r *rand.Rand) time.Duration
	// Sync is drawn for every sync, of a file or of a folder.
	Sync func(r *rand.Rand) time.Duration
	// BytesPerSecond is what all reads and writes together may move; 0: no limit.
	BytesPerSecond int64
}

// SSD is the timing of an ordinary solid state disk.
func SSD() Timing {
	return Timing{
		Seek:           between(20*time.Microsecond, 120*time.Microsecond),
		Sync:           between(150*time.Microsecond, time.Millisecond),
		BytesPerSecond: 400 << 20,
	}
}

func between(low, high time.Duration) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration { return low + time.Duration(r.Int64N(int64(high-low))) }
}

// FailSync makes the nth coming sync of a Write fail, counted from 0. The node's disk then refuses every
// later Write.
func (m *Image) FailSync(n int) { m.failSync = n + 1 }

// HealSync takes back a FailSync that has not happened yet.
func (m *Image) HealSync() { m.failSync = 0 }

// Pick draws one of the files that a node sees; ok is false if there is none.
func (m *Image) Pick(r *rand.Rand) (h block.Hash, ok bool) {
	files := m.Files()
	if len(files) == 0 {
		return h, false
	}
	return files[r.IntN(len(files))], true
}

// FlipBit turns over one bit, bit modulo the length, of the file under h. It reports false if there is no
// such bit.
func (m *Image) FlipBit(h block.Hash, bit uint64) bool {
	n := m.lookup(h)
	if n == nil || len(n.data) == 0 {
		return false
	}
	bit %= uint64(len(n.data)) * 8
	n.data = append([]byte(nil), n.data...)
	n.data[bit/8] ^= 1 << (bit % 8)
	return true
}

// BreakSector makes every Read of the file under h fail with ErrDisk until the file is written anew. It
// reports false if there is no file.
func (m *Image) BreakSector(h block.Hash) bool {
	n := m.lookup(h)
	if n == nil {
		return false
	}
	n.bad = true
	return true
}

// misdirect lets one page of the fresh inode n land in a file that r draws: there it replaces what was, and n
// keeps zeros in its place. It reports false if there is no other file.
func (m *Image) misdirect(r *rand.Rand, n *inode) bool {
	h, ok := m.Pick(r)
	if !ok || len(n.data) == 0 {
		return false
	}
	from := r.IntN((len(n.data)+PageSize-1)/PageSize) * PageSize
	page := append([]byte(nil), n.data[from:min(from+PageSize, len(n.data))]...)
	clear(n.data[from : from+len(page)])

	victim := m.lookup(h)
	victim.data = append([]byte(nil), victim.data...)
	at := 0
	if p := len(victim.data) / PageSize; p > 0 {
		at = r.IntN(p) * PageSize
	}
	copy(victim.data[at:], page)
	return true
}
