package daemon

import (
	"fmt"
	"sync"
	"time"

	"granary/core/kv"
	"granary/core/table"
	"granary/prod/diskfs"
)

// room says whether the metadata store has room for data: small objects and items lie in it. It shares the
// reserve with blocks, from which deletions, and metadata about larger objects, go on.
type room struct {
	path    string
	reserve int64
	stats   func() kv.Stats

	mu    sync.Mutex
	asked time.Time
	last  error
}

const (
	// roomEvery is how often the file system is asked.
	roomEvery = 200 * time.Millisecond
	// roomKept is what stays free inside the file for deletions, in bytes, when data goes on there.
	roomKept = 32 << 20
)

// check returns why there is no room, nil if there is.
func (r *room) check() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.asked) >= roomEvery {
		r.asked, r.last = now, r.ask()
	}
	return r.last
}

func (r *room) ask() error {
	_, free, err := diskfs.Usable(r.path, r.reserve)
	if err != nil {
		return fmt.Errorf("the free space of %s is not known: %w", r.path, err)
	}
	inside := r.stats().FreeBytes - roomKept
	if free > 0 || inside > 0 {
		return nil
	}
	return fmt.Errorf("%w: nothing is free beside the reserve: free space on %s", table.ErrFull, r.path)
}
