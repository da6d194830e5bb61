package block

import (
	"context"

	"granary/core/kv"
)

// What tests from outside see of the inside.
const (
	RemoveDelay = removeDelay
	ResyncMax   = resyncMax
	ScrubEvery  = scrubEvery
	ScrubGrace  = scrubGrace
)

// Known reports presence.
func (s *Store) Known(h Hash) (bool, error) { return s.present(h) }

// Forget deletes presence behind everybody's back.
func (s *Store) Forget(ctx context.Context, h Hash) error {
	return s.kv.Update(ctx, func(w kv.Writer) error { w.Delete(presentKey(h)); return nil })
}

// Backlog is the length of the queue of resync as it is counted.
func (s *Store) Backlog() int64 { return s.resync.len() }

// DiskOf is what the store writes to.
func (s *Store) DiskOf() Disk { return s.disk }

// Suspect has a block looked at.
func (s *Store) Suspect(h Hash) { s.doubt(h, ErrCorrupt) }

// Met waits at this node for blocks that a row refers to.
func (s *Store) Met(ctx context.Context, pending ...Pending) error {
	needs, err := Needs(pending)
	if err != nil {
		return err
	}
	return s.met(ctx, needs)
}
