package object

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/zeebo/blake3"

	"granary/core/bucket"
	"granary/core/quorum"
	"granary/core/table"
)

// Complete makes the object of its parts. Repeated with the same parts it returns the same object, and wins
// over nothing that was written since.
//
// Rounds: 2, and more for thousands of parts.
// Errors: ErrNoSuchUpload, ErrUploadConflict, ErrInvalidPart, ErrPartOrder, ErrPartTooSmall, those of
// Combine, *quorum.Error.
func (s *Store) Complete(ctx context.Context, b bucket.BucketID, k Key, id UploadID, o CompleteOptions) (Info,
	error) {
	if err := checkOrder(o.Parts); err != nil {
		return Info{}, err
	}
	up, all, err := s.listed(ctx, b, k, id, o.Parts)
	if err != nil {
		return Info{}, err
	}
	vid := completedID(id, o.Parts)
	if up.State >= uploadCompleted {
		return s.completed(ctx, b, k, id, up, vid)
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
	v.Upload = id[:]
	for up.Try == 0 {
		up.Try = s.env.Rand("object/id").Uint64()
	}
	info, err := s.commitWith(ctx, b, k, v, nil, nil, func(stamped version) ([]table.Row, error) {
		return s.doneRow(k, id, up, stamped)
	})
	var r *table.Refusal
	if errors.As(err, &r) && (r.Code == refusedCompleted || r.Code == refusedOverwritten ||
		r.Code == refusedSealed) {
		s.env.Sometimes("two completions of one upload met", true)
		return s.outrun(ctx, b, k, id, vid)
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
		return Info{}, conflict(k, id)
	}
	if up.State == uploadSpent {
		return up.Done.info(k), nil
	}
	rows, err := s.doneRow(k, id, up, *up.Done)
	if err != nil {
		return Info{}, err
	}
	row, err := s.rows.objects.Row([]byte(k), objectRow{Winner: *up.Done})
	if err != nil {
		return Info{}, err
	}
	_, err = s.tables.WriteOne(ctx, table.Write{Subject: "object " + quote(k), PK: b[:], Back: true,
		Items: []table.Item{{With: append(rows, row)}}})
	var r *table.Refusal
	if errors.As(err, &r) && (r.Code == refusedOverwritten || r.Code == refusedSealed) ||
		errors.Is(err, quorum.ErrLate) {
		err = nil // it was completed, and since then replaced, or cleared of what it did not need
	}
	return up.Done.info(k), refusal(err)
}

// outrun answers a Complete that another one was faster than.
func (s *Store) outrun(ctx context.Context, b bucket.BucketID, k Key, id UploadID, vid VersionID) (Info,
	error) {
	up, f, err := s.upload(ctx, b, k, id, fetchUpload, uploadSort(k, id))
	if err != nil {
		return Info{}, err
	}
	f.Close()
	if up.State < uploadCompleted {
		return Info{}, conflict(k, id)
	}
	return s.completed(ctx, b, k, id, up, vid)
}

func conflict(k Key, id UploadID) error {
	return fmt.Errorf("upload %v of %s: %w", id, quote(k), ErrUploadConflict)
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

// checkOrder checks the numbers of listed parts.
func checkOrder(parts []PartRef) error {
	if len(parts) == 0 {
		return fmt.Errorf("no parts listed: %w", ErrInvalidPart)
	}
	for i, p := range parts {
		if p.Number < 1 || p.Number > PartMax {
			return fmt.Errorf("part %d: %w: want 1 to %d", p.Number, ErrInvalidPart, PartMax)
		}
		if i > 0 && p.Number <= parts[i-1].Number {
			return fmt.Errorf("part %d after part %d: %w", p.Number, parts[i-1].Number, ErrPartOrder)
		}
	}
	return nil
}

// assemble finds the listed parts among the attempts, which are ordered by number: the newest of the number
// whose ETag the list gives.
func assemble(all []attempt, o CompleteOptions) (v version, infos []PartInfo, err error) {
	v = version{State: complete, Multipart: true}
	for i, ref := range o.Parts {
		a, ok := pick(all, ref)
		if !ok {
			return v, nil, fmt.Errorf("part %d with ETag %.40q: %w: not uploaded, or other content",
				ref.Number, ref.ETag, ErrInvalidPart)
		}
		if a.Size < PartSizeMin && i < len(o.Parts)-1 {
			return v, nil, fmt.Errorf("part %d has %d bytes: %w: all but the last need %d", ref.Number,
				a.Size, ErrPartTooSmall, PartSizeMin)
		}
		p := part{Number: a.Number, Owner: a.owner, Size: a.Size}
		if v.BlockSize == 0 {
			v.BlockSize = a.blockSize
		}
		if a.blockSize != v.BlockSize {
			p.BlockSize = a.blockSize
		}
		v.Parts = append(v.Parts, p)
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
	i, _ := slices.BinarySearchFunc(all, ref.Number,
		func(a attempt, n int) int { return cmp.Compare(a.Number, n) })
	for ; i < len(all) && all[i].Number == ref.Number; i++ {
		a := all[i]
		if a.ETag == ref.ETag && agree(a.Checksums, ref.Checksums) && (!ok || found.stamp <= a.stamp) {
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
