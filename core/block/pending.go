package block

import (
	"context"
	"fmt"
	"slices"

	"granary/core/cluster"
	"granary/core/codec"
	"granary/core/kv"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
)

// Pending is a block that lacks one copy to be at its write quorum: any one of Holders, to which it is on its
// way, makes it durable.
type Pending struct {
	Hash    Hash         `cbor:"1,keyasint"`
	Owner   Owner        `cbor:"2,keyasint"`
	Holders []rt.NodeID  `cbor:"3,keyasint"`
	Plan    cluster.Plan `cbor:"4,keyasint,omitzero"` // with which it is on its way
}

// Needs is the form that pending blocks have in table.Ahead.
func Needs(pending []Pending) ([]byte, error) { return codec.Marshal(pending) }

const (
	// pendingMax and holdersMax bound what one write may need.
	pendingMax = 64
	holdersMax = 64
	// heldMax bounds the calls that wait here for blocks to come: to half of what one peer may have in hand
	// (rpc.Config), so that what it asks else is not refused.
	heldMax = 512
)

type heldRequest struct {
	Hash  Hash         `cbor:"1,keyasint"`
	Owner Owner        `cbor:"2,keyasint"`
	Plan  cluster.Plan `cbor:"3,keyasint,omitzero"`
}

type heldResponse struct{}

var methodHeld = rpc.NewMethod[heldRequest, heldResponse]("block.held", rpc.Meta)

// pendingOf tells what a block lacks, if it is one copy and all that may bring it are far: of a near one the
// coordinator hears as soon as anybody.
func (s *Store) pendingOf(h Hash, owner Owner, view cluster.View, tally *quorum.Tally) (p Pending, ok bool) {
	if len(view.Live) != 1 || tally.Got() == 0 || tally.Got() != view.Live[0].Write-1 {
		return p, false
	}
	left := slices.DeleteFunc(slices.Clone(view.Targets()), tally.Answered)
	near := slices.ContainsFunc(left, func(n rt.NodeID) bool { return !s.far(n) })
	return Pending{Hash: h, Owner: owner, Holders: left, Plan: view.Plan()}, len(left) > 0 && !near
}

// met waits until blocks that a row refers to are durable, as nodes of this zone can tell.
//
// Errors: table.ErrUnmet if none can.
func (s *Store) met(ctx context.Context, needs []byte) error {
	var pending []Pending
	if err := codec.Unmarshal(needs, &pending); err != nil {
		return err
	}
	if len(pending) > pendingMax {
		return fmt.Errorf("%d pending blocks, at most %d: %w", len(pending), pendingMax, rpc.ErrMalformed)
	}
	near := make([]rt.NodeID, len(pending))
	for i, p := range pending {
		at := slices.IndexFunc(p.Holders, s.topology.SameZone)
		if at < 0 || len(p.Holders) > holdersMax {
			return table.ErrUnmet
		}
		near[i] = p.Holders[at]
	}
	group := rt.NewGroup(s.env, ctx)
	defer group.Cancel()
	for i, p := range pending {
		group.Go("wait for a block", func(ctx context.Context) error {
			_, err := methodHeld.Call(ctx, s.endpoint, near[i],
				&heldRequest{Hash: p.Hash, Owner: p.Owner, Plan: p.Plan})
			if err != nil {
				group.Cancel() // the others do not matter any more
			}
			return err
		})
	}
	return group.Wait()
}

// handleHeld answers when a block and its owner's reference to it are durable here, as they would be by its
// coordinator's plan: a copy that came another way, behind the fence of a newer layout, is none of those that
// the plan counts.
//
// Errors: table.ErrUnmet, ErrGivenUp, cluster.ErrOldLayout, why an attempt to keep the block failed.
func (s *Store) handleHeld(ctx context.Context, _ rt.NodeID, req *heldRequest) (*heldResponse, error) {
	if !s.awaited.TryAcquire(1) {
		return nil, table.ErrUnmet
	}
	defer s.awaited.Release(1)
	for {
		arrival := s.arrival(req.Hash)
		held, err := s.holds(req.Hash, req.Owner, req.Plan)
		if err == nil && !held {
			_, err = arrival.Get(ctx)
		}
		s.unawait(req.Hash)
		if err != nil || held {
			return nil, err
		}
	}
}

// arrivals is who waits for a block to come here.
type arrivals struct {
	next  *rt.Future[struct{}] // set by the next attempt to keep the block
	users int
}

// arrival is set when a reference to the block becomes durable here next, or an attempt to keep the block
// fails; unawait ends the interest in it.
func (s *Store) arrival(h Hash) *rt.Future[struct{}] {
	s.lock.Lock()
	defer s.lock.Unlock()
	a := s.arrivals[h]
	if a == nil {
		a = &arrivals{next: rt.NewFuture[struct{}](s.env)}
		s.arrivals[h] = a
	}
	a.users++
	return a.next
}

func (s *Store) unawait(h Hash) {
	s.lock.Lock()
	defer s.lock.Unlock()
	a := s.arrivals[h]
	if a.users--; a.users == 0 {
		delete(s.arrivals, h)
	}
}

// arrived tells those who wait for a block that a reference to it is durable here, or why one is not.
func (s *Store) arrived(h Hash, err error) {
	s.lock.Lock()
	a := s.arrivals[h]
	var next *rt.Future[struct{}]
	if a != nil {
		next, a.next = a.next, rt.NewFuture[struct{}](s.env)
	}
	s.lock.Unlock()
	if next != nil {
		next.Set(struct{}{}, err)
	}
}

// holds reports whether a block and its owner's reference to it are durable here, and the plan is still good.
//
// Errors: ErrGivenUp if the reference was deleted, cluster.ErrOldLayout.
func (s *Store) holds(h Hash, owner Owner, p cluster.Plan) (held bool, err error) {
	err = s.kv.View(func(r kv.Reader) error {
		if _, err := cluster.AdmitWrite(s.env, r, p); err != nil &&
			!s.env.Mutant("ahead: copies of any layout count") {
			return err
		}
		ref, ok, err := s.rows.refs.GetAt(r, h[:], owner[:])
		if err == nil && ok && ref.Deleted {
			err = fmt.Errorf("block %v: %w", h, ErrGivenUp)
		}
		held = ok && r.Get(presentKey(h)) != nil
		return err
	})
	return held, err
}
