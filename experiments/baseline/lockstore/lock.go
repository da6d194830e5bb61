package lockstore

import (
	"context"
	"errors"
	"slices"
	"time"

	"granary/core/rpc"
	"granary/core/rt"
	"granary/experiments/baseline/replica"
	"granary/experiments/baseline/site"
)

const (
	// lease is how long a lock lasts that nobody returns: longer than any request.
	lease = site.Deadline + 2*time.Second
	// restMax bounds the rest before a lock is asked for again.
	restMax = 100 * time.Millisecond
)

// lock is a lock at one replica.
type lock struct {
	id    uint64
	write bool
	until time.Duration
}

// table is the locks at one replica, by key.
type table struct {
	env  rt.Env
	held map[string][]lock
}

// take takes a lock unless another one is in its way.
func (t *table) take(key string, id uint64, write bool) bool {
	now := t.env.Now()
	held := slices.DeleteFunc(t.held[key], func(l lock) bool { return l.until <= now })
	t.held[key] = held
	if slices.ContainsFunc(held, func(l lock) bool { return l.write || write }) {
		return false
	}
	t.held[key] = append(held, lock{id, write, now + lease})
	return true
}

// drop returns a lock, if it is held.
func (t *table) drop(key string, id uint64) {
	t.held[key] = slices.DeleteFunc(t.held[key], func(l lock) bool { return l.id == id })
	if len(t.held[key]) == 0 {
		delete(t.held, key)
	}
}

type takeRequest struct {
	Key   string `cbor:"1,keyasint"`
	ID    uint64 `cbor:"2,keyasint"`
	Write bool   `cbor:"3,keyasint,omitempty"`
}

type dropRequest struct {
	Key string `cbor:"1,keyasint"`
	ID  uint64 `cbor:"2,keyasint"`
}

// taken is the answer to a lock that was taken: the highest version that the replica has of the key.
type taken struct {
	Version replica.Version `cbor:"1,keyasint"`
}

type nothing struct{}

var (
	methodTake = rpc.NewMethod[takeRequest, taken]("lockstore.take", rpc.Meta)
	methodDrop = rpc.NewMethod[dropRequest, nothing]("lockstore.drop", rpc.Meta)
)

var errHeld = errors.New("the lock is held")

func (s *store) handle() {
	rpc.Handle(s.Endpoint, methodTake, func(_ context.Context, _ rt.NodeID, r *takeRequest) (*taken, error) {
		if !s.locks.take(r.Key, r.ID, r.Write) {
			return nil, errHeld
		}
		return &taken{s.Held(r.Key).Version}, nil
	})
	drop := func(_ context.Context, _ rt.NodeID, r *dropRequest) (*nothing, error) {
		s.locks.drop(r.Key, r.ID)
		return &nothing{}, nil
	}
	rpc.Handle(s.Endpoint, methodDrop, drop)
}

// lock takes the lock of a key at a majority, and asks again until the context ends. It returns the highest
// counter that a majority has for the key, and what returns the lock.
func (s *store) lock(ctx context.Context, key string, write bool) (counter uint64, unlock func(), err error) {
	if write && s.Env.Mutant("lockstore/write without lock") {
		return s.Held(key).Version.Counter, func() {}, nil
	}
	for {
		id := s.Env.Rand("locks").Uint64()
		unlock := func() { s.unlock(key, id) }
		answers, err := replica.Ask(ctx, s.Node.Node, s.Majority(), true,
			func(ctx context.Context, to rt.NodeID) (*taken, error) {
				return methodTake.Call(ctx, s.Endpoint, to, &takeRequest{key, id, write})
			})
		if err == nil {
			for _, a := range answers {
				counter = max(counter, a.Value.Version.Counter)
			}
			return counter, unlock, nil
		}
		unlock()
		if !errors.Is(err, replica.ErrQuorum) {
			return 0, nil, err
		}
		rest := time.Duration(s.Env.Rand("locks").Int64N(int64(restMax)))
		if err := s.Env.Sleep(ctx, rest); err != nil {
			return 0, nil, err
		}
	}
}

// unlock returns a lock everywhere, in the background.
func (s *store) unlock(key string, id uint64) {
	for _, to := range s.Members {
		s.Go("unlock", func(ctx context.Context) error {
			ctx, cancel := s.Env.WithTimeout(ctx, lease)
			defer cancel()
			// A lock that could not be returned lapses.
			_, _ = methodDrop.Call(ctx, s.Endpoint, to, &dropRequest{key, id})
			return nil
		})
	}
}
