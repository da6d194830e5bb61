package object

import (
	"context"
	"io"

	"granary/core/block"
	"granary/core/bucket"
	"granary/core/rt"
	"granary/core/table"
)

// inFlightMax is how many blocks one upload has on the way at once.
const inFlightMax = 16

// ingest cuts a body into blocks and stores them under one owner while it is still being read.
type ingest struct {
	s      *Store
	bucket bucket.BucketID
	ref    block.Ref
	lists  bool // write block lists whatever the number of blocks
	group  *rt.Group
	slots  *rt.Semaphore
	failed *rt.Future[struct{}]
	hashes []byte // since the last full segment, and before it the first headBlocks
	head   []byte
	blocks int
	size   int64
}

func (s *Store) newIngest(ctx context.Context, b bucket.BucketID, ref block.Ref, lists bool) *ingest {
	ref.Bucket = b
	return &ingest{s: s, bucket: b, ref: ref, lists: lists, group: rt.NewGroup(s.env, ctx),
		slots: rt.NewSemaphore(s.env, inFlightMax), failed: rt.NewFuture[struct{}](s.env)}
}

// spawn runs f as a part of the ingest; its failure ends the reading.
func (g *ingest) spawn(name string, f func(context.Context) error) {
	g.group.Go(name, func(ctx context.Context) error {
		err := f(ctx)
		if err != nil {
			g.failed.Set(struct{}{}, err)
		}
		return err
	})
}

// read stores all of body, first holding its beginning; it takes first over. It returns when the last block
// is on its way.
func (g *ingest) read(ctx context.Context, body io.Reader, first *block.Buffer, eof bool) error {
	for buf := first; ; {
		if !eof {
			var err error
			if eof, err = fill(body, buf, blockSize); err != nil {
				buf.Release()
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

// fill appends to buf from r up to size bytes, and reports whether r is at its end.
func fill(r io.Reader, buf *block.Buffer, size int) (eof bool, err error) {
	for len(buf.Data) < size {
		n, err := r.Read(buf.Data[len(buf.Data):size])
		buf.Data = buf.Data[:len(buf.Data)+n]
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// add starts to store one block, and takes buf over.
func (g *ingest) add(ctx context.Context, buf *block.Buffer) error {
	if g.size += int64(len(buf.Data)); g.size > PutMax {
		buf.Release()
		return ErrTooLarge
	}
	h := block.HashOf(buf.Data)
	if err := g.slots.Acquire(ctx, 1); err != nil {
		buf.Release()
		return err
	}
	if g.failed.Done() {
		buf.Release()
		_, err := g.failed.Get(ctx)
		return err
	}
	g.spawn("put block", func(ctx context.Context) error {
		defer g.slots.Release(1)
		defer buf.Release()
		return g.s.blocks.Put(ctx, h, buf, g.ref)
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
	g.spawn("put block list", func(ctx context.Context) error {
		return g.s.save(ctx, g.bucket, "block list", row)
	})
	return nil
}

func (g *ingest) segment() (table.Row, error) {
	return g.s.rows.lists.Row(listSort(g.ref.Owner, (g.blocks-1)/segmentBlocks), listRow{Hashes: g.hashes})
}

// finish waits until everything is durable, and returns the rows that belong into the final batch.
func (g *ingest) finish() (with []table.Row, err error) {
	if err := g.group.Wait(); err != nil {
		return nil, err
	}
	if len(g.hashes) == 0 || !g.lists && g.blocks <= headBlocks {
		return nil, nil
	}
	row, err := g.segment()
	if err != nil {
		return nil, err
	}
	return []table.Row{row}, nil
}

// abandon ends what is still on its way.
func (g *ingest) abandon() {
	g.group.Cancel()
	g.group.Wait()
}
