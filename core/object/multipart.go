package object

import (
	"context"
	"errors"
	"fmt"

	"granary/core/block"
	"granary/core/bucket"
	"granary/core/table"
)

const (
	fetchUpload = "upload"
	fetchParts  = "upload and parts"
)

// fetchUpload returns an upload's row; its argument is the sort key.
func (s *Store) fetchUpload(r *table.Reader, sort []byte) ([]table.Row, error) {
	return appendRow(nil, s.rows.uploads, r, sort)
}

// CreateUpload begins a multipart upload: 1 round. algo and typ are those of its checksums, "" for none.
//
// Errors: ErrBadKey, *quorum.Error.
func (s *Store) CreateUpload(ctx context.Context, b bucket.BucketID, k Key, headers []Header, algo,
	typ string) (UploadID, error) {
	if err := CheckKey(k); err != nil {
		return UploadID{}, err
	}
	id := UploadID(s.env.Secret(len(UploadID{})))
	stamp, err := s.clock.Now(ctx)
	if err != nil {
		return id, err
	}
	row, err := s.rows.uploads.Row(uploadSort(k, id),
		uploadRow{Created: stamp, Headers: headers, Algo: algo, Type: typ})
	if err != nil {
		return id, err
	}
	return id, s.save(ctx, b, "upload of "+quote(k), row)
}

// upload reads an upload's row at a quorum, and what else fetch with its arguments names.
func (s *Store) upload(ctx context.Context, b bucket.BucketID, k Key, id UploadID, fetch string,
	args []byte) (uploadRow, *table.Fetched, error) {
	sort := uploadSort(k, id)
	f, err := s.tables.Fetch(ctx, fetch, b[:], args, "upload of "+quote(k))
	if err != nil {
		return uploadRow{}, nil, err
	}
	row, ok, err := table.Joined(f, s.rows.uploads, sort)
	if err == nil && (!ok || row.State == uploadAborted) {
		err = fmt.Errorf("upload %v of %s: %w", id, quote(k), ErrNoSuchUpload)
	}
	if err != nil {
		f.Close()
		return uploadRow{}, nil, err
	}
	return row, f, nil
}

// openUpload is upload for one that must not be completed.
func (s *Store) openUpload(ctx context.Context, b bucket.BucketID, k Key, id UploadID) (uploadRow, error) {
	row, f, err := s.upload(ctx, b, k, id, fetchUpload, uploadSort(k, id))
	if err != nil {
		return row, err
	}
	f.Close()
	if row.State != uploadOpen {
		return row, fmt.Errorf("upload %v of %s: %w: it was completed", id, quote(k), ErrNoSuchUpload)
	}
	return row, nil
}

func (id UploadID) info(k Key, row uploadRow) UploadInfo {
	return UploadInfo{Key: k, ID: id, Initiated: row.Created.Time(), Algo: row.Algo, Type: row.Type}
}

// PutPart stores part n, in place of an earlier part n. That the upload exists is found out while the body is
// read.
//
// Rounds after the last byte: 2, or less, as those of Put.
// Errors: ErrNoSuchUpload, ErrInvalidPart, ErrTooLarge, what body returned, *quorum.Error.
func (s *Store) PutPart(ctx context.Context, b bucket.BucketID, k Key, id UploadID, n int, size int64,
	body Body) (PartInfo, error) {
	if n < 1 || n > PartMax {
		return PartInfo{}, fmt.Errorf("part number %d: %w: want 1 to %d", n, ErrInvalidPart, PartMax)
	}
	if size > PutMax {
		return PartInfo{}, fmt.Errorf("part of %d bytes: %w: at most %d", size, ErrTooLarge, int64(PutMax))
	}
	owner := block.Owner(s.newID())
	ref := block.Ref{Owner: owner, Key: string(k), Upload: id, Part: n, Made: s.clock.Wall()}
	g := s.newIngest(b, ref, true)
	defer g.abandon()
	var up uploadRow
	g.fly("find upload", func(ctx context.Context, _ func(block.Pending)) (err error) {
		up, err = s.openUpload(ctx, b, k, id)
		return err
	})
	first, err := s.blocks.Buffer(ctx)
	if err != nil {
		return PartInfo{}, err
	}
	if err := g.read(ctx, body, first, false); err != nil {
		return PartInfo{}, err
	}
	sums, err := body.Sums()
	if err != nil {
		return PartInfo{}, err
	}
	var info PartInfo
	err = g.finish(ctx, size, func(with []table.Row, ahead *table.Ahead) (err error) {
		p := partRow{Size: g.size, ETag: sums.ETag, Checksums: sums.Checksums, BlockSize: s.blockSize}
		info, err = s.savePart(ctx, b, k, id, n, owner, up, p, with, ahead)
		return err
	})
	return info, err
}

// savePart makes an attempt at a part count: its row, and the upload's own for replicas that missed it, in
// one batch.
func (s *Store) savePart(ctx context.Context, b bucket.BucketID, k Key, id UploadID, n int, owner block.Owner,
	up uploadRow, p partRow, with []table.Row, ahead *table.Ahead) (PartInfo, error) {
	var err error
	if p.Stamp, err = s.clock.Now(ctx); err != nil {
		return PartInfo{}, err
	}
	upRow, err := s.rows.uploads.Row(uploadSort(k, id), up)
	if err != nil {
		return PartInfo{}, err
	}
	row, err := s.rows.uploads.Row(partSort(k, id, n, owner), uploadRow{Part: &p})
	if err != nil {
		return PartInfo{}, err
	}
	rows := append([]table.Row{upRow, row}, with...)
	_, err = s.tables.WriteOne(ctx, table.Write{Subject: fmt.Sprintf("part %d of %s", n, quote(k)), PK: b[:],
		Ahead: ahead, Items: []table.Item{{With: rows}}})
	return p.info(n), refusal(err)
}

// refusal turns a replica's refusal into the error that a client knows.
func refusal(err error) error {
	var r *table.Refusal
	if !errors.As(err, &r) || errors.Is(err, bucket.ErrClosed) {
		return err
	}
	if r.Code == refusedAttempts {
		return fmt.Errorf("%w: %w", ErrInvalidPart, r)
	}
	return fmt.Errorf("%w: %w", ErrNoSuchUpload, r)
}

func (p partRow) info(n int) PartInfo {
	return PartInfo{Number: n, Size: p.Size, ETag: p.ETag, Modified: p.Stamp.Time(), Checksums: p.Checksums}
}

// Abort gives an upload up: 2 rounds. The space of what was uploaded is freed by the next pass of the
// reclaim. A completion that was under way at the same time, and whose outcome its caller was not told, may
// win.
//
// Errors: ErrNoSuchUpload, also for a completed one, *quorum.Error.
func (s *Store) Abort(ctx context.Context, b bucket.BucketID, k Key, id UploadID) error {
	up, err := s.openUpload(ctx, b, k, id)
	if err != nil {
		return err
	}
	up.State = uploadAborted
	row, err := s.rows.uploads.Row(uploadSort(k, id), up)
	if err != nil {
		return err
	}
	return refusal(s.save(ctx, b, "upload of "+quote(k), row))
}
