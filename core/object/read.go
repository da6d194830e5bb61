package object

import (
	"context"
	"errors"
	"fmt"
	"io"

	"granary/core/block"
	"granary/core/quorum"
	"granary/core/rt"
	"granary/core/table"
)

const (
	// readAheadMax is how many blocks a read fetches ahead at most. It begins with what the way to the
	// nearest replica holds, readAheadMin at least, and doubles.
	readAheadMax = 16
	readAheadMin = 2
	// segmentsKnown is how many segments of block lists a read keeps.
	segmentsKnown = 4
)

// errLost stands for a fetch that ended without a result.
var errLost = errors.New("the fetch of a block was lost")

// pendingBlock is a block on its way. Whoever holds it takes the block once, or drops it.
type pendingBlock struct{ future *rt.Future[*block.Buffer] }

// startBlock fetches the block whose hash is found by hash, of at most size bytes.
func (s *Store) startBlock(ctx context.Context, size int64, hash func(context.Context) (block.Hash,
	error)) *pendingBlock {
	p := &pendingBlock{future: rt.NewFuture[*block.Buffer](s.env)}
	s.group.Go("fetch block", func(context.Context) error {
		defer p.future.Set(nil, errLost) // after a panic
		h, err := hash(ctx)
		if err != nil {
			p.future.Set(nil, err)
			return nil
		}
		p.future.Set(s.blocks.Get(ctx, h, size))
		return nil
	})
	return p
}

func (p *pendingBlock) take(ctx context.Context) (*block.Buffer, error) { return p.future.Get(ctx) }

// drop gives the block back once it is there; its fetch should have been cancelled.
func (p *pendingBlock) drop(s *Store) {
	s.group.Go("drop block", func(context.Context) error {
		if buf, err := p.future.Get(rt.Forever); err == nil {
			buf.Release()
		}
		return nil
	})
}

// segmentID names a segment of a block list.
type segmentID struct {
	owner  block.Owner
	number int
}

// knownSegment is a segment of hashes, there or on its way.
type knownSegment struct {
	id     segmentID
	hashes *rt.Future[[]byte]
}

// segment returns the future of a segment of hashes, fetching it if it is not known yet. Called by one task.
func (o *Object) segment(id segmentID) *rt.Future[[]byte] {
	for _, k := range o.known {
		if k.id == id {
			return k.hashes
		}
	}
	f := o.remember(id)
	o.s.group.Go("fetch block list", func(context.Context) error {
		defer f.Set(nil, errLost) // after a panic
		f.Set(o.s.fetchHashes(o.ctx, o, id))
		return nil
	})
	return f
}

// learn notes a segment that came with the object's row.
func (o *Object) learn(id segmentID, hashes []byte) { o.remember(id).Set(hashes, nil) }

// remember makes room for a segment; the oldest goes, since reads move on.
func (o *Object) remember(id segmentID) *rt.Future[[]byte] {
	if len(o.known) == segmentsKnown {
		o.known = append(o.known[:0], o.known[1:]...)
	}
	f := rt.NewFuture[[]byte](o.s.env)
	o.known = append(o.known, knownSegment{id, f})
	return f
}

// fetchHashes reads a segment at a quorum.
func (s *Store) fetchHashes(ctx context.Context, o *Object, id segmentID) ([]byte, error) {
	sort := listSort([]byte(o.key), id.owner, id.number)
	f, err := s.tables.Fetch(ctx, fetchSegment, o.bucket[:], sort, "block list of object "+quote(o.key))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for {
		row, ok, err := table.Joined(f, s.rows.lists, sort)
		if ok || err != nil {
			return row.Hashes, err
		}
		if !f.More(ctx) {
			return nil, &quorum.Error{Op: "read", Subject: "block list of object " + quote(o.key), Need: 1,
				Of:     f.Asked(),
				Causes: []quorum.Cause{{Node: "every replica that answered", Err: errMissing}}}
		}
	}
}

// hashAt returns how to find the hash of the block at a place.
func (o *Object) hashAt(at place) func(context.Context) (block.Hash, error) {
	if v := o.version; v.inHead(at) {
		h := v.hash(at)
		return func(context.Context) (block.Hash, error) { return h, nil }
	}
	segment, i := o.segment(segmentID{at.owner, at.block / segmentBlocks}), at.block%segmentBlocks
	return func(ctx context.Context) (h block.Hash, err error) {
		hashes, err := segment.Get(ctx)
		if err != nil {
			return h, err
		}
		if (i+1)*hashLen > len(hashes) {
			return h, fmt.Errorf("block %d of object %s is in no replica's block list: %w", at.block,
				quote(o.key), block.ErrCorrupt)
		}
		return block.Hash(hashes[i*hashLen : (i+1)*hashLen]), nil
	}
}

// Open returns a reader of n bytes from off once the first block of them is in hand. The reader's error, or
// its end before n bytes, means that the rest cannot be had; a read that takes longer than Reclaim.ReadMax
// ends so.
//
// Errors: ErrInvalidRange, *quorum.Error.
func (o *Object) Open(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if off < 0 || n < 0 || off > o.version.Size || n > o.version.Size-off {
		return nil, fmt.Errorf("bytes %d to %d of %d: %w", off, off+n, o.version.Size, ErrInvalidRange)
	}
	if n == 0 {
		return &smallReader{}, nil
	}
	if o.version.Inline {
		return &smallReader{rest: o.payload[off : off+n]}, nil
	}
	r := &reader{o: o, next: off, end: off + n, window: o.depth(off)}
	r.ctx, r.cancel = o.s.env.WithTimeout(ctx, o.s.reclaim.ReadMax)
	if err := r.advance(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// depth is how many blocks a read from off begins with: as many as the way from the nearest replica of the
// first one holds, if that is known.
func (o *Object) depth(off int64) int {
	if at, ok := o.version.locate(off); ok && o.version.inHead(at) {
		return min(max(readAheadMin, o.s.blocks.Depth(o.version.hash(at))), readAheadMax)
	}
	return readAheadMin
}

// smallReader reads content in memory.
type smallReader struct{ rest []byte }

// Read implements io.Reader.
func (r *smallReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Close implements io.Closer.
func (r *smallReader) Close() error { return nil }

// WriteTo implements io.WriterTo.
func (r *smallReader) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(r.rest)
	r.rest = r.rest[n:]
	return int64(n), err
}

// stretch is a block on its way and the part of it that is wanted.
type stretch struct {
	block    *pendingBlock
	from, to int64
}

// reader delivers a range of an object's blocks in order, fetching some ahead.
type reader struct {
	o       *Object
	ctx     context.Context
	cancel  context.CancelFunc
	next    int64 // first byte that no stretch covers yet
	end     int64
	ahead   []stretch
	window  int
	current *block.Buffer
	rest    []byte
	failed  error // what ended it
}

// plan starts to fetch blocks until the window is full, or as many as there is memory for; one at least
// unless there is a current block.
func (r *reader) plan() error {
	for r.next < r.end && len(r.ahead) < r.window {
		if (r.current != nil || len(r.ahead) > 0) && len(r.ahead) >= r.o.s.blocks.Ahead() {
			return nil
		}
		at, ok := r.o.version.locate(r.next)
		if !ok {
			return fmt.Errorf("byte %d of object %s: %w", r.next, quote(r.o.key), ErrInvalidRange)
		}
		n := min(at.size-at.within, at.left, r.end-r.next)
		r.ahead = append(r.ahead, stretch{r.fetch(at), at.within, at.within + n})
		r.next += n
	}
	return nil
}

// fetch starts to fetch a block, or takes over the one that was guessed.
func (r *reader) fetch(at place) *pendingBlock {
	if g := r.o.guess; g != nil {
		r.o.guess = nil
		if v := r.o.version; g.owner == at.owner && v.inHead(at) && g.hash == v.hash(at) ||
			r.o.s.env.Mutant("guessed block not compared") {
			r.o.s.env.Sometimes("guessed block was right", true)
			return g.future
		}
		g.drop(r.o.s)
	}
	return r.o.s.startBlock(r.ctx, at.bytes(), r.o.hashAt(at))
}

// advance waits for the next block. An error is for good.
func (r *reader) advance() error {
	if r.failed == nil {
		r.failed = r.step()
	}
	return r.failed
}

func (r *reader) step() error {
	r.release()
	if err := r.plan(); err != nil {
		return err
	}
	if len(r.ahead) == 0 {
		return io.EOF
	}
	head := r.ahead[0]
	buf, err := head.block.take(r.ctx)
	if err != nil {
		return err
	}
	r.ahead = r.ahead[1:]
	r.current = buf
	if head.to > int64(len(buf.Data)) {
		return fmt.Errorf("object %s: a block of %d bytes where %d are needed: %w", quote(r.o.key),
			len(buf.Data), head.to, block.ErrCorrupt)
	}
	r.rest = buf.Data[head.from:head.to]
	r.window = min(r.window*2, readAheadMax)
	return r.plan()
}

func (r *reader) release() {
	if r.current != nil {
		r.current.Release()
		r.current, r.rest = nil, nil
	}
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if err := r.advance(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// WriteTo implements io.WriterTo: block by block, without copying.
func (r *reader) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if len(r.rest) == 0 {
			if err := r.advance(); err == io.EOF {
				return total, nil
			} else if err != nil {
				return total, err
			}
		}
		n, err := w.Write(r.rest)
		r.rest = r.rest[n:]
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
}

// Close implements io.Closer.
func (r *reader) Close() error {
	r.cancel()
	r.release()
	for _, s := range r.ahead {
		s.block.drop(r.o.s)
	}
	r.ahead = nil
	return nil
}
