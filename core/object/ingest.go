package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"granary/core/block"
	"granary/core/bucket"
	"granary/core/quorum"
	"granary/core/rt"
	"granary/core/table"
)

// inFlightMax is how many blocks one write has on the way at once.
const inFlightMax = 16

// effort is what has to be durable before a write is committed. A failure of any of it fails the whole.
type effort struct {
	group  *rt.Group
	slots  *rt.Semaphore
	failed *rt.Future[struct{}]
}

func (s *Store) newEffort(ctx context.Context) effort {
	return effort{group: rt.NewGroup(s.env, ctx), slots: rt.NewSemaphore(s.env, inFlightMax),
		failed: rt.NewFuture[struct{}](s.env)}
}

// spawn starts a part of the effort.
func (e effort) spawn(name string, f func(context.Context) error) {
	e.group.Go(name, func(ctx context.Context) error {
		err := harmless(f(ctx))
		if err != nil {
			e.failed.Set(struct{}{}, err)
		}
		return err
	})
}

// slot waits for the right to have one more block on the way, which Release of slots ends; it fails when the
// effort has.
func (e effort) slot(ctx context.Context) error {
	if err := e.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	if !e.failed.Done() {
		return nil
	}
	e.slots.Release(1)
	_, err := e.failed.Get(ctx)
	return err
}

// wait joins what was spawned.
func (e effort) wait() error { return e.group.Wait() }

// ready is set when all that was spawned is durable, or has failed; the node's group waits for it. Nothing
// may be spawned after it.
func (e effort) ready(env rt.Env, node *rt.Group) *rt.Future[struct{}] {
	ready := rt.NewFuture[struct{}](env)
	node.Go("effort", func(context.Context) error {
		ready.Set(struct{}{}, e.wait())
		return nil
	})
	return ready
}

// abandon ends what is still on its way, unless it may arrive later.
func (g *ingest) abandon() {
	if !g.left {
		g.effort.abandon()
	}
}

// abandon ends what is still on its way.
func (e effort) abandon() {
	e.group.Cancel()
	e.group.Wait()
}

// harmless takes the doubt out of a failed write of rows that nothing refers to yet: whether they are there
// or not, nothing became visible.
func harmless(err error) error {
	if e := (*quorum.Error)(nil); errors.As(err, &e) && e.Unknown {
		known := *e
		known.Unknown = false
		return &known
	}
	return err
}

// ingest cuts a body into blocks and stores them under one owner while it is still being read.
type ingest struct {
	effort
	s      *Store
	bucket bucket.BucketID
	ref    block.Ref
	lists  bool   // write block lists whatever the number of blocks
	hashes []byte // since the last full segment, and before it the first headBlocks
	head   []byte
	blocks int
	size   int64
	marked time.Duration // when the upload was last marked; for a plain object

	lock   rt.Locker
	parts  int             // that the final batch refers to, so far
	flying map[int]*flight // those on their way, and those that failed
	left   bool            // the object is complete, and what is still on its way may arrive later
}

// flight is what has to be durable before the final batch counts. It is set when it is, or as soon as it is a
// block that lacks one copy.
type flight = rt.Future[*block.Pending]

// fly starts to make something durable that the final batch refers to.
func (g *ingest) fly(name string, f func(ctx context.Context, pending func(block.Pending)) error) {
	fl := rt.NewFuture[*block.Pending](g.s.env)
	g.lock.Lock()
	n := g.parts
	g.parts++
	g.flying[n] = fl
	g.lock.Unlock()
	g.spawn(name, func(ctx context.Context) error {
		err := harmless(f(ctx, func(p block.Pending) { fl.Set(&p, nil) }))
		fl.Set(nil, err)
		if err == nil || g.s.env.Mutant("ahead: failures are forgotten") {
			g.lock.Lock()
			defer g.lock.Unlock()
			delete(g.flying, n)
		}
		return err
	})
}

// pending waits until nothing is on its way but blocks that lack one copy each, and returns these.
func (g *ingest) pending(ctx context.Context) (blocks []block.Pending, err error) {
	g.lock.Lock()
	order := slices.Sorted(maps.Keys(g.flying))
	flights := make([]*flight, len(order))
	for i, n := range order {
		flights[i] = g.flying[n]
	}
	g.lock.Unlock()
	for _, f := range flights {
		p, err := f.Get(ctx)
		if err != nil {
			return nil, err
		}
		if p != nil {
			blocks = append(blocks, *p)
		}
	}
	return blocks, nil
}

// mark lets it be known, and known again after a while, that data is being stored under a version id.
func (g *ingest) mark() {
	g.marked = g.s.env.Now()
	g.spawn("mark upload", func(ctx context.Context) error {
		return g.s.markUploading(ctx, g.bucket, Key(g.ref.Key), VersionID(g.ref.Owner))
	})
}

func (s *Store) newIngest(b bucket.BucketID, ref block.Ref, lists bool) *ingest {
	ref.Bucket = b
	return &ingest{effort: s.newEffort(s.env.Background()), s: s, bucket: b, ref: ref, lists: lists,
		lock: s.env.NewLock(), flying: map[int]*flight{}}
}

// read stores all of body, first holding its beginning; it takes first over. It returns when the last block
// is on its way.
func (g *ingest) read(ctx context.Context, body io.Reader, first *block.Buffer, eof bool) error {
	for buf := first; ; {
		if !eof {
			var err error
			if eof, err = fill(body, buf, g.s.blockSize); err != nil {
				return err
			}
		}
		if len(buf.Data) == 0 {
			buf.Release()
			return nil
		}
		if err := g.add(ctx, buf); err != nil {
			return err
		}
		if eof {
			return nil
		}
		var err error
		if buf, err = g.s.blocks.Buffer(ctx); err != nil {
			return err
		}
	}
}

// fill appends to buf from r up to size bytes, and reports whether r is at its end. If it fails, or r panics,
// buf is released.
func fill(r io.Reader, buf *block.Buffer, size int64) (eof bool, err error) {
	filled := false
	defer func() {
		if !filled {
			buf.Release()
		}
	}()
	for int64(len(buf.Data)) < size {
		n, err := r.Read(buf.Data[len(buf.Data):size])
		buf.Data = buf.Data[:len(buf.Data)+n]
		if err != nil {
			filled = err == io.EOF
			return filled, ended(err)
		}
	}
	filled = true
	return false, nil
}

// ended is what the error of a Read means: nothing at the end.
func ended(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// add starts to store one block, and takes buf over.
func (g *ingest) add(ctx context.Context, buf *block.Buffer) error {
	err := g.slot(ctx)
	if err == nil && g.size+int64(len(buf.Data)) > PutMax {
		err = fmt.Errorf("body of more than %d bytes: %w: use a multipart upload", int64(PutMax), ErrTooLarge)
	}
	if err != nil {
		buf.Release()
		return err
	}
	if g.ref.Upload == [16]byte{} && g.s.env.Now()-g.marked > g.s.reclaim.Refresh {
		g.mark()
	}
	g.size += int64(len(buf.Data))
	h := block.HashOf(buf.Data)
	g.s.env.Charge(rt.BLAKE3, len(buf.Data))
	g.fly("put block", func(ctx context.Context, pending func(block.Pending)) error {
		defer g.slots.Release(1)
		defer buf.Release()
		ref := g.ref
		ref.Owner = g.s.referrer(ref.Owner, ref.Upload)
		return g.s.blocks.Put(ctx, h, buf, ref, pending)
	})
	return g.list(h)
}

// list notes a block's hash, and starts to store a segment of the block list when one is full.
func (g *ingest) list(h block.Hash) error {
	if g.blocks < headBlocks {
		g.head = append(g.head, h[:]...)
	}
	g.hashes = append(g.hashes, h[:]...)
	g.blocks++
	if g.blocks%segmentBlocks != 0 {
		return nil
	}
	row, err := g.segment()
	if err != nil {
		return err
	}
	g.hashes = nil
	g.fly("put block list", func(ctx context.Context, _ func(block.Pending)) error {
		return g.s.save(ctx, g.bucket, "block list", row)
	})
	return nil
}

func (g *ingest) segment() (table.Row, error) {
	sort := listSort([]byte(g.ref.Key), g.ref.Owner, (g.blocks-1)/segmentBlocks)
	return g.s.rows.lists.Row(sort, listRow{Hashes: g.hashes})
}

// finish waits until everything is durable but blocks that lack one copy, and commits by write, which is
// given the rows that belong into the final batch, and what that batch still waits for, nil for nothing. A
// batch whose time is over before its blocks are durable is written again, as if nothing had gone ahead; not
// where a monotonic read may have seen it. size is that of the body as announced, -1 if it was not.
func (g *ingest) finish(ctx context.Context, size int64, write func([]table.Row, *table.Ahead) error) error {
	if err := announced(size, g.size); err != nil {
		return err
	}
	with, err := g.last()
	if err != nil {
		return err
	}
	blocks, err := g.pending(ctx)
	if err != nil {
		return err
	}
	ready := g.ready(g.s.env, g.s.group)
	var doubt error // what is known of a batch that was sent ahead and may have been merged
	if len(blocks) > 0 {
		needs, err := block.Needs(blocks)
		if err != nil {
			return err
		}
		err = write(with, &table.Ahead{Needs: needs, Ready: ready})
		g.left = err == nil
		switch unknown := errors.Is(err, quorum.ErrUnknown); {
		case unknown && !ready.Done() && table.ConsistencyOf(ctx) != table.Monotonic:
			g.s.env.Sometimes("a batch sent ahead ran out of time", true)
			doubt = err
		case unknown || !errors.Is(err, table.ErrUnmet):
			return err
		default:
			g.s.env.Sometimes("a batch sent ahead was refused everywhere", true)
		}
	}
	if _, err = ready.Get(ctx); err == nil {
		err = write(with, nil)
	}
	if err != nil && doubt != nil {
		return doubt
	}
	return err
}

// last is the last segment of the block list, if it needs one.
func (g *ingest) last() ([]table.Row, error) {
	if len(g.hashes) == 0 || !g.lists && g.blocks <= headBlocks {
		return nil, nil
	}
	row, err := g.segment()
	return []table.Row{row}, err
}

// announced checks the length of a body.
func announced(size, got int64) error {
	if size >= 0 && got != size {
		return fmt.Errorf("body of %d bytes where %d were announced: %w", got, size, io.ErrUnexpectedEOF)
	}
	return nil
}
