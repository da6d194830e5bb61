package object

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/zeebo/blake3"

	"granary/core/block"
	"granary/core/bucket"
	"granary/core/table"
)

const (
	fetchUpload = "upload"
	fetchParts  = "upload and parts"
	// attemptsMax bounds the attempts at parts that one upload may have, repeated ones included.
	attemptsMax = 20_000
)

// fetchUpload returns an upload's row; its argument is the sort key.
func (s *Store) fetchUpload(r *table.Reader, sort []byte) ([]table.Row, error) {
	return appendRow(nil, s.rows.uploads, r, sort)
}

// fetchParts returns an upload's row and those of all attempts at its parts; its argument is the upload's
// sort key.
func (s *Store) fetchParts(r *table.Reader, sort []byte) ([]table.Row, error) {
	rows, err := appendRow(nil, s.rows.uploads, r, sort)
	if err != nil {
		return nil, err
	}
	k, id, ok := splitUpload(sort)
	if !ok {
		return nil, fmt.Errorf("upload sort key %x: %w", sort, table.ErrMalformedRow)
	}
	start, end := partsRange(k, id, 0)
	err = s.rows.uploads.ScanRows(r, start, end, func(row table.Row) bool {
		rows = append(rows, row)
		return len(rows) <= attemptsMax
	})
	if len(rows) > attemptsMax {
		return nil, fmt.Errorf("upload %v has more than %d attempts at parts: abort it", id, attemptsMax)
	}
	return rows, err
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

// upload reads an upload's row at a quorum, with the attempts at its parts if fetch says so.
func (s *Store) upload(ctx context.Context, b bucket.BucketID, k Key, id UploadID, fetch string) (uploadRow,
	*table.Fetched, error) {
	sort := uploadSort(k, id)
	f, err := s.tables.Fetch(ctx, fetch, b[:], sort, "upload of "+quote(k))
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
	row, f, err := s.upload(ctx, b, k, id, fetchUpload)
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
// Rounds after the last byte: 2.
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
	g := s.newIngest(ctx, b, block.Ref{Owner: owner, Key: string(k), Upload: id}, true)
	defer g.abandon()
	var up uploadRow
	g.spawn("find upload", func(ctx context.Context) (err error) {
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
	with, err := g.finish()
	if err != nil {
		return PartInfo{}, err
	}
	return s.savePart(ctx, b, k, id, n, owner, up,
		partRow{Size: g.size, ETag: sums.ETag, Checksums: sums.Checksums}, with)
}

// savePart makes an attempt at a part count: its row, and the upload's own for replicas that missed it, in
// one batch.
func (s *Store) savePart(ctx context.Context, b bucket.BucketID, k Key, id UploadID, n int, owner block.Owner,
	up uploadRow,
	p partRow, with []table.Row) (PartInfo, error) {
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
	err = s.save(ctx, b, fmt.Sprintf("part %d of %s", n, quote(k)), rows...)
	return p.info(n), refusal(err)
}

// refusal turns a replica's refusal into the error that a client knows.
func refusal(err error) error {
	var r *table.Refusal
	if errors.As(err, &r) {
		return fmt.Errorf("%w: %w", ErrNoSuchUpload, r)
	}
	return err
}

func (p partRow) info(n int) PartInfo {
	return PartInfo{Number: n, Size: p.Size, ETag: p.ETag, Modified: p.Stamp.Time(), Checksums: p.Checksums}
}

// attempt is a part as it was uploaded once.
type attempt struct {
	PartInfo
	owner block.Owner
	row   partRow
}

// attempts returns the attempts among fetched rows, ordered by part number; of one number the newest is last.
func (s *Store) attempts(f *table.Fetched) ([]attempt, error) {
	sorts, rows, err := table.JoinedAll(f, s.rows.uploads)
	if err != nil {
		return nil, err
	}
	var all []attempt
	for i, row := range rows {
		if row.Part == nil {
			continue
		}
		n, owner := attemptOf(sorts[i])
		a := attempt{PartInfo: row.Part.info(n), owner: owner, row: *row.Part}
		at := len(all)
		for at > 0 && all[at-1].Number == n && all[at-1].row.Stamp > a.row.Stamp {
			at--
		}
		all = append(all, attempt{})
		copy(all[at+1:], all[at:])
		all[at] = a
	}
	return all, nil
}

// Complete makes the object of its parts. Repeated with the same parts it returns the same object, and wins
// over nothing that was written since.
//
// Rounds: 2.
// Errors: ErrNoSuchUpload, ErrUploadConflict, ErrInvalidPart, ErrPartOrder, ErrPartTooSmall, those of
// Combine, *quorum.Error.
func (s *Store) Complete(ctx context.Context, b bucket.BucketID, k Key, id UploadID, o CompleteOptions) (Info,
	error) {
	up, f, err := s.upload(ctx, b, k, id, fetchParts)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	vid := completedID(id, o.Parts)
	if up.State == uploadCompleted {
		return s.completed(ctx, b, k, id, up, vid)
	}
	all, err := s.attempts(f)
	if err != nil {
		return Info{}, err
	}
	v, infos, err := assemble(all, o)
	if err != nil {
		return Info{}, err
	}
	sums, err := o.Combine(id.info(k, up), infos)
	if err != nil {
		return Info{}, err
	}
	v.ID, v.Headers, v.ETag, v.Checksums = vid, up.Headers, sums.ETag, sums.Checksums
	info, err := s.commitWith(ctx, b, k, v, nil, func(stamped version) ([]table.Row, error) {
		return s.doneRow(k, id, up, stamped)
	})
	var r *table.Refusal
	if errors.As(err, &r) && r.Code == refusedCompleted {
		return Info{}, fmt.Errorf("upload %v of %s: %w", id, quote(k), ErrUploadConflict)
	}
	return info, refusal(err)
}

func (s *Store) doneRow(k Key, id UploadID, up uploadRow, v version) ([]table.Row, error) {
	up.State, up.Done = uploadCompleted, &v
	row, err := s.rows.uploads.Row(uploadSort(k, id), up)
	return []table.Row{row}, err
}

// completed answers a repeated Complete: it makes sure that the first one's batch is at a write quorum, as it
// was stamped.
func (s *Store) completed(ctx context.Context, b bucket.BucketID, k Key, id UploadID, up uploadRow,
	vid VersionID) (Info, error) {
	if up.Done == nil || up.Done.ID != vid {
		return Info{}, fmt.Errorf("upload %v of %s: %w", id, quote(k), ErrUploadConflict)
	}
	rows, err := s.doneRow(k, id, up, *up.Done)
	if err != nil {
		return Info{}, err
	}
	row, err := s.rows.objects.Row([]byte(k), objectRow{Winner: *up.Done})
	if err != nil {
		return Info{}, err
	}
	return up.Done.info(k), refusal(s.save(ctx, b, "object "+quote(k), append(rows, row)...))
}

// completedID names the version that an upload becomes with a list of parts, so that a retry makes the same
// version.
func completedID(id UploadID, parts []PartRef) VersionID {
	h := blake3.New()
	h.Write([]byte("granary complete"))
	h.Write(id[:])
	for _, p := range parts {
		var head [6]byte
		binary.BigEndian.PutUint16(head[:], uint16(p.Number))
		binary.BigEndian.PutUint32(head[2:], uint32(len(p.ETag)))
		h.Write(head[:])
		h.Write([]byte(p.ETag))
	}
	return VersionID(h.Sum(nil)[:16])
}

// assemble finds the listed parts among the attempts: the newest of the number whose ETag the list gives.
func assemble(all []attempt, o CompleteOptions) (v version, infos []PartInfo, err error) {
	if len(o.Parts) == 0 {
		return v, nil, fmt.Errorf("no parts listed: %w", ErrInvalidPart)
	}
	v = version{State: complete, BlockSize: blockSize, Multipart: true}
	for i, ref := range o.Parts {
		if i > 0 && ref.Number <= o.Parts[i-1].Number {
			return v, nil, fmt.Errorf("part %d after part %d: %w", ref.Number, o.Parts[i-1].Number,
				ErrPartOrder)
		}
		a, ok := pick(all, ref)
		if !ok {
			return v, nil, fmt.Errorf("part %d with ETag %.40q: %w: not uploaded, or other content",
				ref.Number,
				ref.ETag, ErrInvalidPart)
		}
		if a.Size < PartSizeMin && i < len(o.Parts)-1 {
			return v, nil, fmt.Errorf("part %d has %d bytes: %w: all but the last need %d", ref.Number,
				a.Size, ErrPartTooSmall,
				PartSizeMin)
		}
		v.Parts = append(v.Parts, part{Number: a.Number, Owner: a.owner, Size: a.Size})
		v.Size += a.Size
		infos = append(infos, a.PartInfo)
	}
	if v.Size > ObjectMax {
		return v, nil, fmt.Errorf("object of %d bytes: %w: at most %d", v.Size, ErrTooLarge, int64(ObjectMax))
	}
	if o.Size >= 0 && o.Size != v.Size {
		return v, nil, fmt.Errorf("the parts have %d bytes together, the request says %d: %w", v.Size, o.Size,
			ErrInvalidPart)
	}
	return v, infos, nil
}

func pick(all []attempt, ref PartRef) (found attempt, ok bool) {
	for _, a := range all {
		if a.Number == ref.Number && a.ETag == ref.ETag && agree(a.Checksums, ref.Checksums) {
			found, ok = a, true
		}
	}
	return found, ok
}

// agree reports whether every checksum that the client repeats is the part's.
func agree(have, want []Checksum) bool {
	for _, w := range want {
		for _, h := range have {
			if h.Algo == w.Algo && h.Value != w.Value {
				return false
			}
		}
	}
	return true
}

// Abort gives an upload up: 2 rounds. What was uploaded stays until it is reclaimed.
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

// ListParts returns up to max parts with numbers above after, in order, and whether there are more: 1 round.
//
// Errors: ErrNoSuchUpload, *quorum.Error.
func (s *Store) ListParts(ctx context.Context, b bucket.BucketID, k Key, id UploadID, after,
	max int) (parts []PartInfo,
	truncated bool, info UploadInfo, err error) {
	up, f, err := s.upload(ctx, b, k, id, fetchParts)
	if err != nil {
		return nil, false, info, err
	}
	defer f.Close()
	if up.State != uploadOpen {
		return nil, false, info, fmt.Errorf("upload %v of %s: %w: it was completed", id, quote(k),
			ErrNoSuchUpload)
	}
	all, err := s.attempts(f)
	if err != nil {
		return nil, false, info, err
	}
	for i, a := range all {
		if a.Number <= after || i+1 < len(all) && all[i+1].Number == a.Number {
			continue
		}
		if len(parts) == max {
			truncated = true
			break
		}
		parts = append(parts, a.PartInfo)
	}
	return parts, truncated, id.info(k, up), nil
}
