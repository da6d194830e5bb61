package s3

import (
	"context"

	"granary/core/bucket"
	"granary/core/object"
)

var _ Buckets = (*bucket.Store)(nil)

// Over returns the Objects of a store.
func Over(s *object.Store) Objects { return store{s} }

// store is an object.Store whose Get returns the interface.
type store struct{ *object.Store }

// Get implements Objects.
func (s store) Get(ctx context.Context, b bucket.BucketID, k object.Key, o object.GetOptions) (Object,
	error) {
	found, err := s.Store.Get(ctx, b, k, o)
	if err != nil {
		return nil, err
	}
	return found, nil
}
