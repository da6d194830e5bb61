package object

import (
	"bytes"
	"context"

	"granary/core/block"
	"granary/core/bucket"
	"granary/core/table"
)

// tidyRows is how many rows one transaction of tidying drops.
const tidyRows = 256

// tidy drops what this replica keeps about candidates whose space is free.
func (c *reclaimer) tidy(ctx context.Context, b bucket.BucketID, all []*candidate) error {
	for _, d := range all {
		var err error
		switch {
		case d.row.Ended:
			err = c.tidyUpload(ctx, b, d)
		case d.row.loose():
			err = c.tidyLoose(ctx, b, d)
		default:
			err = c.tidyVersion(ctx, b, d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tidyVersion drops the block lists of a version, but for parts that another completion of its upload has,
// and last the garbage that names them.
func (c *reclaimer) tidyVersion(ctx context.Context, b bucket.BucketID, d *candidate) error {
	v, rows := d.row.Version, c.s.rows
	owners := v.owners()
	for more := true; more; {
		n := min(tidyRows, len(owners))
		more = n < len(owners)
		err := c.s.tables.Change(ctx, func(open func([]byte) *table.Tx) error {
			tx := open(b[:])
			if !more {
				rows.garbage.Drop(tx, d.sort)
			}
			return rows.dropUnused(tx, []byte(d.key), v.Upload, owners[:n], v.ID)
		})
		if err != nil {
			return err
		}
		owners = owners[n:]
	}
	return nil
}

// tidyLoose forgets an owner of which nothing was known, with its block lists, unless something is now.
func (c *reclaimer) tidyLoose(ctx context.Context, b bucket.BucketID, d *candidate) error {
	rows := c.s.rows
	return c.s.tables.Change(ctx, func(open func([]byte) *table.Tx) error {
		tx := open(b[:])
		g, ok, err := rows.garbage.Get(&tx.Reader, d.sort)
		if err != nil || !ok || !g.loose() {
			return err
		}
		known, err := rows.known(&tx.Reader, d.key)
		if err != nil {
			return err
		}
		grave, _, err := rows.graves.Get(&tx.Reader, d.sort)
		switch {
		case err != nil:
			return err
		case known.has(d.id):
		case grave.Emptied:
			err = rows.dropLists(tx, []byte(d.key), d.id[:])
		default:
			return nil // it is known no more
		}
		rows.garbage.Drop(tx, d.sort)
		return err
	})
}

// tidyUpload removes the rows of the attempts of a spent upload, with the block lists that no version needs.
func (c *reclaimer) tidyUpload(ctx context.Context, b bucket.BucketID, d *candidate) error {
	rows := c.s.rows
	start, end := partsRange(d.key, d.id, 0, PartMax)
	for more := true; more; {
		err := c.s.tables.Change(ctx, func(open func([]byte) *table.Tx) error {
			tx := open(b[:])
			var sorts [][]byte
			err := rows.uploads.ScanRows(&tx.Reader, start, end, func(row table.Row) bool {
				sorts = append(sorts, bytes.Clone(row.Sort))
				return len(sorts) < tidyRows
			})
			if err != nil {
				return err
			}
			owners := make([]block.Owner, len(sorts))
			for i, sort := range sorts {
				rows.uploads.Remove(tx, sort)
				_, owners[i] = attemptOf(sort)
			}
			if err := rows.dropUnused(tx, []byte(d.key), d.id[:], owners, VersionID{}); err != nil {
				return err
			}
			if more = len(sorts) == tidyRows; !more {
				rows.garbage.Drop(tx, d.sort)
				rows.seals.Drop(tx, d.sort)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
