package object

import (
	"context"
	"fmt"

	"granary/core/block"
	"granary/core/bucket"
	"granary/core/codec"
	"granary/core/hlc"
	"granary/core/table"
)

// partsFetched is how many part numbers one fetch covers: with all attempts at them, and the longest key, an
// answer stays below the longest message.
const partsFetched = 200

// attempt is a part as it was uploaded once.
type attempt struct {
	PartInfo
	owner     block.Owner
	stamp     hlc.Stamp
	blockSize int64
}

func attemptAt(sort []byte, row partRow) attempt {
	n, owner := attemptOf(sort)
	return attempt{PartInfo: row.info(n), owner: owner, stamp: row.Stamp, blockSize: row.BlockSize}
}

// partsArgs are the arguments of fetchParts.
type partsArgs struct {
	Sort  []byte `cbor:"1,keyasint"` // of the upload
	First int    `cbor:"2,keyasint"`
	Last  int    `cbor:"3,keyasint"`
}

// fetchParts returns an upload's row and those of the attempts at some of its parts.
func (s *Store) fetchParts(r *table.Reader, raw []byte) ([]table.Row, error) {
	var args partsArgs
	if err := codec.Unmarshal(raw, &args); err != nil {
		return nil, err
	}
	k, id, ok := splitUpload(args.Sort)
	if !ok {
		return nil, fmt.Errorf("upload sort key %x: %w", args.Sort, table.ErrMalformedRow)
	}
	rows, err := appendRow(nil, s.rows.uploads, r, args.Sort)
	if err != nil {
		return nil, err
	}
	start, end := partsRange(k, id, args.First, args.Last)
	most := len(rows) + partsFetched*attemptsMax
	err = s.rows.uploads.ScanRows(r, start, end, func(row table.Row) bool {
		rows = append(rows, row)
		return len(rows) <= most
	})
	if len(rows) > most {
		return nil, fmt.Errorf("upload %v has more than %d attempts at its parts %d to %d: abort it", id,
			partsFetched*attemptsMax, args.First, args.Last)
	}
	return rows, err
}

// listed reads an upload's row and the attempts at the listed parts, ordered by number.
func (s *Store) listed(ctx context.Context, b bucket.BucketID, k Key, id UploadID,
	refs []PartRef) (up uploadRow,
	all []attempt, err error) {
	var firsts []int
	for _, ref := range refs {
		if len(firsts) == 0 || ref.Number >= firsts[len(firsts)-1]+partsFetched {
			firsts = append(firsts, ref.Number)
		}
	}
	ups, found := make([]uploadRow, len(firsts)), make([][]attempt, len(firsts))
	e := s.newEffort(ctx)
	defer e.abandon()
	for i, first := range firsts {
		if err := e.slot(ctx); err != nil {
			return up, nil, err
		}
		e.spawn("fetch parts", func(ctx context.Context) (err error) {
			defer e.slots.Release(1)
			ups[i], found[i], err = s.fetchAttempts(ctx, b, k, id, first)
			return err
		})
	}
	if err := e.wait(); err != nil {
		return up, nil, err
	}
	for i := range firsts {
		up, all = up.Join(ups[i]), append(all, found[i]...)
	}
	return up, all, nil
}

// fetchAttempts reads an upload's row and the attempts at partsFetched of its parts at a quorum.
func (s *Store) fetchAttempts(ctx context.Context, b bucket.BucketID, k Key, id UploadID,
	first int) (up uploadRow,
	all []attempt, err error) {
	args, err := codec.Marshal(partsArgs{Sort: uploadSort(k, id), First: first,
		Last: min(first+partsFetched-1, PartMax)})
	if err != nil {
		return up, nil, err
	}
	up, f, err := s.upload(ctx, b, k, id, fetchParts, args)
	if err != nil {
		return up, nil, err
	}
	defer f.Close()
	sorts, rows, err := table.JoinedAll(f, s.rows.uploads)
	for i, row := range rows {
		if row.Part != nil {
			all = append(all, attemptAt(sorts[i], *row.Part))
		}
	}
	return up, all, err
}

// ListParts returns up to max parts with numbers above after, in order, and whether there are more: 1 round
// for up to a thousand attempts.
//
// Errors: ErrNoSuchUpload, *quorum.Error.
func (s *Store) ListParts(ctx context.Context, b bucket.BucketID, k Key, id UploadID, after,
	max int) (parts []PartInfo, truncated bool, info UploadInfo, err error) {
	var up uploadRow
	e := s.newEffort(ctx)
	defer e.abandon()
	e.spawn("find upload", func(ctx context.Context) (err error) {
		up, err = s.openUpload(ctx, b, k, id)
		return err
	})
	parts, truncated, err = s.scanParts(ctx, b, k, id, after, max)
	if failed := e.wait(); failed != nil {
		err = failed
	}
	if err != nil {
		return nil, false, info, err
	}
	return parts, truncated, id.info(k, up), nil
}

// scanParts pages through the attempts and takes the newest at each part.
func (s *Store) scanParts(ctx context.Context, b bucket.BucketID, k Key, id UploadID, after,
	max int) (parts []PartInfo, truncated bool, err error) {
	start, end := partsRange(k, id, min(after, PartMax), PartMax)
	q := table.ListRequest{Subject: "parts of " + quote(k), PK: b[:], Prefix: uploadPrefix(k, id),
		From: table.AfterPrefix(start), End: end}
	var newest hlc.Stamp // of the last part
	for more := true; more; {
		page, err := table.ScanRows(ctx, s.tables, s.rows.uploads, q)
		if err != nil {
			return nil, false, err
		}
		for _, item := range page.Items {
			if item.Value.Part == nil {
				continue
			}
			a, n := attemptAt(item.Sort, *item.Value.Part), len(parts)
			switch {
			case n > 0 && parts[n-1].Number == a.Number && a.stamp >= newest:
				parts[n-1], newest = a.PartInfo, a.stamp
			case n > 0 && parts[n-1].Number == a.Number:
			case n >= max:
				return parts, true, nil
			default:
				parts, newest = append(parts, a.PartInfo), a.stamp
			}
		}
		q.From, more = page.Next, page.More
	}
	return parts, false, nil
}
