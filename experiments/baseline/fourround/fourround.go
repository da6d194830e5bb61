// Package fourround is the baseline that puts an object as one would write it down: a quorum store whose PUT
// waits for a majority four times, each time for the step before.
//
//  1. read the newest version of the key;
//  2. announce the new one, so that its value has an owner;
//  3. store the value;
//  4. store the row that makes it visible.
//
// A GET takes one round for the row, and the value of a large object then comes from the nearest replica; a
// removal takes two, one to read the version and one to store the row of the removal; a listing, and the list
// of buckets, one. Package replica says why this is linearizable.
package fourround

import (
	"context"

	"granary/experiments/baseline/replica"
	"granary/experiments/baseline/site"
)

// store reads as replica.Node does.
type store struct{ *replica.Node }

// Open is a site.Open.
func Open(n *site.Node) (site.Store, error) { return &store{replica.New(n)}, nil }

// Put implements site.Store.
func (s *store) Put(ctx context.Context, key string, value []byte) error {
	row, err := s.next(ctx, key)
	if err != nil {
		return err
	}
	row.Live, row.Bytes = true, len(value)
	if err := s.Store(ctx, replica.Store{Row: row, Announce: true}); err != nil {
		return err
	}
	if err := s.Store(ctx, replica.Store{Row: row, Value: value}); err != nil {
		return err
	}
	return s.Store(ctx, replica.Store{Row: row, Commit: true})
}

// Remove implements site.Store.
func (s *store) Remove(ctx context.Context, key string) error {
	row, err := s.next(ctx, key)
	if err != nil {
		return err
	}
	return s.Store(ctx, replica.Store{Row: row, Commit: true})
}

// next returns a row for a key, newer than all that a majority has.
func (s *store) next(ctx context.Context, key string) (replica.Row, error) {
	if s.Env.Mutant("replica/own counter") {
		return replica.Row{Key: key, Version: s.Next(s.Held(key).Version.Counter)}, nil
	}
	row, err := s.Head(ctx, key)
	return replica.Row{Key: key, Version: s.Next(row.Version.Counter)}, err
}
