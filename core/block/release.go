package block

import (
	"context"
	"fmt"
	"slices"
	"time"

	"granary/core/cluster"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
)

const (
	// releaseMax is how many references one message marks, in one transaction.
	releaseMax = 256
	// markTimeout bounds the wait for one answer.
	markTimeout = 10 * time.Second
)

// releaseRequest marks an owner's references deleted.
type releaseRequest struct {
	Owner  Owner    `cbor:"1,keyasint"`
	Hashes [][]byte `cbor:"2,keyasint"`
	// Plan is what the sender knows of the layouts, of the blocks that it knows least for.
	Plan cluster.Plan `cbor:"3,keyasint,omitzero"`
}

type releaseResponse struct{}

var methodRelease = rpc.NewMethod[releaseRequest, releaseResponse]("block.release", rpc.Meta)

// Release marks an owner's references to blocks deleted, for good. It returns at a write quorum of every live
// set of each block, and the rest goes on. References that are not there are marked too, so that a late one
// is refused. It may be repeated, in whole or in part; the caller has made sure that what the owner is part
// of is dead.
//
// Errors: *quorum.Error for the first block that too few replicas answered for, or that ctx ended before they
// did; others may have been released. Cost: one round for every 256 hashes.
func (s *Store) Release(ctx context.Context, owner Owner, hashes []Hash) error {
	for page := range slices.Chunk(hashes, releaseMax) {
		if err := s.release(ctx, owner, page); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) release(ctx context.Context, owner Owner, page []Hash) error {
	return s.mark(ctx, page, func(ctx context.Context, to share) error {
		req := &releaseRequest{Owner: owner, Plan: to.plan}
		for _, at := range to.at {
			req.Hashes = append(req.Hashes, page[at][:])
		}
		_, err := methodRelease.Call(ctx, s.endpoint, to.node, req)
		return err
	})
}

// mark has the replicas of a page of blocks change something, each for those that are its own, until a write
// quorum of every live set of each has. Replicas may refuse what was planned with an old layout; then it
// learns theirs and asks those of the newer one.
//
// Errors: *quorum.Error for the first block that too few replicas answered for.
func (s *Store) mark(ctx context.Context, page []Hash, call func(context.Context, share) error) error {
	asked, views, err := s.byReplica(page)
	for err == nil {
		fails, failed := s.markAt(ctx, page, asked, views, call)
		if failed == nil || !quorum.Learn(ctx, s.topology, fails) {
			return failed
		}
		s.env.Sometimes("references marked anew with a newer layout", true)
		old := views
		if asked, views, err = s.byReplica(page); err == nil && slices.EqualFunc(views, old, samePlan) {
			return failed
		}
	}
	return err
}

func samePlan(a, b cluster.View) bool { return a.Plan() == b.Plan() }

// markAt makes one round over the replicas of a page. If that fails, it returns the failures of the first
// block for which it did.
func (s *Store) markAt(ctx context.Context, page []Hash, asked []share, views []cluster.View,
	call func(context.Context, share) error) ([]quorum.Failure, error) {
	nodes := make([]rt.NodeID, len(asked))
	for i, a := range asked {
		nodes[i] = a.node
	}
	round := quorum.Start(s.env.Background(), s.quorum, nodes, 0,
		func(ctx context.Context, to rt.NodeID) (struct{}, error) {
			ctx, cancel := s.env.WithTimeout(ctx, markTimeout)
			defer cancel()
			return struct{}{}, call(ctx, asked[slices.Index(nodes, to)])
		})
	tallies := make([]*quorum.Tally, len(page))
	for i, view := range views {
		tallies[i] = quorum.NewTally(view, false)
	}
	err := gather(ctx, round, nil, tallies...)
	for i, tally := range tallies {
		if tally.Verdict(false) != quorum.Acked {
			round.Close()
			return tally.Failures(), s.missed(page[i], tally, err)
		}
	}
	round.Detach(int64(len(page) * len(Hash{})))
	return nil, nil
}

func (s *Store) handleRelease(ctx context.Context, _ rt.NodeID, req *releaseRequest) (*releaseResponse,
	error) {
	hashes, err := hashesOf(req.Hashes, releaseMax)
	if err != nil {
		return nil, err
	}
	if req.Owner == (Owner{}) {
		return nil, fmt.Errorf("release of no owner: %w", rpc.ErrMalformed)
	}
	row, err := s.rows.deleted(req.Owner)
	if err != nil {
		return nil, err
	}
	return nil, s.changeMarked(ctx, hashes, req.Plan, func(tx *table.Tx, _ int) error {
		return tx.ApplyRows([]table.Row{row})
	})
}

// changeMarked changes the rows of blocks in one transaction, in which it looks whether that was planned with
// an old layout.
//
// Errors: cluster.ErrOldLayout, those of change.
func (s *Store) changeMarked(ctx context.Context, hashes []Hash, p cluster.Plan,
	change func(tx *table.Tx, i int) error) error {
	return s.tables.Change(ctx, func(rows func([]byte) *table.Tx) error {
		for i, h := range hashes {
			tx := rows(h[:])
			if i == 0 && !s.env.Mutant("block: marked past the fence") {
				if _, err := cluster.AdmitWrite(s.env, tx.Records(), p); err != nil {
					return err
				}
			}
			if err := change(tx, i); err != nil {
				return err
			}
		}
		return nil
	})
}
