package object

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"granary/core/bucket"
	"granary/core/rt"
	"granary/core/table"
)

// List returns a page of a listing: 1 round on converged data. A monotonic one brings what replicas do not
// have alike to a write quorum and looks again, until they have.
//
// Errors: ErrBadToken, *quorum.Error.
func (s *Store) List(ctx context.Context, b bucket.BucketID, q ListQuery) (Page, error) {
	from, err := q.from()
	if err != nil || q.Max == 0 {
		return Page{}, err
	}
	res, err := s.listObjects(ctx, table.ListRequest{Subject: "objects", PK: b[:],
		Prefix: []byte(q.Prefix), Delimiter: []byte(q.Delimiter), From: from, Max: q.Max})
	if err != nil {
		return Page{}, err
	}
	page := Page{Truncated: res.More}
	for _, item := range res.Items {
		page.NextKey = string(item.Sort)
		if item.Prefix {
			page.Prefixes = append(page.Prefixes, string(item.Sort))
			continue
		}
		page.Entries = append(page.Entries, item.Value.Winner.entry(Key(item.Sort)))
	}
	if res.More {
		page.NextToken = base64.RawURLEncoding.EncodeToString(res.Next.Encode())
	}
	return page, nil
}

// listObjects reads a page of object rows. What is written while a monotonic listing goes on makes replicas
// differ again, so from the second look on the page may end before the first key in which they do.
func (s *Store) listObjects(ctx context.Context, q table.ListRequest) (table.ListResult[objectRow], error) {
	ctx, cancel := s.env.WithTimeout(ctx, table.ReadTimeout)
	defer cancel()
	for held := false; ; held = true {
		res, err := table.ListRows(ctx, s.tables, s.rows.objects, q)
		if err != nil || len(res.Diverged) == 0 || table.ConsistencyOf(ctx) != table.Monotonic {
			return res, err
		}
		if held && res.CutDiverged() {
			return res, nil
		}
		if err := s.holdAll(ctx, bucket.BucketID(q.PK), res.Diverged); err != nil {
			return res, err
		}
	}
}

// holdAll reads keys monotonically, all at once, so that a write quorum holds what is read.
func (s *Store) holdAll(ctx context.Context, b bucket.BucketID, keys [][]byte) error {
	return rt.Each(ctx, s.env, "hold listed object", len(keys), len(keys),
		func(ctx context.Context, i int) error {
			_, err := s.Head(ctx, b, Key(keys[i]))
			if errors.Is(err, ErrNoSuchKey) {
				return nil
			}
			return err
		})
}

func (q ListQuery) from() (table.Resume, error) {
	if q.Token == "" {
		switch {
		case q.After == "":
			return table.Resume{}, nil
		case q.afterGroup():
			return table.AfterPrefix([]byte(q.After)), nil
		}
		return table.AfterKey([]byte(q.After)), nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(q.Token)
	if err != nil {
		return table.Resume{}, fmt.Errorf("%w: %w", ErrBadToken, err)
	}
	from, err := table.ParseResume(raw)
	if err != nil {
		return from, fmt.Errorf("%w: %w", ErrBadToken, err)
	}
	return from, nil
}

// afterGroup reports whether After is itself a common prefix of this listing, as ListObjects v1 sends it
// back: what it stands for was delivered.
func (q ListQuery) afterGroup() bool {
	rest, ok := strings.CutPrefix(q.After, q.Prefix)
	i := strings.Index(rest, q.Delimiter)
	return ok && q.Delimiter != "" && i >= 0 && i+len(q.Delimiter) == len(rest)
}

func (v version) entry(k Key) Entry {
	e := Entry{Key: k, Size: v.Size, ETag: v.ETag, Modified: v.Stamp.Time()}
	if len(v.Checksums) > 0 {
		e.Checksum = v.Checksums[0].Algo
	}
	return e
}

// Empty reports whether a read quorum knows of no complete object and no open upload in a bucket: 1 round.
func (s *Store) Empty(ctx context.Context, b bucket.BucketID) (bool, error) {
	objects, err := table.ListRows(ctx, s.tables, s.rows.objects,
		table.ListRequest{Subject: "objects", PK: b[:], Max: 1})
	if err != nil || len(objects.Items) > 0 {
		return false, err
	}
	uploads, err := table.ListRows(ctx, s.tables, s.rows.uploads,
		table.ListRequest{Subject: "uploads", PK: b[:], Max: 1})
	return err == nil && len(uploads.Items) == 0, err
}

// ListUploads returns a page of the uploads in progress, ordered by key, then upload id: 1 round on converged
// data. The markers are those of the page before, empty for the first page.
//
// Errors: ErrBadToken for an upload marker that is no upload id, *quorum.Error.
func (s *Store) ListUploads(ctx context.Context, b bucket.BucketID, prefix, delimiter, keyMarker,
	uploadMarker string, max int) (UploadsPage, error) {
	from, err := uploadsFrom(keyMarker, uploadMarker, prefix, delimiter)
	if err != nil || max == 0 {
		return UploadsPage{}, err
	}
	if !utf8.ValidString(delimiter) {
		delimiter = "" // in no key, but it might be in an escaped one
	}
	res, err := table.ListRows(ctx, s.tables, s.rows.uploads, table.ListRequest{Subject: "uploads", PK: b[:],
		Prefix: escapePrefix(prefix), Delimiter: escapePrefix(delimiter), From: from, Max: max})
	if err != nil {
		return UploadsPage{}, err
	}
	page := UploadsPage{Truncated: res.More}
	for _, item := range res.Items {
		if item.Prefix {
			p := unescapePrefix(item.Sort)
			page.Prefixes = append(page.Prefixes, p)
			page.NextKey, page.NextUpload = p, ""
			continue
		}
		k, id, _ := splitUpload(item.Sort)
		page.Uploads = append(page.Uploads, id.info(k, item.Value))
		page.NextKey, page.NextUpload = string(k), id.String()
	}
	return page, nil
}

// uploadsFrom is the place behind a marker: behind all uploads of the key if there is no upload marker, or
// behind the common prefix that the key marker then is.
func uploadsFrom(keyMarker, uploadMarker, prefix, delimiter string) (table.Resume, error) {
	switch {
	case keyMarker == "":
		return table.Resume{}, nil
	case uploadMarker == "" && ListQuery{After: keyMarker, Prefix: prefix, Delimiter: delimiter}.afterGroup():
		return table.AfterPrefix(escapePrefix(keyMarker)), nil
	case uploadMarker == "":
		return table.AfterPrefix(escapeKey(Key(keyMarker))), nil
	}
	raw, err := hex.DecodeString(uploadMarker)
	if err != nil || len(raw) != len(UploadID{}) {
		return table.Resume{}, fmt.Errorf("upload id marker %.40q: %w", uploadMarker, ErrBadToken)
	}
	return table.AfterPrefix(uploadPrefix(Key(keyMarker), UploadID(raw))), nil
}
