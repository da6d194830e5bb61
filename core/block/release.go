package block

import (
	"context"

	"granary/core/table"
)

// Release marks an owner's references to blocks deleted, for good, at a write quorum of each.
//
// Errors: *quorum.Error for the first that too few replicas answered for; others may have been released.
func (s *Store) Release(ctx context.Context, owner Owner, hashes []Hash) error {
	row, err := s.rows.refs.Row(owner[:], refRow{Deleted: true})
	if err != nil {
		return err
	}
	for _, h := range hashes {
		_, err := s.tables.WriteOne(ctx, table.Write{Subject: "release of block " + h.String(), PK: h[:],
			Items: []table.Item{{With: []table.Row{row}}}})
		if err != nil {
			return err
		}
	}
	return nil
}
