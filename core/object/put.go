package object

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"granary/core/block"
	"granary/core/bucket"
	"granary/core/hlc"
	"granary/core/table"
)

// Put stores an object once body has ended with io.EOF and its Sums are in order; size is -1 when unknown.
//
// Rounds after the last byte: 1 for up to InlineMax bytes, else 2; or, where rows and blocks have their
// replicas in the same zones and the coordinator has a copy, the first and the way back of the second.
// Errors: ErrBadKey, ErrTooLarge, what body returned, *quorum.Error. Nothing became visible then, unless the
// error is quorum.ErrUnknown.
func (s *Store) Put(ctx context.Context, b bucket.BucketID, k Key, headers []Header, size int64,
	body Body) (Info, error) {
	if err := CheckKey(k); err != nil {
		return Info{}, err
	}
	if size > PutMax {
		return Info{}, fmt.Errorf("object of %d bytes: %w: at most %d in one request, use a multipart upload",
			size, ErrTooLarge, int64(PutMax))
	}
	v := version{ID: s.newID(), State: complete, Headers: headers}
	if size >= 0 && size <= InlineMax {
		data, err := readSmall(body, int(size))
		if err != nil {
			return Info{}, err
		}
		return s.putInline(ctx, b, k, v, data, body)
	}
	first, err := s.blocks.Buffer(ctx)
	if err != nil {
		return Info{}, err
	}
	eof, err := fill(body, first, s.blockSize)
	if err != nil {
		return Info{}, err
	}
	if eof && len(first.Data) <= InlineMax {
		data := bytes.Clone(first.Data)
		first.Release()
		if err := announced(size, int64(len(data))); err != nil {
			return Info{}, err
		}
		return s.putInline(ctx, b, k, v, data, body)
	}
	return s.putBlocks(ctx, b, k, v, first, eof, size, body)
}

// readSmall reads a body of size bytes, and its end.
func readSmall(body io.Reader, size int) ([]byte, error) {
	data := make([]byte, size+1)
	n := 0
	for n <= size {
		m, err := body.Read(data[n:])
		n += m
		if err == io.EOF {
			return data[:n:n], announced(int64(size), int64(n))
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("body longer than the %d bytes announced: %w", size, ErrTooLarge)
}

func (s *Store) putInline(ctx context.Context, b bucket.BucketID, k Key, v version, data []byte,
	body Body) (Info, error) {
	sums, err := body.Sums()
	if err != nil {
		return Info{}, err
	}
	v.ETag, v.Checksums, v.Size, v.Inline = sums.ETag, sums.Checksums, int64(len(data)), true
	payload, err := s.rows.payloads.Row(garbageSort([]byte(k), v.ID), payloadRow{Data: data})
	if err != nil {
		return Info{}, err
	}
	return s.commit(ctx, b, k, v, []table.Row{payload}, nil)
}

func (s *Store) putBlocks(ctx context.Context, b bucket.BucketID, k Key, v version, first *block.Buffer,
	eof bool, size int64, body Body) (Info, error) {
	ref := block.Ref{Owner: block.Owner(v.ID), Key: string(k), Made: s.clock.Wall()}
	g := s.newIngest(b, ref, false)
	defer g.abandon()
	g.mark()
	if err := g.read(ctx, body, first, eof); err != nil {
		return Info{}, err
	}
	sums, err := body.Sums()
	if err != nil {
		return Info{}, err
	}
	v.ETag, v.Checksums, v.Size = sums.ETag, sums.Checksums, g.size
	v.BlockSize, v.Blocks = s.blockSize, g.head
	var info Info
	err = g.finish(ctx, size, func(with []table.Row, ahead *table.Ahead) (err error) {
		info, err = s.commit(ctx, b, k, v, with, ahead)
		return err
	})
	return info, err
}

// markUploading lets it be known that data is being stored under a version id.
func (s *Store) markUploading(ctx context.Context, b bucket.BucketID, k Key, id VersionID) error {
	subject := fmt.Sprintf("upload mark of %q", string(k))
	_, err := s.tables.WriteOne(ctx, table.Write{Subject: subject, PK: b[:],
		Items: []table.Item{{Unvoted: true, Voted: func(stamp hlc.Stamp) ([]table.Row, error) {
			row, err := s.rows.objects.Row([]byte(k), objectRow{Uploads: []uploading{{ID: id, Stamp: stamp}}})
			return []table.Row{row}, err
		}}}})
	return doubted(subject, err)
}
