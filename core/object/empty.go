package object

import (
	"context"
	"errors"
	"fmt"

	"granary/core/block"
	"granary/core/bucket"
	"granary/core/layout"
	"granary/core/rt"
	"granary/core/table"
)

// emptyTasks is how many candidates of a page are emptied at once.
const emptyTasks = 8

// empty frees the space of candidates that every replica has given up. It may be cut off anywhere, and is
// begun again then: what tells where the blocks are goes last.
func (c *reclaimer) empty(ctx context.Context, set layout.Set, b bucket.BucketID, all []*candidate) error {
	var dead, ended []*candidate
	for _, d := range all {
		if d.row.Ended {
			ended = append(ended, d)
		} else {
			dead = append(dead, d)
		}
	}
	if err := c.s.dig(ctx, b, dead, func(d *candidate) bool { return !d.row.Version.exists() }); err != nil {
		return err
	}
	for _, d := range dead {
		c.s.env.Sometimes("owners that no row knew were given up", d.row.loose())
	}
	var versions []*candidate // whose blocks are listed; what an abandoned upload left, the audit finds
	for _, d := range dead {
		if d.row.Version.exists() {
			versions = append(versions, d)
		}
	}
	done := make([]bool, len(versions))
	failed := c.each(ctx, versions, func(ctx context.Context, i int) (err error) {
		err = c.emptyVersion(ctx, set, versions[i])
		done[i] = err == nil
		return err
	})
	var emptied []*candidate
	for i, d := range versions {
		if done[i] {
			emptied = append(emptied, d)
		}
	}
	return errors.Join(failed, c.s.dig(ctx, b, emptied, func(*candidate) bool { return true }),
		c.each(ctx, ended, func(ctx context.Context, i int) error {
			return c.emptyUpload(ctx, set, ended[i])
		}))
}

// each calls f for all candidates, some at once, and returns the first one's error.
func (c *reclaimer) each(ctx context.Context, all []*candidate, f func(context.Context, int) error) error {
	return rt.Each(ctx, c.s.env, "empty", emptyTasks, len(all), f)
}

// dig writes the graves of candidates as one batch.
func (s *Store) dig(ctx context.Context, b bucket.BucketID, all []*candidate,
	emptied func(*candidate) bool) error {
	var rows []table.Row
	for _, d := range all {
		row, err := s.rows.graves.Row(d.sort, graveRow{Emptied: emptied(d)})
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	return s.state(ctx, b, rows)
}

// state writes rows that replicas may not refuse: what they have all agreed on.
func (s *Store) state(ctx context.Context, b bucket.BucketID, rows []table.Row) error {
	if len(rows) == 0 {
		return nil
	}
	_, err := s.tables.WriteOne(ctx, table.Write{Subject: "reclaim", PK: b[:], Merge: true,
		Items: []table.Item{{With: rows}}})
	return err
}

// emptyVersion releases the blocks of a dead version, but for those of parts that another completion of the
// same upload needs.
func (c *reclaimer) emptyVersion(ctx context.Context, set layout.Set, d *candidate) error {
	v := d.row.Version
	keep := map[block.Owner]bool{}
	if len(v.Upload) > 0 {
		var err error
		if keep, err = c.s.used(ctx, set, d.bucket, d.key, v.Upload, v.ID); err != nil {
			return err
		}
	}
	for _, p := range v.parts() {
		if keep[p.Owner] {
			continue
		}
		n := blocksOf(p.Size, v.blockSize(p))
		if len(v.Parts) == 0 && n*hashLen <= len(v.Blocks) {
			if err := c.release(ctx, p.Owner, v.Blocks[:n*hashLen]); err != nil {
				return err
			}
			continue
		}
		if err := c.emptyOwner(ctx, d, p.Owner, [16]byte{}, n); err != nil {
			return err
		}
	}
	c.s.env.Count("object_reclaimed_total", 1, "what", "version")
	c.s.env.Count("object_reclaimed_bytes_total", float64(v.Size))
	c.s.env.Sometimes("a replaced version was reclaimed", true)
	return nil
}

// emptyOwner releases the blocks that an owner's lists name. upload is the one that it is an attempt of,
// zero for others.
func (c *reclaimer) emptyOwner(ctx context.Context, d *candidate, owner block.Owner, upload [16]byte,
	blocks int) error {
	for first := 0; first < blocks; first += segmentBlocks {
		hashes, err := c.s.segmentOf(ctx, d.bucket, listSort([]byte(d.key), owner, first/segmentBlocks))
		if err == nil {
			err = c.release(ctx, c.s.referrer(owner, upload), hashes)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// referrer is under whose name an owner refers to blocks: its own, since two attempts at a part with the same
// bytes must not lose them together.
func (s *Store) referrer(owner block.Owner, upload [16]byte) block.Owner {
	if upload != [16]byte{} && s.env.Mutant("reclaim: references keyed by upload") {
		return upload
	}
	return owner
}

// segmentOf reads the segment at a sort key of block lists at a quorum, and beyond if that has none. What no
// replica has is left to the audit.
func (s *Store) segmentOf(ctx context.Context, b bucket.BucketID, sort []byte) ([]byte, error) {
	f, err := s.tables.Fetch(ctx, fetchSegment, b[:], sort, fmt.Sprintf("block list %x", sort))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for {
		row, ok, err := table.Joined(f, s.rows.lists, sort)
		if ok || err != nil || !f.More(ctx) {
			return row.Hashes, err
		}
	}
}

func (c *reclaimer) release(ctx context.Context, owner block.Owner, hashes []byte) error {
	var all []block.Hash
	for ; len(hashes) >= hashLen; hashes = hashes[hashLen:] {
		all = append(all, block.Hash(hashes))
	}
	if err := c.job.Gate(ctx); err != nil {
		return err
	}
	return c.s.blocks.Release(ctx, owner, all)
}

// used returns the owners that versions need, at any replica, which completed an upload.
func (s *Store) used(ctx context.Context, set layout.Set, b bucket.BucketID, k Key, upload []byte,
	but VersionID) (map[block.Owner]bool, error) {
	req := &usesRequest{Bucket: b, Key: []byte(k), Upload: upload, But: but, Plan: planOf(set)}
	answers, err := everyone(ctx, s, set.Nodes, func(ctx context.Context, to rt.NodeID) (*usesResponse,
		error) {
		return methodUses.Call(ctx, s.endpoint, to, req)
	})
	if err != nil {
		return nil, err
	}
	owners := map[block.Owner]bool{}
	if s.env.Mutant("reclaim: abort beats commit") {
		return owners, nil
	}
	for _, a := range answers {
		for rest := a.Owners; len(rest) >= len(block.Owner{}); rest = rest[len(block.Owner{}):] {
			owners[block.Owner(rest)] = true
		}
	}
	return owners, nil
}

// emptyUpload releases the blocks of the attempts that an upload did not need, and then says that it is
// spent.
func (c *reclaimer) emptyUpload(ctx context.Context, set layout.Set, d *candidate) error {
	keep, err := c.s.used(ctx, set, d.bucket, d.key, d.id[:], VersionID{})
	if err != nil {
		return err
	}
	start, end := partsRange(d.key, d.id, 0, PartMax)
	q := table.ListRequest{Subject: "parts of " + quote(d.key), PK: d.bucket[:],
		Prefix: uploadPrefix(d.key, d.id), From: table.AfterPrefix(start), End: end}
	for more := true; more; {
		page, err := table.ScanRows(ctx, c.s.tables, c.s.rows.uploads, q)
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			p := item.Value.Part
			if p == nil {
				continue
			}
			_, owner := attemptOf(item.Sort)
			if keep[owner] {
				continue
			}
			err := c.emptyOwner(ctx, d, owner, d.id, blocksOf(p.Size, p.BlockSize))
			if err != nil {
				return err
			}
		}
		q.From, more = page.Next, page.More
	}
	return c.spend(ctx, d)
}

// spend says that an upload's attempts are gone, and keeps what a repeated Complete is answered.
func (c *reclaimer) spend(ctx context.Context, d *candidate) error {
	sort := uploadSort(d.key, d.id)
	f, err := c.s.tables.Fetch(ctx, fetchUpload, d.bucket[:], sort, "upload of "+quote(d.key))
	if err != nil {
		return err
	}
	up, ok, err := table.Joined(f, c.s.rows.uploads, sort)
	f.Close()
	if err != nil || !ok || up.State == uploadOpen || up.State == uploadSpent {
		return err
	}
	up.State = uploadSpent
	if v := up.Done; v != nil {
		up.Done = &version{ID: v.ID, Stamp: v.Stamp, State: v.State, Size: v.Size, ETag: v.ETag,
			Checksums: v.Checksums, Multipart: true}
	}
	row, err := c.s.rows.uploads.Row(sort, up)
	if err != nil {
		return err
	}
	c.s.env.Count("object_reclaimed_total", 1, "what", "upload")
	c.s.env.Sometimes("an upload was reclaimed", true)
	return c.s.state(ctx, d.bucket, []table.Row{row})
}
