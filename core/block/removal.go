package block

import (
	"context"
	"time"

	"granary/core/job"
	"granary/core/kv"
	"granary/core/rt"
	"granary/core/table"
)

// RemovalJob is what the job that removes blocks nobody refers to is called.
const RemovalJob = "removal"

const (
	// removeDelay is Config.RemoveDelay unless another is given.
	removeDelay = 10 * time.Minute
	// removalTasks is how many blocks are removed at once, and removalBatch, how many before their places in
	// the queue are given up.
	removalTasks = 16
	removalBatch = 256
	// removalMin and removalMax bound the rest after an error.
	removalMin = 5 * time.Second
	removalMax = 5 * time.Minute
)

// removal removes blocks whose last live reference has gone.
type removal struct {
	*backlog
	s    *Store
	wait backOff
}

func newRemoval(s *Store, jobs *job.Book) *removal {
	return &removal{backlog: newBacklog(s.env, jobs.New(RemovalJob, "blocks")), s: s,
		wait: backOff{least: removalMin, most: removalMax}}
}

// wallMillis is the wall time so long from now, in milliseconds since 1970.
func (s *Store) wallMillis(from time.Duration) int64 { return s.env.Wall().Add(from).UnixMilli() }

// run works until the node stops. A panic in one step does not end it.
func (q *removal) run(ctx context.Context) error {
	env := q.s.env
	for {
		var next time.Duration
		err := q.job.Gate(ctx)
		if err == nil {
			err = rt.Guard(env, RemovalJob, func() (err error) { next, err = q.step(ctx); return err })
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			q.job.Hinder(err)
			err = env.Sleep(ctx, q.wait.take())
		case next == 0:
			q.wait.reset()
			q.job.Hinder(nil)
			err = q.bell.Park(ctx)
		case next > 0:
			// A clock that is set back makes blocks stay longer; not for ever.
			err = env.Sleep(ctx, min(next, q.s.removeDelay))
		}
		if err != nil {
			return nil
		}
	}
}

// step removes what is due and says how long it is to the next, 0 if there is none, negative if now.
func (q *removal) step(ctx context.Context) (next time.Duration, err error) {
	page, err := q.s.unwanted(removalBatch)
	if err != nil || len(page) == 0 {
		return 0, err
	}
	now := time.Duration(q.s.wallMillis(0)) * time.Millisecond
	if first := page[0].due - now; first > 0 {
		return first, nil
	}
	n := 0
	for n < len(page) && page[n].due <= now {
		n++
	}
	page = page[:n]
	err = rt.Each(ctx, q.s.env, RemovalJob, removalTasks, n, func(ctx context.Context, i int) error {
		freed, err := q.s.remove(ctx, page[i].hash)
		if err != nil {
			return err
		}
		return q.job.Pace(ctx, freed)
	})
	if err != nil {
		return -1, err
	}
	// Only now: what a crash leaves undone is done again.
	err = q.s.kv.Update(ctx, func(w kv.Writer) error {
		for _, e := range page {
			w.Delete(e.key)
		}
		return nil
	})
	for range page {
		q.left()
	}
	return -1, err
}

// remove removes a block to which no live reference is here, under the mutex of its hash: first presence,
// then the file. It returns the bytes that this freed.
func (s *Store) remove(ctx context.Context, h Hash) (freed int64, err error) {
	if s.env.Mutant("block: blocks without references stay") {
		return 0, nil
	}
	inside := func() error {
		live := false
		if s.env.Mutant("block: file removed before presence") {
			if err := s.disk.Remove(ctx, h); err != nil {
				return err
			}
		}
		err := s.tables.Change(ctx, func(rows func([]byte) *table.Tx) (err error) {
			tx := rows(h[:])
			if live, err = s.rows.live(&tx.Reader); err != nil {
				return err
			}
			if live = live && !s.env.Mutant("block: references not looked at again"); live {
				return nil
			}
			if size := tx.Records().Get(presentKey(h)); size != nil {
				freed = sizeOf(size)
				tx.Records().Delete(presentKey(h))
			}
			return nil
		})
		if err != nil || live {
			s.env.Sometimes("a block was referred to again before its removal", live)
			return err
		}
		return s.disk.Remove(ctx, h)
	}
	if s.env.Mutant("block: removal without the mutex") {
		err = inside()
	} else {
		err = s.withHash(ctx, h, inside)
	}
	if err != nil {
		return 0, err
	}
	if freed > 0 {
		s.env.Count("block_removed_total", 1)
		s.env.Count("block_removed_bytes_total", float64(freed))
		s.env.Sometimes("block removed", true)
	}
	return freed, nil
}

// dispose queues a block for removal that nothing refers to.
func (s *Store) dispose(ctx context.Context, h Hash) error {
	err := s.kv.Update(ctx, func(w kv.Writer) error {
		w.Put(unwantedKey(s.wallMillis(s.removeDelay), h), []byte{})
		return nil
	})
	if err == nil {
		s.removal.arrived()
	}
	return err
}

// Here lists up to max blocks that this node holds, in the order of their hashes, behind a hash.
//
// Errors: those of the store.
func (s *Store) Here(after Hash, max int) ([]Hash, error) { return s.presentAfter(after, max) }

// presentAfter lists up to limit blocks that are here, in the order of their hashes.
func (s *Store) presentAfter(after Hash, limit int) (page []Hash, err error) {
	lo := append(presentKey(after), 0)
	err = s.kv.View(func(r kv.Reader) error {
		r.Ascend(lo, behind(keyPresent), func(k, _ []byte) bool {
			page = append(page, Hash(k[len(keyPresent):]))
			return len(page) < limit
		})
		return nil
	})
	return page, err
}
