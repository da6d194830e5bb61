// Package memkv is the kv engine in memory: the store of every simulated node, with the crash behaviour of a
// real one.
//
// An Image is what would be on the disk. It outlives the node: Open makes a store of it, a killed node simply
// leaves it, and the next Open finds the last commit that was durable, or the one that was in flight, which
// is equally legal since nobody was told. Commits take virtual time, and a sync can be made to fail.
//
// The trees are copy-on-write, so that a snapshot costs nothing and a commit only what it changes.
//
// Under the simulator a transaction that waits, or opens another one, panics with rt.Broken: the engine in
// production would deadlock. For a share of the transactions, slices that were handed out are overwritten
// when it ends, so that whoever keeps one reads garbage, as he would from a page that was reused.
package memkv

import (
	"bytes"
	"context"
	"sync/atomic"
	"time"

	"github.com/tidwall/btree"

	"granary/core/kv"
	"granary/core/kv/group"
	"granary/core/kv/overlay"
	"granary/core/rt"
)

// pair is a key with its value. Neither is ever changed.
type pair struct{ key, value []byte }

// tree holds pointers: what a commit copies of it is then small.
type tree = btree.BTreeG[*pair]

func newTree() *tree {
	return btree.NewBTreeGOptions(func(a, b *pair) bool { return bytes.Compare(a.key, b.key) < 0 },
		btree.Options{NoLocks: true, Degree: 16})
}

// state is the content of a store after a commit. It is never changed, only replaced.
type state struct {
	tree  *tree
	bytes int64
}

// Image is the durable state of one store. Not safe for concurrent use, except by the store that has it open.
type Image struct {
	durable  state
	inFlight state // of the commit being made; its tree is nil if there is none
	owner    *Store
}

// NewImage returns an empty image.
func NewImage() *Image { return &Image{durable: state{tree: newTree()}} }

// Copy returns an independent image of what is durable now, as a backup taken at this moment would hold.
// Cost: O(1).
func (m *Image) Copy() *Image {
	return &Image{durable: state{tree: m.durable.tree.Copy(), bytes: m.durable.bytes}}
}

// Reader reads what is durable now, for checkers that look at a store from outside. It does not follow later
// commits.
func (m *Image) Reader() kv.Reader { return &reader{tree: m.durable.tree} }

// FlipBit turns over one bit of the value of a record that draw picks, as rot does: the store that has the
// image open reads it so. It reports false if there is none.
func (m *Image) FlipBit(draw func() uint64) bool {
	return m.FlipBitFrom(nil, draw)
}

// FlipBitFrom is FlipBit among the records whose keys are not below from.
func (m *Image) FlipBitFrom(from []byte, draw func() uint64) bool {
	n, below := m.durable.tree.Len(), 0
	m.durable.tree.Scan(func(p *pair) bool {
		if bytes.Compare(p.key, from) < 0 {
			below++
			return true
		}
		return false
	})
	if n == below {
		return false
	}
	p, _ := m.durable.tree.GetAt(below + int(draw()%uint64(n-below)))
	if len(p.value) == 0 {
		return false
	}
	value := bytes.Clone(p.value)
	bit := draw() % uint64(8*len(value))
	value[bit/8] ^= 1 << (bit % 8)
	flipped := &pair{key: p.key, value: value}
	m.durable.tree.Set(flipped)
	if next := m.inFlight.tree; next != nil {
		if q, ok := next.Get(p); ok && q == p { // the commit being made leaves the record where it is
			next.Set(flipped)
		}
	}
	return true
}

// Options shape a store. The zero value commits at once and never fails.
type Options struct {
	// Latency is how long a commit of so many writes, with so many bytes of keys and values, takes. Nil means
	// no time.
	Latency func(writes int, bytes int64) time.Duration
	// Sync is asked at the end of every commit; an error fails the store as a failed fsync does. What was
	// being committed may or may not be found by the next Open. Nil means that no sync fails.
	Sync func() error
	// Failed, if not nil, is called once when the store fails; the node must then stop.
	Failed func(error)
}

// Store implements kv.Store over an Image.
type Store struct {
	env     rt.Env
	image   *Image
	opts    Options
	commits *group.Committer

	tx      rt.Locker // held while a transaction's function runs, so that the runtime notices it waiting
	visible state
	size    atomic.Int64 // of visible, in bytes
}

// Open makes a store of the image. A store that had it open before must have been closed, or killed with its
// node: its commits would panic.
func Open(env rt.Env, image *Image, opts Options) *Store {
	if image.inFlight.tree != nil {
		if survives := env.Buggify("kv: the commit in flight survives the crash", 0.5); survives {
			image.durable = image.inFlight
		}
		image.inFlight = state{}
	}
	s := &Store{env: env, image: image, opts: opts, tx: env.NewLock(), visible: image.durable}
	image.owner = s
	s.size.Store(s.visible.bytes)
	s.commits = group.New(env, (*engine)(s), opts.Failed)
	return s
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
	stats.SizeBytes = s.size.Load()
	return stats
}

// Close implements kv.Store.
func (s *Store) Close() error {
	err := s.commits.Close()
	s.tx.Lock() // waits for the last View
	defer s.tx.Unlock()
	return err
}

// engine is the Store as its committer sees it.
type engine Store

// View implements group.Engine.
func (s *engine) View(f func(kv.Reader) error) error {
	scribble := s.env.Buggify("kv: scribble over what a transaction read", 0.1)
	s.tx.Lock()
	defer s.tx.Unlock()
	r := &reader{tree: s.visible.tree, scribble: scribble}
	defer r.end()
	return f(r)
}

// Commit implements group.Engine.
func (s *engine) Commit(ctx context.Context, writes *overlay.Overlay) error {
	if s.image.owner != (*Store)(s) {
		rt.Break("kv image opened again while a store still commits to it")
	}
	next := s.next(writes)
	s.image.inFlight = next
	if s.opts.Latency != nil {
		if d := s.opts.Latency(writes.Len(), writes.Bytes()); d > 0 {
			if err := s.env.Sleep(ctx, d); err != nil {
				return err
			}
		}
	}
	if s.opts.Sync != nil {
		if err := s.opts.Sync(); err != nil {
			return err
		}
	}
	s.image.durable, s.image.inFlight = next, state{}
	s.tx.Lock()
	defer s.tx.Unlock()
	s.visible = next
	s.size.Store(next.bytes)
	return nil
}

// next returns the visible state with the writes applied to a copy.
func (s *engine) next(writes *overlay.Overlay) state {
	next := state{tree: s.visible.tree.Copy(), bytes: s.visible.bytes}
	writes.Each(func(w overlay.Write) {
		var old *pair
		var found bool
		if w.Value == nil {
			old, found = next.tree.Delete(&pair{key: w.Key})
		} else {
			old, found = next.tree.Set(&pair{key: w.Key, value: w.Value})
			next.bytes += int64(len(w.Key) + len(w.Value))
		}
		if found {
			next.bytes -= int64(len(old.key) + len(old.value))
		}
	})
	return next
}
