package lockstore

import (
	"context"

	"granary/experiments/baseline/replica"
	"granary/experiments/baseline/site"
)

// store lists as replica.Node does, without a lock.
type store struct {
	*replica.Node
	locks table
}

// Open is a site.Open.
func Open(n *site.Node) (site.Store, error) {
	s := &store{Node: replica.New(n), locks: table{env: n.Env, held: map[string][]lock{}}}
	s.handle()
	return s, nil
}

// Get implements site.Store: the lock, then the read.
func (s *store) Get(ctx context.Context, key string) ([]byte, error) {
	_, unlock, err := s.lock(ctx, key, false)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return s.Node.Get(ctx, key)
}

// Put implements site.Store: the lock, then the value with its row.
func (s *store) Put(ctx context.Context, key string, value []byte) error {
	row := replica.Row{Key: key, Live: true, Bytes: len(value)}
	return s.write(ctx, replica.Store{Row: row, Value: value})
}

// Remove implements site.Store, as Put does.
func (s *store) Remove(ctx context.Context, key string) error {
	return s.write(ctx, replica.Store{Row: replica.Row{Key: key}})
}

func (s *store) write(ctx context.Context, r replica.Store) error {
	counter, unlock, err := s.lock(ctx, r.Row.Key, true)
	if err != nil {
		return err
	}
	defer unlock()
	r.Row.Version, r.Commit = s.Next(counter), true
	return s.Node.Store(ctx, r)
}
