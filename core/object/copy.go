package object

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"granary/core/block"
	"granary/core/bucket"
	"granary/core/table"
)

// Copy stores the source under another key. headers replace those of the source unless nil. Blocks are not
// copied: the new object refers to them.
//
// Rounds: 2 for inline content, 3 with blocks.
// Errors: those of Get for the source, of Check, and of Put.
func (s *Store) Copy(ctx context.Context, b bucket.BucketID, k Key, src CopySource, headers *[]Header) (Info,
	error) {
	if err := CheckKey(k); err != nil {
		return Info{}, err
	}
	if src.Body != nil {
		if err := s.copies.Acquire(ctx, 1); err != nil {
			return Info{}, err
		}
		defer s.copies.Release(1)
	}
	o, err := s.get(ctx, src.Bucket, src.Key, GetOptions{}, src.Body != nil)
	if err != nil {
		return Info{}, err
	}
	defer o.Close()
	if err := src.Check(o.Info()); err != nil {
		return Info{}, err
	}
	if o.version.Size > PutMax {
		return Info{}, fmt.Errorf("source of %d bytes: %w: at most %d in one copy", o.version.Size,
			ErrTooLarge, int64(PutMax))
	}
	kept := o.version.Headers
	if headers != nil {
		kept = *headers
	}
	if src.Body != nil {
		r, err := o.Open(ctx, 0, o.version.Size)
		if err != nil {
			return Info{}, err
		}
		defer r.Close()
		return s.Put(ctx, b, k, kept, o.version.Size, src.Body(r))
	}
	v := o.version
	v.ID, v.Headers, v.Upload = s.newID(), kept, nil
	if v.Inline {
		payload, err := s.rows.payloads.Row(garbageSort([]byte(k), v.ID), payloadRow{Data: o.payload})
		if err != nil {
			return Info{}, err
		}
		return s.commit(ctx, b, k, v, []table.Row{payload}, nil)
	}
	return s.copyBlocks(ctx, b, k, o, v)
}

// copyBlocks refers to the source's blocks under new owners, one for each stretch, and commits.
func (s *Store) copyBlocks(ctx context.Context, b bucket.BucketID, k Key, o *Object, v version) (Info,
	error) {
	e := s.newEffort(ctx)
	defer e.abandon()
	e.spawn("mark upload", func(ctx context.Context) error { return s.markUploading(ctx, b, k, v.ID) })
	v.Parts = nil
	for i, p := range o.version.parts() {
		owner := block.Owner(v.ID)
		if len(o.version.Parts) > 0 {
			owner = v.ID.part(i)
			v.Parts = append(v.Parts, part{Number: p.Number, Owner: owner, Size: p.Size,
				BlockSize: p.BlockSize})
		}
		ref := block.Ref{Owner: owner, Bucket: b, Key: string(k), Made: s.clock.Wall()}
		if owner != block.Owner(v.ID) {
			ref.Upload = v.ID
		}
		if err := s.copyStretch(ctx, e, o, p, ref); err != nil {
			return Info{}, err
		}
	}
	if err := e.wait(); err != nil {
		return Info{}, err
	}
	return s.commit(ctx, b, k, v, nil, nil)
}

// kin is how much of its id a version has in common with the owners that are named after it.
const kin = 12

// part is the owner of a stretch of a copy. It is named after the version, so that what was stored for a
// copy that came to nothing is found by that.
func (v VersionID) part(i int) (o block.Owner) {
	copy(o[:], v[:kin])
	binary.BigEndian.PutUint32(o[kin:], uint32(i))
	return o
}

// copyStretch starts to refer to one stretch's blocks and to store their list, unless the object's own row
// carries it.
func (s *Store) copyStretch(ctx context.Context, e effort, o *Object, p part, ref block.Ref) error {
	size := o.version.blockSize(p)
	blocks := int((p.Size + size - 1) / size)
	listed := len(o.version.Parts) == 0 && blocks*hashLen <= len(o.version.Blocks)
	var hashes []byte
	for i := range blocks {
		h, err := o.hashAt(place{owner: p.Owner, block: i})(ctx)
		if err != nil {
			return err
		}
		if err := e.slot(ctx); err != nil {
			return err
		}
		e.spawn("refer to block", func(ctx context.Context) error {
			defer e.slots.Release(1)
			return s.blocks.Refer(ctx, h, ref)
		})
		if listed {
			continue
		}
		if hashes = append(hashes, h[:]...); (i+1)%segmentBlocks != 0 && i < blocks-1 {
			continue
		}
		sort := listSort([]byte(ref.Key), ref.Owner, i/segmentBlocks)
		row, err := s.rows.lists.Row(sort, listRow{Hashes: hashes})
		if err != nil {
			return err
		}
		e.spawn("put block list", func(ctx context.Context) error {
			return s.save(ctx, ref.Bucket, "block list of "+quote(o.key), row)
		})
		hashes = nil
	}
	return nil
}

// CopyPart is PutPart from an object, or a range of one; its content passes through this node.
//
// Errors: those of Get for the source, of Check, and of PutPart; ErrInvalidRange.
func (s *Store) CopyPart(ctx context.Context, b bucket.BucketID, k Key, id UploadID, n int,
	src CopySource) (PartInfo, error) {
	if err := s.copies.Acquire(ctx, 1); err != nil {
		return PartInfo{}, err
	}
	defer s.copies.Release(1)
	o, err := s.Get(ctx, src.Bucket, src.Key, GetOptions{Offset: src.Start})
	if err != nil {
		return PartInfo{}, err
	}
	defer o.Close()
	if err := src.Check(o.Info()); err != nil {
		return PartInfo{}, err
	}
	end := src.End
	if end == 0 {
		end = o.version.Size
	}
	if src.Start < 0 || src.Start > end || end > o.version.Size {
		return PartInfo{}, fmt.Errorf("bytes %d to %d of %d: %w", src.Start, end, o.version.Size,
			ErrInvalidRange)
	}
	r, err := o.Open(ctx, src.Start, end-src.Start)
	if err != nil {
		return PartInfo{}, err
	}
	defer r.Close()
	return s.PutPart(ctx, b, k, id, n, end-src.Start, src.Body(io.Reader(r)))
}
